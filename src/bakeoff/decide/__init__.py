"""What a study's scores show: intervals, comparisons, and which method to use."""

"""What a study's scores show: comparisons, limits, and which method to use."""

"""The figures of one run's report."""

"""Flags and timing that benchmarks of every kind take."""

"""A run for other trainers: what they are given, and files that they start from."""

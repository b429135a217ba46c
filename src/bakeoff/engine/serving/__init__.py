"""Rows of any adapters that join and leave one running batch."""

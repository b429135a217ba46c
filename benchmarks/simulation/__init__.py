"""The studies that ``referee.py`` simulates, what is counted over them, and their table."""

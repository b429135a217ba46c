"""What a table of rows may be: guesses that ``bakeoff init`` chooses from."""

"""What methods cost alone, measured or predicted."""

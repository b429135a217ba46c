"""Linear layers held in 8 and 4 bits."""

"""Which settings are tried, a file for each rule."""

"""Which candidates end early, a file for each rule."""

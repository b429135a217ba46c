"""Jobs that run apart from the run they belong to, each in a folder of its own."""

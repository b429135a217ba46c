"""From data that nobody has described to a study that runs."""

"""From data that no one has described to a study that runs."""

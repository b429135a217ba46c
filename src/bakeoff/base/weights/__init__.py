"""Where a base's weights come from: hub, folder, GGUF, the package itself, or random."""

"""Text from prompts: greedy by our own loop, every other strategy by Transformers."""

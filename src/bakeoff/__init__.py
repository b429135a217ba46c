"""bakeoff finds the right way to fine-tune a language model."""

__version__ = "0.1.0"

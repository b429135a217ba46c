"""The package's version, which the build reads here."""

__version__ = "0.2.0"

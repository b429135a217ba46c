"""Every error that bakeoff raises on purpose.

Each one derives from ``BakeoffError`` and, where one fits, from the built-in kind, so that a
caller can catch all of ours or the ordinary exception. A message names the place, the value that
was found, the rule that it breaks and the remedy.
"""

from __future__ import annotations


class BakeoffError(Exception):
    """Base of all errors with a message meant for the user; the command line exits with 2."""


class ConfigError(BakeoffError, ValueError):
    """A study, an option or a command line that breaks a rule."""


class DataError(BakeoffError, ValueError):
    """Data that cannot be read, or that break a rule of the task."""


class BaseModelError(BakeoffError, RuntimeError):
    """A base that cannot be reached, loaded or used."""


class CheckpointError(BakeoffError, RuntimeError):
    """Weights or saved state that are missing, torn or of a refused format."""


class StoreError(BakeoffError, OSError):
    """A run folder that belongs to another study, is locked, or cannot be written."""


class ScoreError(BakeoffError, ArithmeticError):
    """A score that is not a finite number."""


class EndpointError(BakeoffError, ConnectionError):
    """A server that a study names and that gives no usable answers."""


class OutOfMemoryError(BakeoffError, MemoryError):
    """The device has no memory left, even at a micro-batch of one row."""

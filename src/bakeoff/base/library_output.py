"""Silence from the libraries that load weights; the command line speaks for itself."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any, Final

from huggingface_hub import utils as hub_utils
from transformers.utils import logging as transformers_logging

# Both libraries leave these functions without types, or without an export.
_hub: Final[Any] = hub_utils
_transformers: Final[Any] = transformers_logging


@contextlib.contextmanager
def silence_libraries() -> Iterator[None]:
    """Turns off progress bars, warnings and log lines below ERROR, and restores them after."""
    transformers_verbosity = _transformers.get_verbosity()
    hub_verbosity = _hub.logging.get_verbosity()
    transformers_bars = _transformers.is_progress_bar_enabled()
    hub_bars = not _hub.are_progress_bars_disabled()
    # A signal may raise at any line, and while one of these is called; the others still are.
    with contextlib.ExitStack() as after:
        # The last, as Transformers' switch turns the hub's as well.
        after.callback(_hub.enable_progress_bars if hub_bars else _hub.disable_progress_bars)
        if transformers_bars:
            after.callback(_transformers.enable_progress_bar)
        after.callback(_hub.logging.set_verbosity, hub_verbosity)
        after.callback(_transformers.set_verbosity, transformers_verbosity)
        _transformers.set_verbosity_error()
        _hub.logging.set_verbosity_error()
        _transformers.disable_progress_bar()
        _hub.disable_progress_bars()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


@contextlib.contextmanager
def silence_stderr() -> Iterator[None]:
    """Like ``silence_libraries``; drops standard error too, for bars that no setting turns off."""
    with silence_libraries(), contextlib.redirect_stderr(io.StringIO()):
        yield

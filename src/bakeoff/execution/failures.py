"""An error as the one line that a person reads; its whole traceback goes into a file."""

from __future__ import annotations

import traceback
from typing import Final

_LONGEST: Final = 300


def reason_of(error: BaseException) -> str:
    """What went wrong in one line: the error's type and its words, cut where they go on and on."""
    said = " ".join(str(error).split())
    shown = said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}\u2026"
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


def traceback_of(error: BaseException) -> str:
    """The whole traceback, causes included, as the interpreter writes it."""
    return "".join(traceback.format_exception(error))

"""The entry point. It never prompts; ``exit_codes`` says what it returns."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from rich.console import Console
from rich.markup import escape

from bakeoff.cli.app import app as app
from bakeoff.cli.exit_codes import BAD_INPUT, INTERRUPTED
from bakeoff.cli.pipes import pipes_may_close
from bakeoff.errors import BakeoffError
from bakeoff.memory import keep_freed

_TRAINING: Final = frozenset({"run", "join", "claims"})
"""Commands whose work is worth more than what they print, so that they go on without it."""
_ONLY_PRINT: Final = frozenset({"--list", "--help"})
_PATH_CHARS: Final = 120
_BAD_PATHS: Final = {
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ELOOP: "its links lead to each other; give another path",
    errno.EACCES: "give a path that may be read, or change its permissions",
}
"""What the system says of a path that it does not take, by the remedy."""


def main() -> None:
    """Runs the command line: errors meant for the user become one message and exit code 2.

    Any other exception is a fault of bakeoff's own, whose traceback Python prints on stderr before
    it exits with 1.
    """
    # Before PyTorch is loaded: threads that spin while they wait make a machine that does anything
    # else several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keep_freed()
    try:
        with pipes_may_close(goes_on=_trains(sys.argv[1:])):
            app()
    except BakeoffError as error:
        _refuse(str(error))
    except Exception as error:
        if not _is_short_of_memory(error):
            _refuse_paths(error)
            raise
        _refuse(
            f"this machine has no memory left ({str(error)[:_PATH_CHARS] or 'MemoryError'}); end "
            "what else runs, raise the limit (ulimit -v, a container's), or take a smaller base or "
            "fewer slots. A study keeps what it has, and the same command goes on"
        )
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _trains(arguments: Sequence[str]) -> bool:
    """Whether a call does more than to print."""
    return not _TRAINING.isdisjoint(arguments[:1]) and _ONLY_PRINT.isdisjoint(arguments)


def _is_short_of_memory(error: Exception) -> bool:
    """Whether an exception means that no memory is left, in any form of it."""
    if "torch" not in sys.modules:  # which knows more forms of it, and takes seconds to load
        return isinstance(error, MemoryError)
    from bakeoff.engine.backends.memory import is_out_of_memory

    return is_out_of_memory(error)


def _refuse_paths(error: Exception) -> None:
    """Exits where an exception means that the system does not take a path."""
    if isinstance(error, OSError):
        if error.errno in _BAD_PATHS and error.filename is not None:
            _refuse(f"{_cut(error.filename)}: {error.strerror}; {_BAD_PATHS[error.errno]}")
    # What every call of the system says of such a path.
    elif isinstance(error, ValueError) and "embedded null" in str(error):
        _refuse("a path holds a NUL character, which no system allows; give another")


def _refuse(message: str) -> NoReturn:
    try:
        Console(stderr=True).print(
            f"[bold red]Error:[/] {escape(message)}", soft_wrap=True, highlight=False
        )
    except MemoryError:  # colours take modules and tables of their own; plain text takes a line
        sys.stderr.write(f"Error: {message}\n")
    sys.exit(BAD_INPUT)


def _cut(path: object) -> str:
    """A path as a message shows it."""
    text = os.fsdecode(path) if isinstance(path, bytes) else str(path)
    return text if len(text) <= _PATH_CHARS else f"{text[: _PATH_CHARS - 3]}..."


if __name__ == "__main__":
    main()

"""Output that its reader closes, as ``bakeoff methods | head`` and a closed terminal do."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from bakeoff.cli.exit_codes import BROKEN_PIPE
from bakeoff.errors import StoreError


@contextmanager
def pipes_may_close(*, goes_on: bool) -> Iterator[None]:
    """Lets the block write to pipes that are read no more.

    Args:
        goes_on: whether the block goes on without its output; otherwise it ends with exit code 141,
            which a shell reports of a program that a closed pipe ended.

    Raises:
        StoreError: the output cannot be written for another reason, such as a full disk, and the
            block does not go on without it.
    """
    _open_closed()
    out, err = sys.stdout, sys.stderr
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")  # a terminal that knows ASCII alone is shown a ?
    guarded = _Guarded(out, goes_on=goes_on)
    sys.stdout = guarded  # every attribute of a text stream is there
    sys.stderr = _Guarded(err, goes_on=True)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
        # What is still buffered would fail only when Python ends, outside of every handler.
        guarded.flush()


def _open_closed() -> None:
    """Opens the null device in place of standard streams that were closed, as by ``>&-``.

    Else the next file that is opened gets their number, and what a library prints goes into it.
    """
    closed = {"stdin": "r", "stdout": "w", "stderr": "w"}
    closed = {name: mode for name, mode in closed.items() if getattr(sys, name) is None}
    if not closed:
        return
    # The system hands out the lowest number that is free.
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(null)
    for name, mode in closed.items():
        setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


class _Guarded:
    """A text stream that turns to the null device once its reader is gone."""

    def __init__(self, stream: TextIO, *, goes_on: bool) -> None:
        self._stream, self._goes_on = stream, goes_on

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lost(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lost(error)

    def _lost(self, error: OSError) -> None:
        # A terminal that is gone answers with EIO.
        is_closed = isinstance(error, BrokenPipeError) or error.errno == errno.EIO
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)
        with suppress(OSError):
            self._stream.flush()  # what is left in the buffer goes nowhere, too
        if self._goes_on:
            return
        if is_closed:
            sys.exit(BROKEN_PIPE)
        raise StoreError(
            f"the output cannot be written ({error.strerror or error}); make room, or send it "
            "elsewhere"
        )

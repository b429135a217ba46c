"""Vega's renderer in a process of its own, so that what ends it ends one figure and nothing else.

The library holds a JavaScript engine, which ends its whole process where it finds too little
memory. The process starts with the first figure and is kept for the next ones.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import Any, Final

from bakeoff.errors import BakeoffError

MOST_SECONDS: Final = 120.0
"""For one figure; usual ones take a tenth of a second."""
_SERVE: Final = "from bakeoff.page.renderer import serve; serve()"


class DrawingError(BakeoffError, RuntimeError):
    """A figure that could not be drawn."""


def svg_of(spec: Mapping[str, Any]) -> str:
    """A whole Vega-Lite specification as SVG.

    Raises:
        DrawingError: the renderer refuses it, or ends or hangs over it.
    """
    return str(_asked("vegalite_to_svg", dict(spec)))


def png_of(drawing: str, **options: float) -> bytes:
    """A drawing as PNG; options are the library's ``scale`` and ``ppi``."""
    return base64.b64decode(_asked("svg_to_png", drawing, **options))


def pdf_of(drawing: str) -> bytes:
    """A drawing as PDF."""
    return base64.b64decode(_asked("svg_to_pdf", drawing))


class _Renderer:
    """A fresh interpreter that answers lines of JSON until its input ends."""

    def __init__(self) -> None:
        path = os.pathsep.join(part or os.getcwd() for part in sys.path)
        # A pipe that no one reads would fill up. `close` closes it.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=os.environ | {"PYTHONPATH": path},
            encoding="utf-8",
            errors="replace",
        )

    def ask(self, question: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        watch = threading.Timer(MOST_SECONDS, self._process.kill)
        watch.daemon = True
        try:
            watch.start()
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        finally:
            watch.cancel()
        if not line:
            raise DrawingError(f"the renderer's process ended ({self.close()})")
        answer = json.loads(line)
        if "error" in answer:
            raise DrawingError(answer["error"])
        return answer["made"]

    def close(self) -> str:
        """Ends the process; the last line that it said, or its exit code."""
        self._process.kill()
        self._process.communicate()
        if self._said.closed:
            return f"exit code {self._process.returncode}"
        with self._said:
            self._said.seek(0)
            said = self._said.read().decode("utf-8", "replace")
        lines = [line for line in said.splitlines() if line.strip()]
        return lines[-1][:200] if lines else f"exit code {self._process.returncode}"


_LOCK: Final = threading.Lock()
_KEPT: Final[list[_Renderer]] = []


def _asked(how: str, *arguments: Any, **options: Any) -> Any:
    with _LOCK:
        try:
            if not _KEPT:
                _KEPT.append(_Renderer())
            return _KEPT[0].ask([how, arguments, options])
        except OSError as error:
            _end()
            raise DrawingError(f"the renderer's process could not be started ({error})") from None
        except BaseException:
            # What it has in memory may be what it failed for; and where the question was
            # interrupted, its answer would be read as that of the next.
            _end()
            raise


@atexit.register
def _end() -> None:
    while _KEPT:
        _KEPT.pop().close()


def serve() -> None:
    """The process's life: one line of JSON in, one line out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; the input's end suffices
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's print spoils no answer
    import vl_convert

    try:
        for line in sys.stdin:
            how, arguments, options = json.loads(line)
            try:
                made = getattr(vl_convert, how)(*arguments, **options)
                found = base64.b64encode(made).decode("ascii") if isinstance(made, bytes) else made
                answer = {"made": found}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {str(error)[:500]}"}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    except BrokenPipeError:
        os._exit(0)  # the parent is gone: there is no one to answer

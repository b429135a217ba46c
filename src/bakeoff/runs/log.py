"""``run.log``: what a run did and when, by Python's ``logging``.

Code that has something to log uses ``logging.getLogger("bakeoff")`` or one below it. Texts of
prompts and rows of data never go there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.runs.folder import STUDY_FILE
from bakeoff.version import __version__

LOG_FILE: Final = "run.log"
LEVELS: Final = ("debug", "info", "warning", "error")
LOGGER: Final = logging.getLogger("bakeoff")
# Without a handler of its own, Python would print warnings of library users' runs on stderr.
LOGGER.addHandler(logging.NullHandler())

_FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)s %(module)s: {who}%(message)s"
_TIME: Final = "%Y-%m-%dT%H:%M:%S"
_LIBRARIES: Final = ("torch", "transformers", "peft", "optuna", "numpy")


def level_of(name: str) -> int:
    """The number of one of ``LEVELS``.

    Raises:
        ConfigError: for any other word.
    """
    if name.lower() not in LEVELS:
        near = get_close_matches(name.lower(), LEVELS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"--log-level {name!r}: {hint}choose one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[name.upper()]


@contextmanager
def run_log(folder: Path, level: int = logging.INFO, *, study: str, device: str) -> Iterator[None]:
    """Appends what is logged inside to the run's ``run.log``, each line with its time in UTC.

    A study that is refused before it claims the folder leaves no file behind. An exception that
    passes through is logged: with its traceback unless it is a refusal or an interrupt.

    Args:
        folder: the run's.
        level: what is less than this is left out.
        study: its name. device: as asked for.
    """
    handler = _RunLog(folder)
    handler.setLevel(level)
    before = LOGGER.level
    try:
        LOGGER.addHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.info("study %s begins, device %s; %s", study, device, versions())
        try:
            yield
        except BakeoffError as error:
            LOGGER.error("refused: %s", error)
            raise
        except KeyboardInterrupt as error:
            LOGGER.warning("stopped: %s", str(error) or "interrupted")
            raise
        except Exception as error:
            # The command line's own way to end with a code.
            if (code := getattr(error, "exit_code", None)) is None:
                LOGGER.exception("a fault of bakeoff's own")
            else:
                LOGGER.warning("stopped, exit code %s", code)
            raise
        LOGGER.info("study %s ends", study)
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(before)
        handler.close()


def open_log() -> Path | None:
    """The folder whose ``run.log`` this process writes at the moment; None where it writes none."""
    logs = (handler.folder for handler in LOGGER.handlers if isinstance(handler, _RunLog))
    return next(logs, None)


def follow_log(folder: Path, level: int, *, leaving_out: str = "") -> None:
    """Appends what this process logs to the ``run.log`` of a run that another process holds.

    Each line has the number of the process.

    Args:
        folder: see ``open_log``. level: what is less than this is left out.
        leaving_out: a function, what it logs is left out.
    """
    handler = _RunLog(folder, f"process {os.getpid()}: ")
    handler.addFilter(lambda record: record.funcName != leaving_out)
    handler.setLevel(level)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(level)


@contextmanager
def logged_stage(name: str) -> Iterator[None]:
    """Logs when a stage of the study starts, and after how many seconds it ends or is left."""
    LOGGER.info("%s starts", name)
    started = time.perf_counter()
    try:
        yield
    except BaseException as error:
        LOGGER.warning(
            "%s left after %.1f s (%s)", name, time.perf_counter() - started, type(error).__name__
        )
        raise
    LOGGER.info("%s ends after %.1f s", name, time.perf_counter() - started)


def versions() -> str:
    """bakeoff's, Python's and the libraries' versions in one line; nothing is imported for it."""
    parts = [f"bakeoff {__version__}", f"Python {platform.python_version()}"]
    for library in _LIBRARIES:
        try:
            parts.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            parts.append(f"{library} not installed")
    return ", ".join(parts)


class _RunLog(logging.FileHandler):
    """Holds lines back until the folder is a study's own."""

    def __init__(self, folder: Path, who: str = "") -> None:
        super().__init__(folder / LOG_FILE, encoding="utf-8", delay=True)
        self.folder = folder.resolve()
        formatter = logging.Formatter(_FORMAT.format(who=who), _TIME)
        formatter.converter = time.gmtime
        self.setFormatter(formatter)
        self._claimed = folder / STUDY_FILE
        self._held: list[logging.LogRecord] = []

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Goes on without the line where it cannot be written: a log is no reason to stop."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Closes the file; what is still to be written may not fit."""
        with contextlib.suppress(OSError):
            super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the line, and those held back before it, or holds it back."""
        self._held.append(record)
        if self._claimed.exists():
            held, self._held = self._held, []
            for one in held:
                super().emit(one)

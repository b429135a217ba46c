"""A study runs where the system has nothing that only POSIX or Linux has."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bakeoff.children import dying_with_parent
from bakeoff.limits import limited
from bakeoff.measure.costs import apart
from bakeoff.memory import available_bytes

_OF_OS = (
    *("fork", "getuid", "geteuid", "getgid", "setsid", "killpg", "getpgid", "uname", "nice"),
    *("sched_getaffinity", "sched_setaffinity", "mkfifo", "posix_fadvise", "getloadavg"),
)
_OF_SIGNAL = (
    *("SIGHUP", "SIGALRM", "SIGVTALRM", "SIGKILL", "SIGUSR1", "SIGPIPE", "SIGSTOP"),
    *("setitimer", "getitimer", "ITIMER_REAL", "ITIMER_VIRTUAL", "pthread_sigmask", "alarm"),
)
# What other libraries need they have imported by then.
_MODULES = ("resource", "fcntl", "pwd", "grp")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system with Python's portable functions alone, and neither /proc nor /sys.

    ``tmp_path`` comes first: pytest asks for the user's number when it makes the first folder.
    """
    import_module("bakeoff.study.runner")  # PyTorch and Transformers are loaded by then
    for name in _OF_OS:
        monkeypatch.delattr(os, name, raising=False)
    for name in _OF_SIGNAL:
        monkeypatch.delattr(signal, name, raising=False)
    for name in _MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "platform", "other")
    read = Path.read_text

    def portable(self: Path, *arguments: Any, **named: Any) -> str:
        if self.parts[:2] in (("/", "proc"), ("/", "sys")):
            raise FileNotFoundError(2, "No such file or directory", str(self))
        return read(self, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", portable)


def test_what_only_linux_has_is_done_another_way(bare: None) -> None:
    assert dying_with_parent(["python", "-V"]) == ["python", "-V"]
    assert apart(lambda: {"here": os.getpid()}) == {"here": os.getpid()}
    assert available_bytes() > 0
    with limited("a pattern"):
        pass


def test_a_study_runs_and_is_taken_up(
    quick: None,
    bare: None,
    run_small: Callable[..., Any],
    results: Callable[[], dict[str, Any]],
) -> None:
    outcome = run_small()
    assert outcome.code == 0, outcome.err
    assert results()["status"] == "complete"
    assert run_small(protocol={"seeds": [0, 1]}).code == 0
    assert results()["methods"]["lora"]["seeds"] == [0, 1]

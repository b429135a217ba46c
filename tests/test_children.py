"""A process that is killed leaves no child behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import bakeoff
from bakeoff.children import dying_with_parent
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux kills the children")

SOURCE = Path(bakeoff.__file__).parents[1]
SLEEPER = (
    """[sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]"""
)
PLAIN = f"""
import subprocess, sys
from bakeoff.children import dying_with_parent
subprocess.run(dying_with_parent({SLEEPER}))
"""
COSTS = """
import sys
from pathlib import Path
from bakeoff.measure.costs import measure_costs
child = "import time; time.sleep(600)"
list(measure_costs([sys.executable, "-c", child], {}, ["lora"], Path.cwd()))
"""
# The report of an empty folder would end by itself: in its place something that lasts.
REPORT = f"""
import sys, time
from pathlib import Path
from bakeoff.children import dying_with_parent
from bakeoff.report.live import rewriting
rewriting.dying_with_parent = lambda command: dying_with_parent({SLEEPER})
with rewriting.Rewriting(Path.cwd()) as writing:
    writing.news()
    time.sleep(600)
"""


def child_of(parent: subprocess.Popen[str]) -> psutil.Process:
    """Its first child, once that is the command itself and no longer what asks to die with it."""
    process, found = psutil.Process(parent.pid), list[psutil.Process]()

    def has_child() -> bool:
        assert parent.poll() is None, "the parent ended by itself"
        found[:] = process.children()
        try:
            command = found[0].cmdline() if found else []
        except psutil.NoSuchProcess:  # of a helper of Python's own
            return False
        return command != process.cmdline() and "time.sleep(600)" in " ".join(command[:3])

    until(has_child)
    return found[0]


def ended(process: psutil.Process) -> bool:
    """Whether it ends; where no one collects orphans, it stays a zombie."""
    for _ in range(3000):
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            process.wait(timeout=0.01)
            return True
        except psutil.TimeoutExpired:
            continue
        except psutil.NoSuchProcess:
            return True
    return False


@pytest.mark.parametrize("code", [PLAIN, COSTS, REPORT], ids=["any", "costs", "report"])
def test_a_killed_process_leaves_no_child(code: str, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.DEVNULL,
        text=True,
    )
    child = child_of(parent)
    try:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert ended(child)
    finally:
        parent.kill()
        if child.is_running():
            child.kill()


def test_arguments_output_and_exit_code_are_the_commands_own() -> None:
    code = "import sys; print(sys.argv[1:], sys.flags.isolated); sys.exit(7)"
    done = subprocess.run(
        dying_with_parent([sys.executable, "-c", code, "a b", "-c"]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "['a b', '-c'] 0\n")


def test_a_fork_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, time\n"
        "from bakeoff.children import die_with_parent\n"
        "parent = os.getpid()\n"
        "if os.fork() == 0:\n"
        "    die_with_parent(parent)\n"
        "    print(os.getpid(), flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    try:
        parent.kill()
        parent.wait()
        assert ended(child)
    finally:
        parent.stdout.close()
        if child.is_running():
            child.kill()


def test_a_child_that_comes_too_late_does_not_begin(tmp_path: Path) -> None:
    command = dying_with_parent([sys.executable, "-c", "open('begun', 'w')"])
    command[command.index(str(os.getpid()))] = "1" if os.getppid() != 1 else "2"
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 1
    assert list(tmp_path.iterdir()) == []

"""What reads the output may close it, and every command ends well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bakeoff
from bakeoff.cli.exit_codes import BROKEN_PIPE
from bakeoff.cli.pipes import pipes_may_close

SOURCE = Path(bakeoff.__file__).parents[1]


def closed_at_once(code: str, *arguments: str) -> tuple[int, str]:
    """Runs Python with an output that nobody reads: (exit code, errors)."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    return done.returncode, done.stderr


MAIN = "import sys; from bakeoff.cli.main import main; main()"


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("version",), ("--help",), ("methods",), ("methods", "--json"), ("bases",)],
)
def test_a_closed_output_ends_a_command_in_silence(arguments: tuple[str, ...]) -> None:
    assert closed_at_once(MAIN, *arguments) == (BROKEN_PIPE, "")


STUDY = """
import sys
from bakeoff.cli.pipes import pipes_may_close
with pipes_may_close(goes_on=True):
    for number in range(10000):
        print("a line", number)
        sys.stdout.flush()
print("done", file=sys.stderr)
"""


def test_a_study_goes_on_without_its_output() -> None:
    assert closed_at_once(STUDY) == (0, "done\n")
    assert closed_at_once(STUDY.replace("True", "False")) == (BROKEN_PIPE, "")


def test_the_streams_come_back() -> None:
    before = sys.stdout, sys.stderr
    with pipes_may_close(goes_on=False):
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr) == before

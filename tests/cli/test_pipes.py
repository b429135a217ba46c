"""What reads the output may close it, and every command ends well."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

import bakeoff
from bakeoff.cli import main
from bakeoff.cli.exit_codes import BAD_INPUT, BROKEN_PIPE
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
    # One method's JSON is written as that of all, for which libraries are imported for seconds.
    [
        ("--version",),
        ("version",),
        ("--help",),
        ("methods",),
        ("methods", "lora", "--json"),
        ("bases",),
    ],
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


@pytest.mark.parametrize(
    ("call", "goes_on"),
    [
        *((name, True) for name in ("run somewhere", "join somewhere", "claims init_matters")),
        *((name, False) for name in ("report somewhere", "predict somewhere", "join --help")),
        ("claims --list", False),
    ],
)
def test_what_trains_goes_on_without_its_output(
    call: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def noted(*, goes_on: bool) -> AbstractContextManager[None]:
        asked.append(goes_on)
        return nullcontext()

    monkeypatch.setattr(main, "pipes_may_close", noted)
    monkeypatch.setattr(main, "app", lambda: None)
    monkeypatch.setattr(main, "keep_freed", lambda: None)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # which the entry point would leave behind
    monkeypatch.setattr("sys.argv", ["bakeoff", *call.split()])
    main.main()
    assert asked == [goes_on]


def test_the_streams_come_back() -> None:
    before = sys.stdout, sys.stderr
    with pipes_may_close(goes_on=False):
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr) == before


def with_output(output: int, code: str, *arguments: str) -> tuple[int, str]:
    """Runs Python with an output: (exit code, errors)."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(output)
    return done.returncode, done.stderr


def closed_terminal() -> int:
    """A terminal whose other end is gone: it answers every write with EIO."""
    import pty

    end, terminal = pty.openpty()
    os.close(end)
    return terminal


def test_a_study_goes_on_when_its_terminal_is_closed() -> None:
    assert with_output(closed_terminal(), STUDY) == (0, "done\n")
    assert with_output(closed_terminal(), MAIN, "methods") == (BROKEN_PIPE, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_under_the_output_is_said_and_ends_no_study() -> None:
    assert with_output(os.open("/dev/full", os.O_WRONLY), STUDY) == (0, "done\n")
    code, errors = with_output(os.open("/dev/full", os.O_WRONLY), MAIN, "methods")
    assert code == BAD_INPUT
    assert errors.startswith("Error: the output cannot be written (No space left on device)")
    assert "Traceback" not in errors


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell of Unix")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_were_closed_before_it_began(closed: str, tmp_path: Path) -> None:
    """A file that is opened next must not get their number, and what is printed with it."""
    code = (
        "from bakeoff.cli.pipes import pipes_may_close\n"
        "import os\n"
        "with pipes_may_close(goes_on=False):\n"
        f"    file = open({str(tmp_path / 'opened')!r}, 'w')\n"
        "    os.write(1, b'of a library')\n"
        "    print('a line')\n"
        "    assert file.fileno() > 2\n"
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "opened").read_text(encoding="utf-8") == ""

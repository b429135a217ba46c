"""Every exit code, as the shell gets it. ``execution/`` tests how a run is stopped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bakeoff
from bakeoff.cli import exit_codes
from bakeoff.cli.main import main
from bakeoff.execution.stopping import EXIT_HUNG_UP, EXIT_INTERRUPTED, EXIT_TERMINATED, Stopped
from bakeoff.runs.log import LOG_FILE
from bakeoff.study.runner import Runner

SOURCE = Path(bakeoff.__file__).parents[1]
GUIDE = Path(__file__).parents[2] / "docs/guide/run-folder.md"
Ends = Callable[[BaseException | None], int]


@pytest.fixture
def ends(run_small: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Ends:
    """The exit code of a run whose work ends in this way once the folder is the study's."""

    def call(error: BaseException | None) -> int:
        def work(self: Runner) -> dict[str, Any]:
            self.folder.claim({}, {})
            if error is not None:
                raise error
            return {}

        monkeypatch.setattr(Runner, "run", work)
        monkeypatch.setattr("bakeoff.report.write_report", lambda folder, *_: folder / "page")
        monkeypatch.setattr("bakeoff.cli.run._finish", lambda *_: None)
        return int(run_small().code)

    return call


def logged(place: Path) -> str:
    return (place / "out" / LOG_FILE).read_text(encoding="utf-8")


def test_a_run_to_its_end(ends: Ends, place: Path) -> None:
    assert ends(None) == exit_codes.OK == 0
    assert re.search(r"INFO \w+: study \w+ ends\n$", logged(place))


def test_an_interrupt(ends: Ends, place: Path) -> None:
    assert ends(KeyboardInterrupt()) == exit_codes.INTERRUPTED == EXIT_INTERRUPTED == 130
    assert logged(place).endswith("stopped, exit code 130\n")


def test_the_end_of_the_budget(ends: Ends, place: Path) -> None:
    stopped = Stopped(EXIT_TERMINATED, "The budget is over.")
    assert ends(stopped) == exit_codes.TERMINATED == EXIT_TERMINATED == 143
    assert logged(place).endswith("stopped, exit code 143\n")


def test_a_closed_terminal(ends: Ends, place: Path) -> None:
    stopped = Stopped(EXIT_HUNG_UP, "The terminal was closed.")
    assert ends(stopped) == exit_codes.HUNG_UP == EXIT_HUNG_UP == 129
    assert logged(place).endswith("stopped, exit code 129\n")


def test_a_fault_goes_to_stderr_and_into_the_log(ends: Ends, place: Path) -> None:
    """Python prints what passes through the entry point, and exits with 1."""
    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError("of our own"))
    text = logged(place)
    assert "Traceback (most recent call last)" in text and "ZeroDivisionError: of our own" in text


def test_the_shell_gets_a_fault_with_its_traceback() -> None:
    code = "import bakeoff.cli.main as m; m.app = lambda: 1 / 0; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exit_codes.FAULT == 1
    assert done.stderr.startswith("Traceback") and "ZeroDivisionError" in done.stderr


def test_an_interrupt_before_a_run_has_begun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bakeoff.study.loading.load_study", interrupted)
    monkeypatch.setattr(sys, "argv", ["bakeoff", "run"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == exit_codes.INTERRUPTED


def test_a_wrong_flag_is_bad_input(cli: Callable[..., Any]) -> None:
    assert cli("run", "--no-such-flag").code == exit_codes.BAD_INPUT == 2
    outcome = cli("run", "--log-level", "debg")
    assert outcome.code == exit_codes.BAD_INPUT
    assert "did you mean debug" in outcome.err


def test_help_and_the_guide_document_each(cli: Callable[..., Any]) -> None:
    flowing = " ".join(cli("--help").out.split())
    guide = GUIDE.read_text(encoding="utf-8")
    for code, meaning in exit_codes.MEANINGS.items():
        assert f"{code}: {meaning}" in flowing
        assert f"| {code} | {meaning} |" in guide


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("unable to mmap 6008 bytes from file <x>: Cannot allocate memory"),
    ],
)
def test_a_machine_without_memory_is_no_fault_of_its_own(
    run_small: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("bakeoff.study.runner.open_workbench", failing)
    outcome = run_small()
    assert outcome.code == 2
    assert "this machine has no memory left" in outcome.message
    assert "Traceback" not in outcome.err


def test_an_error_needs_no_colours_to_be_said(
    run_small: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("bakeoff.study.runner.open_workbench", failing)
    monkeypatch.setattr("bakeoff.cli.main.Console.print", failing)
    outcome = run_small()
    assert outcome.code == 2
    assert "Error: this machine has no memory left" in outcome.message

"""The commands, through the entry point that the shell calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bakeoff
from bakeoff.cli.main import main
from bakeoff.methods.registry import METHODS

Call = Callable[..., tuple[int, str, str]]
SOURCE = Path(bakeoff.__file__).parents[1]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the entry point in this process: (exit code, output, errors)."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bakeoff", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


def test_version(call: Call) -> None:
    for asked in ("version", "--version"):
        assert call(asked) == (0, f"{bakeoff.__version__}\n", "")


def test_help_names_every_command(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    assert all(name in out for name in ("run", "report", "methods", "version"))


def test_help_of_run_names_every_option(call: Call) -> None:
    code, out, _ = call("run", "--help")
    assert code == 0
    for part in ("[STUDY.yaml|DIR]", "--set", "KEY=VALUE", "--out", "--device", "--fresh"):
        assert part in out
    assert "[[" not in out


def test_without_a_command_there_is_help(call: Call) -> None:
    code, out, err = call()
    assert code == 2
    assert "Usage:" in out + err


def test_methods_as_text(call: Call) -> None:
    code, out, _ = call("methods")
    assert code == 0
    assert all(f"{kind}: " in out for kind in METHODS)
    assert max(map(len, out.splitlines())) <= 80


def test_methods_as_json(call: Call) -> None:
    code, out, _ = call("methods", "--json")
    assert code == 0
    described = {method["kind"]: method for method in json.loads(out)}
    assert list(described) == list(METHODS)
    assert described["lora"]["options"]["rank"] == {"type": "int", "default": 16}
    assert described["soft_prompt"]["options"]["init"]["default"] == "vocabulary"
    assert described["lora"]["exportable"] == ["peft", "merged"]
    assert (described["lora"]["stacked"], described["full"]["stacked"]) == (True, False)
    assert described["soft_prompt"]["exportable"] == ["peft"]
    assert not described["soft_prompt"]["mergeable"] and described["head"]["mergeable"]
    assert described["head"]["file_format"] == "bakeoff"
    assert described["peft"]["families"]["LOHA"]["r"] == {"type": "int", "default": 8}
    assert described["lora"]["options"]["alpha"]["default"] == 32.0
    assert described["lora"]["learning_rates_by_size"]["20"] == 2e-4
    assert "alpha" in described["lora"]["option_sources"]
    assert not described["lora"]["families"]
    for method in described.values():
        assert method["default_learning_rate"] > 0
        assert method["learning_rate_source"] and method["paper"] and method["parameters"]


def test_a_report_of_a_folder_without_results_is_refused(call: Call, tmp_path: Path) -> None:
    code, out, err = call("report", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert str(tmp_path / "results.json") in err and "not found" in err
    assert list(tmp_path.iterdir()) == []


def test_a_report_names_the_file_that_it_wrote(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bakeoff.report.write_report", lambda folder, *_: folder / "report.html")
    long = tmp_path / ("[b]" + "x" * 100)
    code, out, _ = call("report", long)
    assert code == 0
    assert out.splitlines() == [f"{long}/report.html"]


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--max-memory", "8", "--max-memory '8': is not a size; give a number and its unit"),
        ("--max-adapter-size", "0MB", "--max-adapter-size '0MB': must be above zero"),
        ("--max-time", "soon", "--max-time 'soon': is not a duration"),
        ("--max-latency", "20", "--max-latency '20': is not a duration"),
    ],
)
def test_a_limit_without_sense_is_refused(
    call: Call, tmp_path: Path, option: str, value: str, told: str
) -> None:
    code, _, err = call("report", tmp_path, option, value)
    assert code == 2
    assert err.startswith(f"Error: {told}")


def test_an_interrupt_outside_a_run_is_130(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path, *_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr("bakeoff.report.write_report", interrupted)
    code, _, err = call("report", "x")
    assert code == 130
    assert "Traceback" not in err


def test_run_without_a_file_is_the_demo(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = call("run", "--set", "protocol.epochs=0")
    assert code == 2
    assert "protocol.epochs: 0 is out of range" in err


def test_the_shell_gets_the_exit_code_and_one_message(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bakeoff.cli", "report", "nowhere"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: nowhere/results.json: not found")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []

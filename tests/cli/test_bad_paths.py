"""Paths that no system takes, times that no clock shows and outputs that know ASCII alone."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.cli.main import main

Run = Callable[..., Any]
FINISHED = Path(__file__).parents[1] / "golden" / "four"
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("run", "@"),
    ("run", "--data", "@"),
    ("run", "--out", "@"),
    ("run", "--set", "base=@"),
    ("run", "--data", "rows.jsonl", "--base", "@"),
    ("plan", "@"),
    ("plan", "--like", "@"),
    ("plan", "--set", "task.source=@"),
    ("plan", "--set", "task={kind: classify, source: {train: '@', test: '@'}}"),
    ("report", "@"),
    ("report", ".", "@", "--out", "x"),
    ("predict", "@", "rows.jsonl"),
    ("export", "@", "--to", "peft", "--out", "x"),
    ("init", "@"),
    ("init", "rows.jsonl", "--out", "@"),
    ("push", "@", "--repo", "a/b"),
    ("audit", "@"),
)
LONG = "x" * 300


@pytest.mark.parametrize("path", ["a\0b", LONG, f"{LONG}/y.jsonl", f"y/{LONG}.csv"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_path_that_no_system_takes_is_one_readable_line(
    cli: Run, place: Path, command: tuple[str, ...], path: str
) -> None:
    rows = [{"text": f"so {word}", "label": word} for word in ("good", "bad") * 10]
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = cli(*(part.replace("@", path) for part in command))
    assert outcome.code == 2
    assert outcome.err.strip()
    assert "Traceback" not in outcome.out + outcome.err


def test_what_is_wrong_with_a_path_is_said(cli: Run) -> None:
    outcome = cli("run", LONG)
    assert outcome.message.startswith(f"Error: {'x' * 117}...: File name too long; give a shorter")


@pytest.mark.parametrize("time", ["9999999999-99-99T99:99:99Z", 1e300, -5.0])
def test_times_that_no_clock_shows_are_reported_all_the_same(
    cli: Run, place: Path, time: str | float
) -> None:
    folder = shutil.copytree(FINISHED, place / "run")
    changed = 0

    def with_time(value: Any, key: str = "") -> Any:
        nonlocal changed
        if isinstance(value, dict):
            return {name: with_time(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [with_time(item, key) for item in value]
        is_date = isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value)
        is_seconds = isinstance(value, float) and ("seconds" in key or "time" in key)
        if is_date if isinstance(time, str) else is_seconds:
            changed += 1
            return time
        return value

    file = folder / "results.json"
    file.write_text(json.dumps(with_time(json.loads(file.read_text()))))
    assert changed
    outcome = cli("report", folder)
    assert outcome.code in (0, 2), outcome.err
    assert "Traceback" not in outcome.out + outcome.err


def test_an_output_that_knows_ascii_alone_is_written(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(FINISHED, place / "läuft")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["bakeoff", "report", str(folder)])
    with pytest.raises(SystemExit) as caught:
        main()
    sys.stdout.flush()
    assert not caught.value.code
    assert "l?uft" in written.getvalue().decode("ascii")

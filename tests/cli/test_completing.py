"""What the shell completes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bakeoff
from bakeoff.cli.completing import any_files, folders, study_files

PROGRAM = "import sys; from bakeoff.cli.main import main; sys.argv[0] = 'bakeoff'; main()"
SOURCE = Path(bakeoff.__file__).parents[1]


def completed(line: str, folder: Path) -> list[str]:
    """What bash is offered at the end of a line, by the whole program."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ
        | {
            "PYTHONPATH": str(SOURCE),
            "_BAKEOFF_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return [line for line in done.stdout.splitlines() if line]  # none at all is an empty line


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text(
        "task: {kind: classify, source: data}\nmethods: {small: {kind: lora}, head: {}}\n",
        encoding="utf-8",
    )
    (tmp_path / "rows.csv").write_text("a,b\n", encoding="utf-8")
    (tmp_path / ".hidden.yaml").touch()
    (tmp_path / "runs").mkdir()
    return tmp_path


def test_keys_of_a_study_complete(place: Path) -> None:
    assert completed("bakeoff run --set protocol.ep", place) == ["protocol.epochs="]
    assert "methods.soft_prompt.prompt_length=" in completed("bakeoff plan --set methods.", place)


def test_the_study_that_is_named_says_its_methods_and_its_task(place: Path) -> None:
    offered = completed("bakeoff run mine.yaml --set methods.small.ra", place)
    assert offered == [
        "methods.small.rank=",
        "methods.small.ranks=",
        "methods.small.ranks=null",
        "methods.small.rank_stabilised=",
        "methods.small.rank_stabilised=true",
        "methods.small.rank_stabilised=false",
    ]
    offered = completed("bakeoff run mine.yaml --set task.lab", place)
    assert offered == ["task.label=", "task.labels=", "task.labels=null"]


def test_values_that_are_named_complete(place: Path) -> None:
    offered = completed("bakeoff run --set protocol.schedule=c", place)
    assert offered == ["protocol.schedule=constant", "protocol.schedule=cosine"]
    assert completed("bakeoff run mine.yaml --set methods.head=", place) == ["methods.head=null"]


def test_a_study_that_cannot_be_read_offers_nothing(place: Path) -> None:
    (place / "mine.yaml").write_text("{", encoding="utf-8")
    assert completed("bakeoff run mine.yaml --set protocol.ep", place) == []


def test_files_complete(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert study_files("") == ["mine.yaml", "runs/"]
    assert study_files(".h") == [".hidden.yaml"]
    assert any_files("r") == ["rows.csv", "runs/"]
    assert folders(f"{place}/") == [f"{place}/runs/"]
    assert any_files("nowhere/") == []
    assert completed("bakeoff run mi", place) == ["mine.yaml"]

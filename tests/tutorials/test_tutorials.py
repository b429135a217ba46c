"""Each tutorial can be followed to its end, in an empty folder and without a network."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bakeoff.cli.main import main
from bakeoff.tasks.registry import task_kinds
from tests.tutorials.following import ROOT, follow, follow_in_a_shell, shell_of

TUTORIALS = ROOT / "docs" / "tutorials"


@dataclass(frozen=True)
class Tutorial:
    """A page, what its run is called, and what it decides by."""

    kind: str
    run: str
    metric: str

    @property
    def page(self) -> Path:
        """Its file."""
        return TUTORIALS / f"{self.kind}.md"

    def check(self, folder: Path) -> None:
        """That its run came to its end."""
        run = folder / "runs" / self.run
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        assert results["status"] == "complete"
        assert results["task"]["kind"] == self.kind
        assert [m["name"] for m in results["task"]["metrics"] if m["primary"]] == [self.metric]


PAGES = [
    Tutorial("classify", "reviews", "accuracy"),
    Tutorial("choose", "quiz", "accuracy"),
    Tutorial("summarize", "notes", "nll"),
    Tutorial("complete", "codes", "exact_match"),
    Tutorial("chat", "talks", "nll"),
    Tutorial("text", "logbook", "nll"),
]
# One page is followed by each run of the tests, all by `make soak` and by the site's workflow.
ALWAYS = ("classify",)


@pytest.mark.parametrize(
    "tutorial",
    [
        pytest.param(t, id=t.kind, marks=() if t.kind in ALWAYS else (pytest.mark.soak,))
        for t in PAGES
    ],
)
def test_a_tutorial_can_be_followed(
    tutorial: Tutorial,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    quick: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / ".cache"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")

    def call(words: list[str]) -> None:
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (None, 0), f"{' '.join(words)}: {capsys.readouterr().err}"

    follow(tutorial.page, tmp_path, call)
    tutorial.check(tmp_path)


@pytest.mark.soak
def test_a_tutorial_can_be_followed_in_a_shell(tmp_path: Path) -> None:
    tutorial = PAGES[-1]
    tools = tmp_path / ".tools"
    tools.mkdir()
    command = tools / "bakeoff"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bakeoff "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT / "src"),
        "BAKEOFF_CACHE": str(tmp_path / ".cache"),
        "OMP_NUM_THREADS": "1",
    }
    follow_in_a_shell(tutorial.page, tmp_path, environment)
    tutorial.check(tmp_path)
    assert (tmp_path / "runs" / tutorial.run / "report.html").exists()


def test_there_is_a_tutorial_of_each_kind() -> None:
    assert {tutorial.kind for tutorial in PAGES} == set(task_kinds())
    assert {path.stem for path in TUTORIALS.glob("*.md")} == {"index", *task_kinds()}


def test_a_page_makes_its_own_rows() -> None:
    for tutorial in PAGES:
        assert "<<'EOF'" in shell_of(tutorial.page)

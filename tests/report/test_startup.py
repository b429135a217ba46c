"""What reading a finished study loads: nothing that trains, and what draws only to draw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden_folders import copy_of

TRAINING = {"torch", "transformers", "peft", "datasets", "optuna", "tokenizers", "accelerate"}
DRAWING = {"altair", "vl_convert", "jinja2", "pandas", "pyarrow"}
PROBE = "import sys\n{}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after some code."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(code)], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "module",
    [
        "bakeoff.report",
        "bakeoff.report.write",
        "bakeoff.report.paper.writing",
        "bakeoff.report.terminal",
        "bakeoff.report.live.rewriting",
        "bakeoff.report.live.server",
        "bakeoff.report.ranking",
        "bakeoff.report.side_by_side",
        "bakeoff.decide.recommendation",
        "bakeoff.decide.judged",
        "bakeoff.decide.limits",
        "bakeoff.runs.folder",
        "bakeoff.runs.reading",
        "bakeoff.page.frame",
        "bakeoff.cli.main",
    ],
)
def test_importing_what_reads_loads_nothing_that_trains_or_draws(module: str) -> None:
    assert not loaded_by(f"import {module}") & (TRAINING | DRAWING)


def test_a_recommendation_of_a_finished_study_needs_neither(tmp_path: Path) -> None:
    copy_of("four", tmp_path)
    code = (
        "from pathlib import Path\n"
        "from bakeoff.decide.recommendation import recommend\n"
        "from bakeoff.runs.reading import read_results\n"
        f"recommend(read_results(Path({str(tmp_path)!r})))"
    )
    assert not loaded_by(code) & (TRAINING | DRAWING)


def test_the_report_of_a_finished_study_loads_nothing_that_trains(tmp_path: Path) -> None:
    copy_of("four", tmp_path)
    code = (
        f"sys.argv = ['bakeoff', 'report', {str(tmp_path)!r}]\n"
        "from bakeoff.cli.main import app\n"
        "app(standalone_mode=False)"
    )
    loaded = loaded_by(code)
    assert not loaded & TRAINING
    # Figures are drawn in a process of their own.
    assert DRAWING & loaded >= {"altair", "jinja2"} and "vl_convert" not in loaded
    # What is stored is shown; only limits make it choose again.
    assert "scipy" not in loaded
    assert (tmp_path / "report.html").is_file()

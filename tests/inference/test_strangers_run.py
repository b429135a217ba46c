"""A run's folder that someone else made: to read it back runs none of its code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bakeoff.config import dump_yaml, load_yaml
from bakeoff.errors import ConfigError
from bakeoff.inference.finished import FinishedRun
from bakeoff.metrics.contract import Ask
from bakeoff.study.growing import outline_of
from bakeoff.study.loading import load_study
from bakeoff.study.without_code import without_code

GOLDEN = Path(__file__).parents[1] / "golden/four"
EVIL = """
from pathlib import Path
Path({marker!r}).touch()
def f(text, references, row):
    return 1.0
"""
SPELT: dict[str, Any] = {
    "text": "python: evil.py:f",
    "mapping": {"python": "evil.py:f"},
    "options": {"python": {"function": "evil.py:f", "load": True, "title": "F"}},
}


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


@pytest.fixture
def folder(tmp_path: Path, marker: Path) -> Path:
    place = tmp_path / "downloaded"
    shutil.copytree(GOLDEN, place)
    (place / "evil.py").write_text(EVIL.format(marker=str(marker)), encoding="utf-8")
    return place


def changed(folder: Path, **changes: Any) -> dict[str, Any]:
    file = folder / "study.yaml"
    study = load_yaml(file.read_text(encoding="utf-8"), where="study")
    study["task"] |= changes.pop("task", {})
    study |= changes
    file.write_text(dump_yaml(study), encoding="utf-8")
    return study


@pytest.mark.parametrize("spelt", SPELT)
def test_a_metric_in_python_is_not_loaded(folder: Path, marker: Path, spelt: str) -> None:
    also = {"other": {"source": "wire", "metrics": [SPELT[spelt]]}}
    study = changed(folder, task={"metrics": ["rouge1", SPELT[spelt]]}, also_test=also)
    run = FinishedRun(folder, "cpu")
    for task in (run.task, run.study.task, run.study.also["other"].task):
        [metric] = [metric for metric in task.metrics if metric.name == "f"]
        assert metric.asks is Ask.TEXT
    outline_of(study)
    assert not marker.exists()
    (folder / "evil.py").unlink()  # nor is it needed
    FinishedRun(folder, "cpu")


def test_to_go_on_with_a_run_loads_it(folder: Path, marker: Path) -> None:
    changed(folder, task={"metrics": ["rouge1", SPELT["text"]]})
    load_study(folder)
    assert marker.exists()


def test_code_beside_the_base_runs_only_where_the_reader_says_so(folder: Path) -> None:
    study = changed(folder, trust_remote_code=True)
    run = FinishedRun(folder, "cpu")
    assert run.study.options.trust_remote_code is False
    with pytest.raises(ConfigError, match=r"trust_remote_code: true.*give --trust-remote-code"):
        _ = run.base
    trusting = FinishedRun(folder, "cpu", trust_remote_code=True)
    assert trusting.study.options.trust_remote_code is True
    # What two studies are compared by still says so.
    assert outline_of(study).resolved["trust_remote_code"] is True
    assert study["trust_remote_code"] is True


def test_other_entries_stay_as_they_are() -> None:
    given = {"task": {"metrics": ["nll", {"schema_valid": "a.json"}, {"a": 1, "b": 2}, 3]}}
    assert without_code(given) == given
    assert without_code({"task": {"metrics": None}}) == {"task": {"metrics": None}}

"""A study run, taken up again and used from Python; every part but the costs is real."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bakeoff
from bakeoff.errors import ConfigError, DataError, StoreError
from bakeoff.execution.stopping import BudgetSpent, Stopped
from bakeoff.measure.plan import StudyPlan
from bakeoff.methods import registry
from bakeoff.study.measuring import register_again, registered_by
from bakeoff.study.runner import Runner
from tests.studies import SIZES

pytestmark = pytest.mark.usefixtures("quick", "quick_plans")
Rows = dict[str, list[dict[str, Any]]]
ID = "lora-lr0.01-s0"


@pytest.fixture
def rows(place: Path) -> Rows:
    """What ``rows`` beside the study holds, in memory."""
    files = {split: place / "rows" / f"{split}.jsonl" for split in SIZES}
    return {
        split: [json.loads(line) for line in file.read_text().splitlines()]
        for split, file in files.items()
    }


@pytest.fixture
def given(rows: Rows, small: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The keys of the small study with its rows in memory, and some changes."""

    def call(**changes: Any) -> dict[str, Any]:
        changes["task"] = {"source": rows, **changes.get("task", {})}
        return small(**changes)

    return call


def scored(folder: Path) -> Mapping[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.name == "predictions.jsonl" or file.suffix in (".npz", ".safetensors")
    }


def test_rows_in_memory_give_what_the_same_files_give(
    run_small: Callable[..., Any], given: Callable[..., dict[str, Any]]
) -> None:
    assert run_small().code == 0
    results = bakeoff.run(given(), out="mine", progress=False)
    assert results.status == "complete"
    files = scored(Path("out"))
    assert len(files) > 4 and scored(Path("mine")) == files
    assert list(results.table()["method"]) == ["lora"]


def test_a_frame_does_the_same_as_lists(
    given: Callable[..., dict[str, Any]], rows: Rows, trained: list[str]
) -> None:
    bakeoff.run(given(), out="mine", progress=False)
    frames = {split: pd.DataFrame(found) for split, found in rows.items()}
    assert trained
    trained.clear()
    bakeoff.run(given(task={"source": frames}), out="mine", progress=False)
    assert not trained, "the same rows are the same study, complete"


def test_a_run_goes_on_from_another_place(
    given: Callable[..., dict[str, Any]],
    trained: list[str],
    cli: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    place: Path,
) -> None:
    work = Runner.run

    def stopped(self: Runner) -> Any:
        self.folder.claim({}, {})
        raise Stopped(143, "Terminated.")

    monkeypatch.setattr(Runner, "run", stopped)
    with pytest.raises(KeyboardInterrupt, match=r"Terminated\."):
        bakeoff.run(given(), out="mine", progress=False)
    monkeypatch.setattr(Runner, "run", work)
    (place / "mine/inputs.json").unlink()
    (place / "deep").mkdir()
    shutil.move("mine", "deep/moved")
    monkeypatch.chdir(place / "deep")
    # By its own file, without the rows at hand; and from Python, with them.
    assert cli("run", "moved/study.yaml", "--out", "moved").code == 0
    assert trained == [ID]
    assert bakeoff.run(given(), out="moved", progress=False).status == "complete"
    assert trained == [ID]


def test_other_rows_are_another_study(given: Callable[..., dict[str, Any]], rows: Rows) -> None:
    bakeoff.run(given(), out="mine", progress=False)
    rows["train"][0]["short"] = "Another."
    with pytest.raises(StoreError, match=r"holds the results of another study.*\n.*task\.source"):
        bakeoff.run(given(), out="mine", progress=False)
    # What is there stays, and rows that no study took are gone.
    assert bakeoff.run(given(), out="mine", fresh=True, progress=False).status == "complete"
    assert len(list(Path("mine/data").iterdir())) == 1


def test_a_refused_study_leaves_nothing_that_refuses_the_next(
    given: Callable[..., dict[str, Any]], rows: Rows
) -> None:
    good = rows["train"][3]["short"]
    rows["train"][3]["short"] = ""
    with pytest.raises(DataError, match=r"row 4 the summary .* is empty"):
        bakeoff.run(given(), out="mine", progress=False)
    assert not list(Path("mine").glob("*"))
    # A killed process cannot clean up after itself.
    bakeoff.Study(**given()).rows.write(Path("mine/data"))  # type: ignore[union-attr]
    rows["train"][3]["short"] = good
    assert bakeoff.run(given(), out="mine", progress=False).status == "complete"


def test_a_spent_budget_gives_what_is_there(
    given: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = "bakeoff.study.stages.measure_all"

    def spent(*_: Any) -> None:
        raise BudgetSpent

    with monkeypatch.context() as patch:
        patch.setattr(measured, spent)
        results = bakeoff.run(given(), out="mine", budget="1h", progress=False)
    assert results.status == "partial"
    assert bakeoff.run(given(), out="mine", progress=False).status == "complete"


def test_progress_is_shown_on_stderr_or_not_at_all(
    given: Callable[..., dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    bakeoff.run(given(), out="mine", progress=False)
    assert capfd.readouterr() == ("", "")
    bakeoff.run(given(), out="again")
    out, err = capfd.readouterr()
    assert not out and ID in err


def test_rows_are_answered_in_every_form(given: Callable[..., dict[str, Any]], rows: Rows) -> None:
    results = bakeoff.run(given(), out="mine", progress=False)
    asked = [{"text": row["text"]} for row in rows["test"]]
    answers = bakeoff.predict(results, asked, ID)
    kept = results.scores()["answer"]
    assert answers == list(kept)
    texts = [row["text"] for row in asked]
    for form in (texts, tuple(texts), pd.DataFrame(asked), iter(asked)):
        assert bakeoff.predict("mine", form, ID) == answers


def test_what_cannot_be_answered_is_refused(given: Callable[..., dict[str, Any]]) -> None:
    bakeoff.run(given(), out="mine", progress=False)
    cases: list[tuple[Any, str, type[Exception], str]] = [
        (["a"], "lora-lr1-s0", ConfigError, r"candidate=ID: 'lora-lr1-s0' .* did you mean"),
        ([], ID, DataError, "rows: holds no rows"),
        ("a text", ID, DataError, "rows: is of the type str; give a list"),
        ([{"txt": "a"}], ID, DataError, r"rows, row 1: the document .*'text'.* is missing"),
        (pd.DataFrame({"txt": ["a"]}), ID, DataError, r"task\.document is 'text', but rows has"),
        ([3], ID, DataError, "rows, row 1: is of the type int"),
    ]
    for asked, candidate, kind, words in cases:
        with pytest.raises(kind, match=words):
            bakeoff.predict("mine", asked, candidate)


def test_a_study_with_rows_in_memory_is_planned(given: Callable[..., dict[str, Any]]) -> None:
    before = sorted(os.listdir())
    said: list[str] = []
    found = bakeoff.plan(given(), report=said.append)
    assert isinstance(found, StudyPlan)
    assert found.methods["lora"].trainable_parameters > 0 and said
    assert [name for name in sorted(os.listdir()) if name != "cache"] == [
        name for name in before if name != "cache"
    ]


MODULE = """
from dataclasses import replace
import bakeoff
from bakeoff.methods.ia3 import Ia3, Ia3Stack

class Mine(Ia3):
    spec = replace(Ia3.spec, kind="mine")

bakeoff.register_method(Mine, Ia3Stack)
"""


def test_a_registered_method_runs_and_is_known_to_the_measuring_process(
    place: Path, given: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "mine_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(registry, "_registered", {})
    __import__("mine_module")
    study = bakeoff.Study(**given(methods={"mine": {"learning_rate": 0.01}}))
    assert bakeoff.run(study, out="mine", progress=False).status == "complete"
    job = {"registered": registered_by(study.at(Path("mine")))}
    assert job["registered"] == {"method 'mine'": "mine_module"}
    # As in a process of its own.
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.delitem(sys.modules, "mine_module")
    register_again(json.loads(json.dumps(job)))
    assert list(registry.registered_in()) == ["mine"]
    with pytest.raises(ConfigError, match="the method 'x' was registered by a script or a noteb"):
        register_again({"registered": {"method 'x'": "__main__"}})

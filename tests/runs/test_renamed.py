"""A folder that is renamed or replaced while its study runs: one line, and no second folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bakeoff.engine import train
from bakeoff.errors import StoreError
from bakeoff.files import new_folder, write_bytes
from bakeoff.runs.events import EventLog, Kept
from bakeoff.runs.folder import open_run
from tests.studies import without_times

Run = Callable[..., Any]
STUDY = {"methods": {"head": {"learning_rate": 1e-2}, "lora": {"rank": 2, "learning_rate": 1e-2}}}


@pytest.fixture
def at_the_second_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """What is put into the list is called in the second training step."""
    step, actions, counted = train.train_step, list[Callable[[], object]](), list[int]()

    def watched(*arguments: Any) -> Any:
        counted.append(1)
        if len(counted) == 2:
            for action in actions:
                action()
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(train, "train_step", watched)
        yield actions


@pytest.mark.usefixtures("quick")
def test_a_run_whose_folder_is_renamed_stops_and_goes_on_once_it_is_back(
    run_small: Run,
    place: Path,
    results: Run,
    at_the_second_step: list[Callable[[], object]],
) -> None:
    at_the_second_step.append(lambda: (place / "out").rename(place / "away"))
    outcome = run_small(**STUDY)
    assert outcome.code == 2
    assert f"{place / 'out'}: was renamed or removed while a study ran" in outcome.message
    assert "Traceback" not in outcome.err
    assert not (place / "out").exists()

    (place / "away").rename(place / "out")
    assert run_small(**STUDY).code == 0
    assert without_times(results())["status"] == "complete"


@pytest.mark.usefixtures("quick")
def test_a_run_whose_folder_is_replaced_writes_nothing_into_the_other(
    run_small: Run, place: Path, at_the_second_step: list[Callable[[], object]]
) -> None:
    def replace() -> None:
        (place / "out").rename(place / "away")
        (place / "out").mkdir()
        (place / "out" / "mine.txt").write_text("mine")

    at_the_second_step.append(replace)
    outcome = run_small(**STUDY)
    assert outcome.code == 2
    assert f"{place / 'out'}: was replaced while a study ran" in outcome.message
    assert [file.name for file in (place / "out").iterdir()] == ["mine.txt"]


WRITES: dict[str, Callable[[Path], object]] = {
    "a file": lambda path: write_bytes(path / "candidates/a/record.json", b"{}"),
    "a folder": lambda path: new_folder(path / "candidates/a/adapter").__enter__(),
    "an event": lambda path: EventLog(path).add(Kept(cohort="c", part="p")),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_every_write_looks_first(tmp_path: Path, write: Callable[[Path], object]) -> None:
    path = tmp_path / "out"
    with open_run(path, {"name": "x"}):
        write(path)
        path.rename(tmp_path / "away")
        with pytest.raises(StoreError, match="was renamed or removed"):
            write(path)
        assert not path.exists()
    write(path)  # once nothing is held, any place will do


def test_a_folder_that_was_put_aside_for_a_fresh_run_is_no_loss(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with open_run(path, {"name": "x"}) as folder:
        folder.claim({}, {})
    with open_run(path, {"name": "x"}, fresh=True) as folder:
        folder.claim({}, {})
    assert len(list(tmp_path.glob("out.before-*"))) == 1
    shutil.rmtree(path)

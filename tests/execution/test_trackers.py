"""A study's curves in other programs: TensorBoard for real, the two others by stand-ins."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import ProtocolOptions
from bakeoff.execution.trackers import registry
from bakeoff.execution.trackers.contract import TrackedStudy
from bakeoff.execution.trackers.following import Following
from bakeoff.runs.hashes import changed_file
from bakeoff.runs.reading import read_results
from bakeoff.runs.records import EpochRecord
from bakeoff.types import RunState

Run = Callable[..., Any]
GOLDEN = Path(__file__).parents[1] / "golden/four"
ID = "lora-lr0.01-s0"
pytestmark = pytest.mark.usefixtures("quick")


def events_of(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_tensorboard_gets_every_epoch_state_and_the_table(
    run_small: Run, place: Path, results: Callable[[], dict[str, Any]]
) -> None:
    protocol = {"epochs": 2, "schedule": "cosine"}
    assert run_small(track=["tensorboard"], protocol=protocol).code == 0
    events = events_of(place / "out/tensorboard" / ID)
    epochs = results()["candidates"][ID]["epochs"]
    assert len(epochs) == 2
    for key in ("train_nll", "val_nll", "seconds"):
        seen = {event.step: event.value for event in events.Scalars(key)}
        assert seen == pytest.approx({e["epoch"]: e[key] for e in epochs}, rel=1e-6)
    rates = [event.value for event in events.Scalars("learning_rate")]
    # Two steps an epoch, four in all: the last update of each epoch, by the cosine.
    assert rates == pytest.approx([1e-2 * f for f in (0.85355339, 0.14644661)], rel=1e-6)
    assert b"COMPLETE" in _text(events, "state")
    table = _text(events_of(place / "out/tensorboard/study"), "results").decode()
    assert "| method | state |" in table and "| lora | COMPLETE | 0.01 |" in table


def _text(events: Any, tag: str) -> bytes:
    [event] = events.Tensors(f"{tag}/text_summary")
    [text] = event.tensor_proto.string_val
    assert isinstance(text, bytes)
    return text


def test_a_tracker_that_is_not_installed_is_refused_before_training(
    run_small: Run, place: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda module: None)
    outcome = run_small(track=["wandb"])
    assert outcome.code == 2
    assert "track: wandb is asked for, but wandb is not installed" in outcome.message
    assert "pip install 'bakeoff[wandb]'" in outcome.message
    assert not trained and not (place / "out/study.yaml").exists()


def test_an_unknown_tracker_or_one_named_twice_is_refused(run_small: Run) -> None:
    assert "track" in run_small(track=["mlflow"]).message
    twice = run_small(track=["tensorboard", "tensorboard"])
    assert twice.code == 2 and "names a tracker twice" in twice.message


def test_tracking_does_not_make_another_study(run_small: Run, trained: list[str]) -> None:
    assert run_small().code == 0
    before = list(trained)
    again = run_small(track=["tensorboard"])
    assert again.code == 0, again.err
    assert "nothing is trained" in again.out and trained == before


class Recorder(ModuleType):
    """Stands in for ``wandb`` and ``trackio``: keeps what it is told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.is_broken = self.fails_at_its_end = False

    def init(self, **settings: Any) -> Recorder:
        self.calls.append(("init", settings))
        return self

    def define_metric(self, *names: str, **settings: Any) -> None:
        self.calls.append(("define_metric", (names, settings)))

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        if self.is_broken:
            raise ConnectionError("no socket")
        self.calls.append(("log", values))

    def finish(self) -> None:
        if self.fails_at_its_end:
            raise ConnectionError("the last upload was refused")
        self.calls.append(("finish", None))

    @staticmethod
    def Table(columns: list[str], data: list[list[Any]]) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(columns=columns, data=data)


@pytest.fixture(params=["wandb", "trackio"])
def recorder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    module = Recorder(request.param)
    monkeypatch.setitem(sys.modules, request.param, module)
    monkeypatch.setattr(registry, "find_spec", lambda name: module)
    for variable in ("WANDB_MODE", "WANDB_SILENT", "TRACKIO_DIR"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    yield module


def test_wandb_and_trackio_are_told_the_same(
    run_small: Run, recorder: Recorder, results: Callable[[], dict[str, Any]], place: Path
) -> None:
    import os

    assert run_small(track=[recorder.__name__]).code == 0
    kind, settings = recorder.calls[0]
    assert kind == "init"
    assert settings["project"] == "bakeoff" and settings["name"] == "small"
    json.dumps(settings["config"])
    logged = [values for call, values in recorder.calls if call == "log"]
    [epoch] = results()["candidates"][ID]["epochs"]
    assert logged[0][f"{ID}/val_nll"] == epoch["val_nll"]
    assert logged[0][f"{ID}/learning_rate"] == 1e-2
    assert logged[-1]["results"].data[0][:3] == ["lora", "COMPLETE", 1e-2]
    assert recorder.calls[-1] == ("finish", None)
    if recorder.__name__ == "wandb":
        assert os.environ["WANDB_MODE"] == "offline"
        assert recorder.summary == {f"{ID}/state": "COMPLETE"}
    else:
        assert os.environ["TRACKIO_DIR"] == str(place / "out/trackio")
        assert logged[-1]["candidates"].data == [[ID, "COMPLETE", None]]


def test_what_the_user_set_is_left_alone(
    run_small: Run, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("TRACKIO_DIR", "/elsewhere")
    assert run_small(track=[recorder.__name__]).code == 0
    assert (os.environ["WANDB_MODE"], os.environ["TRACKIO_DIR"]) == ("online", "/elsewhere")


def test_a_tracker_that_fails_never_stops_the_study(
    run_small: Run, recorder: Recorder, results: Callable[[], dict[str, Any]]
) -> None:
    recorder.is_broken = True
    assert run_small(track=[recorder.__name__]).code == 0
    assert results()["status"] == "complete"
    told = f"tracking with {recorder.__name__} failed and was given up (ConnectionError: no socket)"
    assert told in results()["notes"]
    assert recorder.calls[-1][0] != "finish"  # it was given up at its first failure


def test_a_tracker_that_fails_at_its_end_is_noted_and_damages_nothing(
    run_small: Run, recorder: Recorder, results: Callable[[], dict[str, Any]], place: Path
) -> None:
    recorder.fails_at_its_end = True
    outcome = run_small(track=[recorder.__name__])
    assert outcome.code == 0
    said = (
        f"tracking with {recorder.__name__} failed and was given up (ConnectionError: the last "
        "upload was refused)"
    )
    assert said in outcome.words and said in results()["notes"]
    assert changed_file(place / "out") is None
    again = run_small(track=[recorder.__name__])
    assert "This study is complete" in again.out and "changed since" not in again.words


def test_an_interrupted_study_leaves_its_table_too(
    run_small: Run, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bakeoff.study.stages.score_candidates", interrupted)
    assert run_small(track=[recorder.__name__]).code == 130
    assert "results" in recorder.calls[-2][1]
    assert recorder.calls[-1] == ("finish", None)


def test_no_tracker_costs_nothing(tmp_path: Path) -> None:
    notes: list[str] = []
    study = TrackedStudy(name="s", folder=tmp_path, options={})
    following = Following((), study, ProtocolOptions(), 3, notes.append)
    record = EpochRecord(epoch=1, train_nll=1.0, val_nll=1.0, seconds=1.0)
    candidate = Candidate(
        id="c",
        method_name="m",
        method=None,  # type: ignore[arg-type]
        learning_rate=1.0,
        seed=0,
        epochs=[record],
        state=RunState.COMPLETE,
    )
    following.epoch(candidate)
    following.end(candidate)
    following.finish(read_results(GOLDEN))
    assert not notes and not list(tmp_path.iterdir())

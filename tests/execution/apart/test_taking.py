"""What the driver hands to a job, and what it does with what came of one."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff.engine.candidate import Candidate
from bakeoff.execution.apart.exchange import Outcome
from bakeoff.execution.apart.found import outcome_of, settle_outcome, write_outcome
from bakeoff.execution.apart.places import JobFolder, linked, new_attempt
from bakeoff.execution.apart.schedule import JobSchedule
from bakeoff.execution.apart.taking import Taking
from bakeoff.execution.archive import Archive
from bakeoff.execution.findings import Findings
from bakeoff.runs.events import CohortJob, EventLog, JobKind, Seat
from bakeoff.runs.folder import file_records
from bakeoff.runs.records import CandidateRecord, EpochRecord, Provenance
from bakeoff.search.method_search import MethodSearch, record_of, spec_of
from bakeoff.search.schedule import StudySchedule
from bakeoff.types import RunState
from tests.execution.ray.fakes import job_named

EPOCHS = 2


def test_an_outcome_that_a_lost_driver_had_settled_is_taken_where_it_is(tmp_path: Path) -> None:
    record = CandidateRecord(
        method="lora", learning_rate=0.1, seed=0, state=RunState.COMPLETE, best_epoch=1, epochs=()
    )
    adapter = tmp_path / "candidates" / record.id / "adapter/weights"
    adapter.parent.mkdir(parents=True)
    adapter.write_text("trained", encoding="utf-8")
    files = file_records(tmp_path, ["candidates/*/adapter/*"])
    written: list[str] = []
    folder = SimpleNamespace(
        path=tmp_path, write_json=lambda place, *_, **__: written.append(place)
    )
    archive = SimpleNamespace(folder=folder, findings=SimpleNamespace(records={}))
    recall: Any = SimpleNamespace(archive=archive)
    nothing: Any = None
    taking = Taking(recall, nothing, nothing, nothing)
    outcome = Outcome(job=job_named("train-base-0"), records=(record,), files=files)
    taking._bring(outcome, tmp_path, keep=True)
    assert adapter.read_text(encoding="utf-8") == "trained"
    assert written == [f"candidates/{record.id}/record.json"]


def test_the_last_state_that_comes_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    """Of two, which one more epochs would go on from is a matter of their checksums."""
    run, elsewhere = tmp_path / "run", tmp_path / "try"
    for root, name in ((run, "last-b"), (elsewhere, "last-a")):
        file = root / f"candidates/lora-lr0.1-s0/{name}.safetensors"
        file.parent.mkdir(parents=True)
        file.write_text(name, encoding="utf-8")
    other = run / "candidates/lora-lr0.1-s1/last-c.safetensors"
    other.parent.mkdir(parents=True)
    other.touch()
    folder = SimpleNamespace(path=run, write_json=lambda *_, **__: None)
    recall: Any = SimpleNamespace(
        archive=SimpleNamespace(folder=folder, findings=SimpleNamespace(records={}))
    )
    nothing: Any = None
    files = file_records(elsewhere, ["candidates/*/last-*.safetensors"])
    outcome = Outcome(job=job_named("train-base-0"), records=(), files=files)
    Taking(recall, nothing, nothing, nothing)._bring(outcome, elsewhere, keep=False)
    assert {file.name for file in run.rglob("last-*")} == {
        *("last-a.safetensors", "last-c.safetensors")
    }


def trained_to(folder: Path, record: CandidateRecord, adapter: str) -> CandidateRecord:
    """A candidate's record at its end, with an adapter in a folder of a run or of a try."""
    file = folder / "candidates" / record.id / "adapter/weights"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(adapter, encoding="utf-8")
    return replace(
        record,
        state=RunState.COMPLETE,
        best_epoch=EPOCHS,
        epochs=tuple(
            EpochRecord(epoch=number, train_nll=1.0, val_nll=1.0, seconds=0.0)
            for number in range(1, EPOCHS + 1)
        ),
        files=file_records(file.parents[1], ["adapter/*"]),
    )


class Driver:
    """A run of one method with three seeds, whose jobs run apart.

    Args:
        path: of its folder.
    """

    def __init__(self, path: Path) -> None:
        method: Any = SimpleNamespace(base=None)
        search = MethodSearch(name="lora", variants={"": method}, rates=(0.1,))
        self.schedule = StudySchedule([search], (0, 1, 2), EPOCHS, None)
        self.candidates = self.schedule.finals
        nothing: Any = None
        findings = Findings(schedule=self.schedule)
        self.archive = Archive(JobFolder(path), nothing, findings, Provenance(bakeoff="0"))
        names = ("on_note", "on_job_over", "on_end")
        view: Any = SimpleNamespace(**dict.fromkeys(names, lambda _: None))
        stop: Any = SimpleNamespace(training_seconds_left=None, shortens=True)
        recall: Any = SimpleNamespace(archive=self.archive, taken=lambda _: None)
        self.run, self.notes = path, findings.notes
        self.taking = Taking(recall, EventLog(path), view, stop)

    def job(
        self, name: str = "train-base-0", kind: JobKind = "train", split: str = "test"
    ) -> CohortJob:
        seats = tuple(Seat(spec=spec_of(record_of(c)), stop=EPOCHS) for c in self.candidates)
        return replace(job_named(name, kind), seats=seats, split=split)

    def ended(self, candidate: Candidate) -> None:
        """The candidate was trained to its end by an earlier call, and tested."""
        record = trained_to(self.run, record_of(candidate), "of the driver")
        candidate.state, candidate.best_epoch = record.state, record.best_epoch
        candidate.epochs = list(record.epochs)
        self.archive.keep_candidate(candidate)
        scores: Any = None
        self.archive.findings.test_scores[candidate.id] = scores

    def outcome(self) -> tuple[Outcome, Path]:
        """A try of the job that trained all of its candidates."""
        place = new_attempt(self.run, self.job().cohort)
        records = tuple(trained_to(place, record_of(c), "of the try") for c in self.candidates)
        files = file_records(place, ["candidates/*/adapter/*"])
        return Outcome(job=self.job(), records=records, files=files), place

    def adapter(self, candidate: Candidate) -> str:
        file = self.run / "candidates" / candidate.id / "adapter/weights"
        return file.read_text(encoding="utf-8")

    def record(self, candidate: Candidate) -> bytes:
        return (self.run / "candidates" / candidate.id / "record.json").read_bytes()


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path / "run")


def test_a_job_that_runs_again_has_those_that_ended_as_they_are(driver: Driver) -> None:
    first, second, third = driver.candidates
    driver.ended(first)
    third.state, third.reason = RunState.PRUNED, "weaker"
    third.epochs = list(record_of(first).epochs[:1])
    request = driver.taking.request(driver.job())
    assert first.state is RunState.COMPLETE and len(first.epochs) == EPOCHS
    assert driver.notes == []
    records = {record.id: record for record in request.records}
    assert [*records[first.id].files] == ["adapter/weights"]
    assert f"candidates/{first.id}/adapter/weights" in request.files
    assert request.job.seats == driver.job().seats  # by which its outcome is known
    schedule = JobSchedule(driver.schedule, request.job, records)
    states = {candidate.id: candidate.state for candidate in schedule.candidates}
    assert states == {c.id: c.state for c in (first, second, third)}


def test_a_job_that_runs_again_brings_only_what_was_to_be_trained(driver: Driver) -> None:
    first, second, third = driver.candidates
    driver.ended(first)
    third.state, third.reason = RunState.PRUNED, "weaker"
    before = driver.record(first)
    driver.taking.take(*driver.outcome())
    assert (driver.adapter(first), driver.adapter(second)) == ("of the driver", "of the try")
    assert driver.record(first) == before
    assert second.state is RunState.COMPLETE
    assert "checksum" in json.loads(driver.record(second))
    assert (third.state, third.reason) == (RunState.PRUNED, "weaker")
    assert not (driver.run / "candidates" / third.id).exists()


def test_a_candidate_at_its_rung_waits_for_the_decision_though_its_job_runs_again(
    driver: Driver,
) -> None:
    first, second, third = driver.candidates
    driver.ended(third)
    first.state, first.epochs = RunState.PAUSED, list(third.epochs)
    second.state, second.epochs = RunState.WAITING, list(third.epochs)  # promoted
    request = driver.taking.request(driver.job())
    waiting = tuple(replace(record, state=RunState.WAITING) for record in request.records)
    place = new_attempt(driver.run, driver.job().cohort)
    driver.taking.take(Outcome(job=driver.job(), records=waiting), place)
    assert (first.state, second.state) == (RunState.PAUSED, RunState.WAITING)
    assert len(first.epochs) == len(second.epochs) == EPOCHS and driver.notes == []


def test_of_a_job_that_is_given_up_those_that_it_has_not_to_train_stay(driver: Driver) -> None:
    first, second, third = driver.candidates
    driver.ended(first)
    second.state = RunState.PAUSED
    driver.taking.give_up(driver.job(), "lost", "Traceback")
    states = [candidate.state for candidate in (first, second, third)]
    assert states == [RunState.COMPLETE, RunState.PAUSED, RunState.FAILED]


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_test_that_is_given_up_leaves_what_was_trained(driver: Driver, split: str) -> None:
    first, second, third = driver.candidates
    for candidate in (first, second):
        driver.ended(candidate)
    third.state = RunState.DIVERGED
    second.validation["accuracy"] = 0.5
    driver.archive.findings.test_scores.pop(first.id)
    selection = SimpleNamespace(selection=SimpleNamespace(metric="accuracy"))
    # A stand-in that has what is read of it.
    driver.schedule.methods["lora"].space = selection  # type: ignore[assignment]
    before = driver.record(first)
    driver.taking.give_up(driver.job("test-0", "test", split=split), "lost", "Traceback")
    is_test = split == "test"
    assert first.state is (RunState.FAILED if is_test else RunState.COMPLETE)
    assert first.validation == ({} if is_test else {"accuracy": None})
    assert driver.record(first) == before
    error = driver.run / "candidates" / first.id / "error.txt"
    assert error.read_text(encoding="utf-8") == "Traceback\n"
    # What another call has kept, or what has no adapter, was not asked.
    assert (second.state, second.validation) == (RunState.COMPLETE, {"accuracy": 0.5})
    assert third.state is RunState.DIVERGED


def test_an_outcome_is_there_until_it_is_settled(driver: Driver) -> None:
    """A driver that dies in between loses nothing: the next takes it again."""
    outcome, place = driver.outcome()
    write_outcome(place, outcome)
    driver.taking.take(outcome, place)
    for candidate in driver.candidates:
        candidate.start_again()
    found = outcome_of(driver.run, driver.job())
    assert found == (outcome, place)
    driver.taking.take(*found)
    settle_outcome(driver.run, outcome)
    assert outcome_of(driver.run, driver.job()) == (outcome, driver.run)
    assert [*map(driver.adapter, driver.candidates)] == ["of the try"] * 3
    assert not [*driver.run.rglob(".*")]


def test_where_there_are_no_links_files_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    source, target = tmp_path / "source", tmp_path / "below/target"
    source.write_text("content", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refused)
        linked(source, target)
    assert target.read_text(encoding="utf-8") == "content" and not target.samefile(source)
    linked(source, target)
    linked(source, target)
    assert target.samefile(source)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["below", "source", "target"]

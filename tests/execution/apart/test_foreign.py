"""A shard of someone else writes into the folder that it is joined into, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff.errors import CheckpointError, StoreError
from bakeoff.execution.apart.exchange import Outcome, as_text, outcome_from
from bakeoff.execution.apart.found import OUTCOMES, Library
from bakeoff.execution.apart.taking import Taking
from bakeoff.runs.events import CohortJob, EventLog, Packed, Seat
from bakeoff.runs.folder import file_records
from bakeoff.runs.records import CandidateRecord, CandidateSpec, FileRecord
from bakeoff.study.sharding import _jobs_of
from bakeoff.types import RunState

FILE = FileRecord(bytes=1, sha256="0" * 64)
SEAT = Seat(spec=CandidateSpec(method="lora", learning_rate=0.1, seed=0), stop=1)
JOB = CohortJob(
    cohort="train-base-0",
    kind="train",
    group="base",
    seats=(SEAT,),
    width=1,
    micro_batch_size=4,
    threads=1,
)
RECORD = CandidateRecord(
    method="lora", learning_rate=0.1, seed=0, state=RunState.COMPLETE, best_epoch=1, epochs=()
)
LEADING_AWAY = [
    "/etc/passwd",
    "../study.yaml",
    "candidates/../../study.yaml",
    "candidates\\..\\..\\study.yaml",
    "C:\\study.yaml",
    "c:study.yaml",
    "\\\\host\\share\\file",
    "candidates/a\0b",
    "",
    ".",
]


def library_of(folder: Path, outcome: Outcome) -> Library:
    (folder / OUTCOMES).mkdir()
    (folder / OUTCOMES / "one.json").write_text(as_text(outcome), encoding="utf-8")
    return Library([folder])


def test_an_outcome_of_its_own_folder_is_read(tmp_path: Path) -> None:
    name = f"candidates/{RECORD.id}/adapter/weights"
    outcome = Outcome(job=JOB, records=(RECORD,), files={name: FILE})
    assert library_of(tmp_path, outcome).of(JOB) == (outcome, tmp_path)


@pytest.mark.parametrize("name", LEADING_AWAY)
def test_a_file_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    outcome = Outcome(job=JOB, records=(RECORD,), files={name: FILE})
    with pytest.raises(StoreError, match=r"one\.json: names the file .* outside the folder"):
        library_of(tmp_path, outcome)


@pytest.mark.parametrize("cohort", [*LEADING_AWAY, "a/b", ".."])
def test_a_job_must_have_a_plain_name(tmp_path: Path, cohort: str) -> None:
    job = replace(JOB, cohort=cohort)
    with pytest.raises(StoreError, match="is no name that a run's folder could hold"):
        outcome_from(as_text(Outcome(job=job)), where="one.json")
    EventLog(tmp_path).add(Packed(job=job))
    with pytest.raises(StoreError, match=r"events.*is no name that a run's folder could hold"):
        _jobs_of([tmp_path])


def test_candidates_and_baselines_must_have_plain_names() -> None:
    seat = replace(SEAT, spec=replace(SEAT.spec, method="../../lora"))
    for job in (
        replace(JOB, seats=(seat,)),
        replace(JOB, baselines=("../zero_shot",)),
        replace(JOB, split="../test"),
    ):
        with pytest.raises(StoreError, match="is no name that a run's folder could hold"):
            outcome_from(as_text(Outcome(job=job)), where="one.json")


def test_a_record_must_be_of_a_candidate_of_the_job() -> None:
    other = replace(RECORD, method="../../lora")
    text = as_text(Outcome(job=JOB, records=(RECORD, other)))
    with pytest.raises(StoreError, match=r"has a record of .*, which is no candidate of its job"):
        outcome_from(text, where="one.json")


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_link_that_leads_out_of_a_shard_is_not_followed(tmp_path: Path, is_folder: bool) -> None:
    shard, run, secret = (tmp_path / name for name in ("shard", "run", "secret"))
    for folder in (shard / "candidates", run, secret):
        folder.mkdir(parents=True)
    (secret / "weights").write_text("secret", encoding="utf-8")
    if is_folder:
        (shard / "candidates/one").symlink_to(secret)
    else:
        (shard / "candidates/one").mkdir()
        (shard / "candidates/one/weights").symlink_to(secret / "weights")
    files = file_records(shard, ["candidates/one/weights"])
    nothing: Any = None
    recall: Any = SimpleNamespace(archive=SimpleNamespace(folder=SimpleNamespace(path=run)))
    taking = Taking(recall, nothing, nothing, nothing)
    with pytest.raises(CheckpointError, match="is a link that leads out of"):
        taking.take(Outcome(job=JOB, files=dict(files)), shard, keep=True)
    assert list(run.iterdir()) == []

"""How far a run has come, as its events say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakeoff.errors import StoreError
from bakeoff.runs.candidates import CandidateSpec, EpochRecord
from bakeoff.runs.events import CohortJob, Ended, EventLog, JobKind, Kept, Packed, Seat, Trained
from bakeoff.runs.progress import progress_of
from bakeoff.types import RunState

SPECS = [CandidateSpec(method="lora", learning_rate=0.1, seed=seed) for seed in (0, 1, 2)]


def packed(kind: JobKind) -> Packed:
    return Packed(
        job=CohortJob(
            cohort=f"{kind}-0",
            kind=kind,
            group="base",
            seats=tuple(Seat(spec=spec) for spec in SPECS),
            width=3,
            micro_batch_size=4,
            threads=1,
        )
    )


def trained(spec: CandidateSpec, epoch: int) -> Trained:
    record = EpochRecord(epoch=epoch, train_nll=2.0, val_nll=2.0, seconds=1.0)
    return Trained(cohort="train-0", candidate=spec.id, epoch=record)


def ended(spec: CandidateSpec, state: RunState) -> Ended:
    return Ended(
        cohort="train-0", candidate=spec.id, state=state, epochs=1, best_epoch=1, reason=None
    )


def test_candidates_epochs_and_ends_are_counted(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: x\n", encoding="utf-8")
    assert progress_of(tmp_path)["text"] == (
        "not running, nothing written; 0 of 0 candidates have ended; 0 epochs are trained"
    )
    first, second, _ = SPECS
    EventLog(tmp_path).add(
        packed("train"),
        trained(first, 1),
        trained(second, 1),
        trained(first, 2),
        ended(first, RunState.COMPLETE),
        ended(second, RunState.DIVERGED),
        packed("test"),
        Kept(cohort="test-0", part=first.id),
    )
    found = progress_of(tmp_path)
    assert (found["jobs"], found["candidates"], found["epochs"]) == (2, 3, 3)
    assert found["ended"] == {"COMPLETE": 1, "DIVERGED": 1}
    assert found["text"] == (
        "not running, nothing written; 2 of 3 candidates have ended (1 COMPLETE, 1 DIVERGED); "
        "3 epochs are trained"
    )


def test_cells_of_a_crossed_study_are_counted_together(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: x\n", encoding="utf-8")
    for cell in ("a", "b"):
        (tmp_path / "cells" / cell).mkdir(parents=True)
        EventLog(tmp_path / "cells" / cell).add(packed("train"))
    assert progress_of(tmp_path)["jobs"] == 2


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no study\.yaml, so it is not a run's folder"):
        progress_of(tmp_path)

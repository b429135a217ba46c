"""The driver with a thousand candidates whose training takes no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakeoff.execution.apart.exchange import Outcome, Request
from bakeoff.runs.events import Ended, EventLog, Trained
from bakeoff.runs.folder import file_records
from bakeoff.runs.records import EpochRecord
from bakeoff.types import RunState
from tests.execution.apart.test_shards import results_of, write
from tests.studies import Outcome as Called

NUMBER = 1000


class Instant:
    """Stands for a workshop: each candidate of a job has trained one epoch at once."""

    def run(self, request: Request, place: Path, *others: Any) -> Outcome:
        if request.job.kind != "train":
            return Outcome(job=request.job)
        epoch = EpochRecord(epoch=1, train_nll=1.0, val_nll=1.0, seconds=0.0)
        records = []
        for record in request.records:
            adapter = place / "candidates" / record.id / "adapter/values.json"
            adapter.parent.mkdir(parents=True)
            adapter.write_text(record.id, encoding="utf-8")
            records.append(
                replace(
                    record,
                    state=RunState.COMPLETE,
                    best_epoch=1,
                    epochs=(epoch,),
                    cohort=request.job.cohort,
                    files=file_records(place / "candidates" / record.id, ["adapter/*"]),
                )
            )
        files = file_records(place, ["candidates/*/adapter/*"])
        return Outcome(job=request.job, records=tuple(records), files=files)


@pytest.mark.soak
@pytest.mark.usefixtures("quick")
def test_a_thousand_candidates_go_through_the_driver(
    place: Path, cli: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write(place, slots=8, protocol={"epochs": 1, "seeds": NUMBER})
    monkeypatch.setattr("bakeoff.study.sharding.workshop_of", lambda *_: Instant())
    found = cli("run", study, "--shard", "1/1", "--out", "out")
    assert found.code == 0, found.err
    candidates = results_of(place / "out")["candidates"]
    assert len(candidates) == NUMBER
    # The log replays to the same records.
    log = EventLog(place / "out")
    epochs = {e.candidate: e.epoch.val_nll for e in log.events if isinstance(e, Trained)}
    ended = {e.candidate: e.state.value for e in log.events if isinstance(e, Ended)}
    assert epochs == {name: one["epochs"][0]["val_nll"] for name, one in candidates.items()}
    assert ended == {name: one["state"] for name, one in candidates.items()}
    assert len(log.jobs("train")) == NUMBER // 8

"""What the driver does with an outcome whose files are in the run's folder already."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bakeoff.execution.apart.exchange import Outcome
from bakeoff.execution.apart.taking import Taking
from bakeoff.runs.folder import file_records
from bakeoff.runs.records import CandidateRecord
from bakeoff.types import RunState
from tests.execution.ray.fakes import job_named


def test_an_outcome_that_a_lost_driver_had_settled_is_taken_where_it_is(tmp_path: Path) -> None:
    record = CandidateRecord(
        method="lora", learning_rate=0.1, seed=0, state=RunState.COMPLETE, best_epoch=1, epochs=()
    )
    adapter = tmp_path / "candidates" / record.id / "adapter/weights"
    adapter.parent.mkdir(parents=True)
    adapter.write_text("trained", encoding="utf-8")
    files = file_records(tmp_path, ["candidates/*/adapter/*"])
    written: list[str] = []
    folder = SimpleNamespace(path=tmp_path, write_json=lambda place, _: written.append(place))
    archive = SimpleNamespace(folder=folder, findings=SimpleNamespace(records={}))
    recall: Any = SimpleNamespace(archive=archive)
    nothing: Any = None
    taking = Taking(recall, nothing, nothing, nothing)
    outcome = Outcome(job=job_named("train-base-0"), records=(record,), files=files)
    taking._bring(outcome, tmp_path, keep=True)
    assert adapter.read_text(encoding="utf-8") == "trained"
    assert written == [f"candidates/{record.id}/record.json"]

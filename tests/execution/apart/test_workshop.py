"""What a job's try reports of the tries before it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bakeoff.execution.apart.exchange import Request
from bakeoff.execution.apart.places import new_attempt
from bakeoff.execution.apart.workshop import Workshop
from bakeoff.execution.states import COHORTS, write_state
from bakeoff.execution.stopping import StopSignals
from bakeoff.runs.records import Provenance
from bakeoff.search.method_search import MethodSearch, record_of
from bakeoff.search.schedule import StudySchedule
from bakeoff.types import RunState
from tests.execution.ray.fakes import job_named


def test_notes_of_earlier_tries_and_of_their_checkpoints_come_with_the_outcome(
    tmp_path: Path,
) -> None:
    method: Any = SimpleNamespace(base=None)
    search = MethodSearch(name="lora", variants={"": method}, rates=(0.1,))
    schedule = StudySchedule([search], (0,), 2, None)
    bench: Any = SimpleNamespace(base=None, protocol=None)
    job = job_named("train-base-0")
    before, place = (new_attempt(tmp_path, job.cohort) for _ in range(2))
    write_state(before / COHORTS / job.cohort, "000000-", {}, {})  # of another version
    (before / "notes.json").write_text(json.dumps(["halved to 2 rows"]), encoding="utf-8")
    ended = replace(record_of(schedule.finals[0]), state=RunState.DIVERGED)
    shop = Workshop(bench, schedule, Provenance(bakeoff="0"), lambda *_: {})
    outcome = shop.run(
        Request(job=job, records=(ended,)),
        *(place, tmp_path, [before], lambda _: None, StopSignals()),
    )
    assert outcome.records == (ended,)
    halved, torn = outcome.notes
    assert halved == "halved to 2 rows" and "is torn or of another version" in torn

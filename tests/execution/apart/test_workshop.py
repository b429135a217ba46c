"""Jobs of one study in one process, over what is loaded once; a try reports those before it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff.data.batches import BatchPlan
from bakeoff.engine import batch_source
from bakeoff.engine.workbench import Workbench
from bakeoff.execution import training_worker
from bakeoff.execution.apart.exchange import Request
from bakeoff.execution.apart.places import new_attempt
from bakeoff.execution.apart.workshop import Workshop
from bakeoff.execution.packing import pack_training
from bakeoff.execution.states import COHORTS, write_state
from bakeoff.execution.stopping import StopSignals
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.runs.records import Provenance
from bakeoff.search.groups import group_of
from bakeoff.search.method_search import MethodSearch, record_of
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench, schedule_of
from bakeoff.types import RunState
from tests.execution.ray.fakes import job_named

SEARCH = {"learning_rates": 2, "space": {"max_grad_norm": [0.5]}}
MADE_WITH = Provenance(bakeoff="")
Opened = tuple[Workbench, StudySchedule, list[CohortJob]]


@pytest.fixture
def opened(place: Path, small: Callable[..., dict[str, Any]]) -> Opened:
    """Two heads in jobs of their own, of one group whose protocol is not the study's."""
    study = study_from_mapping(small(methods={"head": {}}, search=SEARCH), folder=place)
    bench = open_workbench(study, "cpu")
    schedule = schedule_of(study, bench)
    [group] = {group_of(candidate) for candidate in schedule.candidates}
    assert group.overrides and len(schedule.candidates) == 2
    jobs = [
        pack_training(
            [candidate],
            EventLog(place / "run"),
            group=group.key,
            stop=lambda _: 1,
            num_slots=len,
            micro_batch_size=4,
        )[0]
        for candidate in schedule.candidates
    ]
    return bench, schedule, jobs


def test_jobs_of_one_group_share_the_hidden_states_that_the_first_computed(
    opened: Opened, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []

    def spy(cohort: Any, plan: BatchPlan, **options: Any) -> Any:
        kept.append(plan.num_rows)
        return batch_source.keep_hidden_states(cohort, plan, **options)

    monkeypatch.setattr(training_worker, "keep_hidden_states", spy)
    bench, schedule, jobs = opened
    workshop = Workshop(bench, schedule, MADE_WITH, lambda *_: {})
    for job in jobs:
        request, folder = Request(job=job), place / job.cohort
        outcome = workshop.run(request, folder, place, [], lambda _: None, StopSignals())
        [record] = outcome.records
        assert record.state is not RunState.FAILED, record.reason
        assert len(record.epochs) == 1
    assert kept == [16, 4]


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

"""What ``bakeoff status --address`` says of workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bakeoff.execution.apart.exchange import Outcome, Request, as_text
from bakeoff.execution.apart.job_worker import JobWorker
from bakeoff.execution.apart.news import News
from bakeoff.execution.ray.listing import in_words, runs_of
from bakeoff.runs.workers import WORKERS_FILE
from tests.execution.ray.fakes import job_named


def test_a_worker_says_its_run_its_job_and_its_epoch(tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []

    class Workshop:
        def run(self, request: Request, *others: Any) -> Outcome:
            tell = others[3]
            step = {"step": 3, "num_steps": 8, "epoch": 2}
            tell(News(kind="step", content=step))
            found.append(worker.doing())
            return Outcome(job=request.job)

    opener: Any = Workshop
    worker = JobWorker(opener, 1, orphans=False)
    worker.about({}, str(tmp_path), "none")
    worker.open()
    request = as_text(Request(job=job_named("train-base-0")))
    place = tmp_path / "attempt-1"
    place.mkdir()
    worker.run(request, str(place), str(tmp_path), [])
    name = {"name": "bakeoff-1", "state": "alive"}
    assert in_words({**name, **found[0]}) == (
        f"bakeoff-1: train-base-0, epoch 2, step 3 of 8; {tmp_path}"
    )
    assert in_words({**name, **worker.doing()}) == f"bakeoff-1: no job; {tmp_path}"
    assert in_words({**name, "why": "RayActorError"}) == "bakeoff-1: alive"


def test_what_a_driver_wrote_of_a_run_is_there_where_its_folder_is_seen(tmp_path: Path) -> None:
    content = {"workers": [], "losses": 2, "seconds_left": 1200.0}
    (tmp_path / WORKERS_FILE).write_text(json.dumps(content), encoding="utf-8")
    workers = [{"run": str(tmp_path)}, {"run": str(tmp_path)}, {"why": "gone"}, {"run": "/nowhere"}]
    found = {one["run"]: one["lines"] for one in runs_of(workers)}
    assert found["/nowhere"] == [] and len(found) == 2
    assert found[str(tmp_path)][0].endswith("2 lost and run again")
    assert found[str(tmp_path)][1] == "the study: about 20 minutes left"

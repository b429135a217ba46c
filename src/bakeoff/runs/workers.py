"""What the driver of a run says of its workers while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from bakeoff.formatting import time_left
from bakeoff.runs.reading import read_json

WORKERS_FILE: Final = "workers.json"


def workers_of(folder: Path) -> dict[str, Any] | None:
    """What was last written of a run's workers; None where it has none."""
    found = read_json(folder / WORKERS_FILE)
    return found if isinstance(found, dict) and isinstance(found.get("workers"), list) else None


def workers_in_words(content: dict[str, Any]) -> list[str]:
    """A line for each worker, then one for the jobs."""
    lines = []
    for worker in content["workers"]:
        parts = [f"worker {worker.get('number')} on {worker.get('host') or 'a coming node'}"]
        if worker.get("device"):
            parts[0] += f" ({worker['device']})"
        doing = str(worker.get("state"))
        if worker.get("job"):
            doing = str(worker["job"])
            if worker.get("epoch"):
                doing += f", epoch {worker['epoch']} of {worker.get('epochs')}"
            if worker.get("steps"):
                doing += f", step {worker.get('step')} of {worker['steps']}"
            if worker.get("seconds_left") is not None:
                doing += f", {time_left(worker['seconds_left'])}"
            if (worker.get("tries") or 1) > 1:
                doing += f", try {worker['tries']}"
        lines.append(f"{parts[0]}: {doing}")
    jobs = content.get("jobs", {})
    text = ", ".join(f"{jobs.get(key, 0)} {key}" for key in ("running", "waiting", "done"))
    losses = content.get("losses", 0)
    lines.append(f"jobs: {text}; {losses} lost and run again")
    if content.get("seconds_left") is not None:
        lines.append(f"the study: {time_left(content['seconds_left'])}")
    return lines

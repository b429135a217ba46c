"""How far a run has come, as its events and its lock say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from bakeoff.errors import StoreError
from bakeoff.runs.events import EVENTS_FILE, CohortJob, Ended, Packed, Trained, event_from
from bakeoff.runs.folder import STUDY_FILE
from bakeoff.runs.lock import is_running
from bakeoff.runs.places import CELLS
from bakeoff.runs.reading import RESULTS_FILE, read_json


def progress_of(folder: Path) -> dict[str, Any]:
    """Plain values, and ``text``; nothing in the folder is touched.

    Raises:
        StoreError: it is no run's folder.
    """
    if not (folder / STUDY_FILE).is_file():
        raise StoreError(
            f"{folder}: holds no {STUDY_FILE}, so it is not a run's folder; give one that "
            "`bakeoff run` made"
        )
    jobs: dict[str, CohortJob] = {}
    states: dict[str, str] = {}
    epochs: set[tuple[str, int]] = set()
    # Each cell of a crossed study has a log of its own.
    places = [folder, *sorted(place for place in (folder / CELLS).glob("*") if place.is_dir())]
    found = [(place.name, event) for place in places for event in _events(place)]
    for name, event in found:
        if isinstance(event, Packed):
            jobs[f"{name}/{event.job.cohort}"] = event.job
        elif isinstance(event, Trained):
            epochs.add((event.candidate, event.epoch.epoch))
        elif isinstance(event, Ended):
            states[event.candidate] = event.state.value
    named = {name for job in jobs.values() if job.kind == "train" for name in job.candidates}
    results = read_json(folder / RESULTS_FILE)
    status = results.get("status") if isinstance(results, dict) else None
    running = is_running(folder)
    count = Counter(states.values())
    ended = ", ".join(f"{number} {state}" for state, number in sorted(count.items()))
    what = "running" if running else f"not running, {status or 'nothing written'}"
    text = f"{what}; {len(states)} of {len(named)} candidates have ended"
    text += f" ({ended})" if ended else ""
    return {
        "study": folder.resolve().name,
        "running": running,
        "status": status,
        "jobs": len(jobs),
        "candidates": len(named),
        "ended": dict(count),
        "epochs": len(epochs),
        "text": f"{text}; {len(epochs)} epochs are trained",
    }


def _events(folder: Path) -> list[object]:
    """Those of the log that are whole."""
    try:
        content = (folder / EVENTS_FILE).read_bytes()
    except OSError:
        return []
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    return [event_from(line, f"{folder / EVENTS_FILE}") for line in lines]

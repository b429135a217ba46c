"""The folder that a job runs in: a small run's folder, beside nothing that another writes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from bakeoff.execution.archive import NOTES_FILE
from bakeoff.execution.states import COHORTS, PAUSED, SUFFIX, read_state
from bakeoff.files import PART, write_bytes
from bakeoff.runs.events import EVENTS_FILE
from bakeoff.runs.folder import RunFolder

_ATTEMPT: Final = "attempt-"
_CARRIED: Final = ("candidates", COHORTS)


class JobFolder(RunFolder):
    """A job's folder; only who runs the job writes into it.

    Args:
        path: where; made here.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path


def attempts(run: Path, cohort: str) -> list[Path]:
    """The folders in which a job of a run was tried, in order."""
    found = (run / COHORTS / cohort).glob(f"{_ATTEMPT}*")
    return sorted((place for place in found if place.is_dir()), key=_number)


def new_attempt(run: Path, cohort: str) -> Path:
    """A folder for the next try: who was thought lost may still write into the one before it."""
    before = attempts(run, cohort)
    place = run / COHORTS / cohort / f"{_ATTEMPT}{_number(before[-1]) + 1 if before else 1}"
    place.mkdir(parents=True)
    return place


def newest_state(run: Path, cohort: str) -> str:
    """The name of the newest checkpoint of all tries; empty where there is none."""
    names = [
        file.name
        for place in attempts(run, cohort)
        for file in (place / COHORTS).glob(f"*/??????-*{SUFFIX}")
    ]
    return max(names, default="")


def carry_over(before: list[Path], place: Path) -> None:
    """Copies what earlier tries had saved: of each kind of file, that of the last which has one.

    Args:
        before: their folders, in order. place: of the present one, new and empty.
    """
    whole = [one for one in before if _has_state(one)]
    if not whole:
        return
    source = whole[-1]
    for file in sorted(source.rglob("*")):
        inside = file.relative_to(source)
        is_wanted = inside.parts[0] in _CARRIED or file.name in (EVENTS_FILE, NOTES_FILE)
        if is_wanted and file.is_file() and PART not in str(inside):
            target = place / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def _has_state(place: Path) -> bool:
    files = [f for f in (place / COHORTS).glob(f"*/??????-*{SUFFIX}") if f.parent.name != PAUSED]
    return any(read_state(file) is not None for file in files)


def copied(source: Path, target: Path) -> None:
    """Copies a file, whole or not at all."""
    write_bytes(target, source.read_bytes())


def _number(place: Path) -> int:
    text = place.name.removeprefix(_ATTEMPT)
    return int(text) if text.isdigit() else 0

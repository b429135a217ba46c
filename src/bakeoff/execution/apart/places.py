"""The folder that a job runs in: a small run's folder, beside nothing that another writes."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from bakeoff.execution.archive import ERROR_FILE, NOTES_FILE
from bakeoff.execution.states import COHORTS, PAUSED, SUFFIX, read_state
from bakeoff.files import PART, new_file, write_bytes
from bakeoff.runs.events import EVENTS_FILE
from bakeoff.runs.folder import RunFolder

_ATTEMPT: Final = "attempt-"
_CARRIED: Final = ("candidates", COHORTS)
_TRAINED: Final = ("metrics.jsonl", "adapter/*", "last-*.safetensors", ERROR_FILE)


def trained_files(candidate: str) -> list[str]:
    """Patterns of the files that training leaves of a candidate, its record aside."""
    return [f"candidates/{candidate}/{pattern}" for pattern in _TRAINED]


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
    try:
        _carry_over(before, place)
    except FileNotFoundError:
        # Who was thought lost replaced its checkpoint just then; its next one is whole.
        _carry_over(before, place)


def _carry_over(before: list[Path], place: Path) -> None:
    whole = [one for one in before if _has_state(one)]
    if not whole:
        return
    source = whole[-1]
    files = [file for file in source.rglob("*") if _is_carried(file.relative_to(source))]
    states = sorted(filter(_is_checkpoint, files), key=lambda one: one.name, reverse=True)
    others = sorted(file for file in files if file not in states and not file.is_dir())
    # The newest checkpoint is copied first, as all else belongs to it, and appears last: a try that
    # ends before has none, and is passed over by the next.
    with new_file(place / states[0].relative_to(source)) as newest:
        shutil.copyfile(states[0], newest)
        for file in others:
            _copy(file, place / file.relative_to(source))
    for file in states[1:]:
        with suppress(FileNotFoundError):  # an older one is not needed
            _copy(file, place / file.relative_to(source))


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(file, target)
    except FileNotFoundError:
        target.unlink(missing_ok=True)
        raise


def _is_carried(inside: Path) -> bool:
    is_wanted = inside.parts[0] in _CARRIED or inside.name in (EVENTS_FILE, NOTES_FILE)
    return is_wanted and PART not in str(inside)


def _is_checkpoint(file: Path) -> bool:
    return file.match(f"??????-*{SUFFIX}") and file.parent.name != PAUSED


def _has_state(place: Path) -> bool:
    files = [f for f in (place / COHORTS).glob(f"*/??????-*{SUFFIX}") if f.parent.name != PAUSED]
    return any(read_state(file) is not None for file in files)


def copied(source: Path, target: Path) -> None:
    """Copies a file, whole or not at all."""
    write_bytes(target, source.read_bytes())


def linked(source: Path, target: Path) -> None:
    """Gives a file another name besides, at once; a copy where the system has no links."""
    if target.exists() and target.samefile(source):
        return  # to rename one onto the other would leave both
    try:
        with new_file(target) as beside:
            beside.unlink()
            os.link(source, beside)
    except OSError:
        copied(source, target)


def _number(place: Path) -> int:
    text = place.name.removeprefix(_ATTEMPT)
    return int(text) if text.isdigit() else 0

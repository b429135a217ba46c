"""What a claim's part needs of a study, and what of that a folder lacks.

A study that a budget ended, or in which something failed, holds some of its scores. What of them a
claim reads is looked for before it is decided.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bakeoff.claims.contract import Part
from bakeoff.claims.planning import FEW_SHOT, PROMPTS, UNTUNED, prompt_set
from bakeoff.errors import StoreError
from bakeoff.runs.reading import RESULTS_FILE, read_results
from bakeoff.runs.records import MethodRecord, Results
from bakeoff.types import RunState

GOES_ON: Final = "the same command goes on"
_NEVER: Final = (RunState.DIVERGED,)
"""States in which nothing more is trained, and nothing was reached."""


@dataclass(frozen=True, kw_only=True)
class Lack:
    """What a folder lacks of a part.

    Attributes:
        why: in words. is_final: whether no further call would bring it.
    """

    why: str
    is_final: bool = False


def lack_of(
    place: Path,
    part: Part,
    methods: Mapping[str, str],
    *,
    entrants: Collection[str] | None = None,
    may_diverge: bool = False,
) -> Lack | None:
    """The first thing that a study's folder lacks of what a part of a claim is decided by.

    Args:
        place: the folder. methods: by entrant, what the study calls it.
        entrants: those that count; None counts all. may_diverge: whether one that diverged with
            every seed is as good as tested.

    Raises:
        StoreError: the folder's results cannot be read.
    """
    if not (place / RESULTS_FILE).exists():
        return Lack(why=f"{place.name}: there are no results yet")
    results = read_results(place)
    for entrant, method in methods.items():
        if entrants is not None and entrant not in entrants:
            continue
        if not (may_diverge and _has_diverged(results, method)):
            found = _of_method(place, results, method, part.sets)
            if found is not None:
                return found
    return _of_baselines(place, part)


def is_whole(place: Path, mapping: Mapping[str, Any]) -> bool:
    """Whether a folder holds all that a study asks for, with every seed, perhaps beside more."""
    if not (place / RESULTS_FILE).exists():
        return False
    try:
        methods = read_results(place).methods
    except StoreError:
        return False  # what cannot be read is made again
    also, seeds = mapping["also_test"], mapping["protocol"]["seeds"]
    for name in mapping["methods"]:
        sets = {one for one in also if name in also[one]["methods"]}
        record = methods.get(name)
        if record is None or len(record.seeds) != seeds or not sets <= set(record.also_test):
            return False
    asked = [one if isinstance(one, str) else next(iter(one)) for one in mapping["baselines"]]
    needed = [(name, "test") for name in asked] + [(UNTUNED, f"also-{one}") for one in also]
    return all(_baseline_file(place, *one).exists() for one in needed)


def _has_diverged(results: Results, method: str) -> bool:
    """Whether all of a method's runs have diverged, so that no further call brings anything."""
    record = results.methods.get(method)
    if record is None or record.seeds or not record.candidates:
        return False
    return all(results.candidates[run].state in _NEVER for run in record.candidates)


def _of_method(place: Path, results: Results, method: str, sets: Collection[str]) -> Lack | None:
    record = results.methods.get(method)
    if record is None:
        return Lack(why=f"{place.name}: {method} was not begun")
    if not record.seeds:
        final = _has_diverged(results, method)
        return Lack(why=f"{place.name}: {method} {untested(record)}", is_final=final)
    for run in _tested(results, record):
        for name in ("test", *(f"also-{one}" for one in sets)):
            if not (place / "candidates" / run / "scores" / f"{name}.npz").exists():
                return Lack(
                    why=f"{place.name}: {run} has no scores on {name.removeprefix('also-')}"
                )
    return None


def untested(record: MethodRecord) -> str:
    """Of a method without a tested seed, in words, why."""
    trained = "it is trained, and its test was not reached"
    said = trained if record.state.is_eligible else f"it is {record.state}"
    return f"was not tested ({record.reason or said})"


def _tested(results: Results, record: MethodRecord) -> list[str]:
    return [run for run in record.candidates if results.candidates[run].seed in record.seeds]


def _of_baselines(place: Path, part: Part) -> Lack | None:
    sets = [*part.sets, *(prompt_set(i) for i in range(1, len(PROMPTS) + 1) if part.prompts)]
    needed = [(UNTUNED, "test"), *((UNTUNED, f"also-{name}") for name in sets)]
    needed += [(FEW_SHOT, "test")] * part.shots
    for baseline, name in needed:
        if not _baseline_file(place, baseline, name).exists():
            return Lack(
                why=f"{place.name}: {baseline} has no scores on {name.removeprefix('also-')}"
            )
    return None


def _baseline_file(place: Path, baseline: str, name: str) -> Path:
    return place / "baselines" / baseline / "scores" / f"{name}.npz"

"""What a claim was decided by, kept beside the studies, so that it outlives them.

A study of a large base is tens of gigabytes, of which a verdict needs some numbers: the losses of
each seed, of all test rows and with each block of them left out. With these a claim is decided
again, with others or by a later version's rule, when its studies are gone.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from bakeoff.claims.contract import Values
from bakeoff.claims.estimates import Evidence
from bakeoff.claims.planning import PlannedStudy
from bakeoff.claims.rules import judge_family
from bakeoff.claims.suite import EVIDENCE, Suite
from bakeoff.files import disk_errors, write_bytes
from bakeoff.runs.reading import read_json
from bakeoff.version import __version__

_NOTE: Final = "It is decided by what an earlier call kept of it ({file}). What is there now "
_INSTEAD: Final = _NOTE + "would not decide it: {why}."
_LESS: Final = _NOTE + "is less."


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What an earlier call kept of a claim.

    Attributes:
        evidence: what it was decided by. seconds: what that took.
    """

    evidence: Evidence
    seconds: float


def settle(
    suite: Suite,
    name: str,
    studies: Sequence[PlannedStudy],
    found: Evidence,
    seconds: float,
    *,
    is_run: bool,
    is_cut: bool,
) -> tuple[Evidence, float]:
    """What a claim is decided by: what is there now, kept for later calls, or what one has kept.

    Args:
        studies: the claim's. found: what they and its measurement give now. seconds: what that
            took. is_run: whether the call was to train and measure it.
        is_cut: whether it came not to the end of that; more that was kept counts then.

    Raises:
        StoreError: what was found cannot be kept.
    """
    if found.is_fault:
        return found, seconds
    kept = kept_evidence(suite, name, studies)
    if found.unmeasured is not None:
        is_measured = suite.claims[name].measure is not None
        if kept is None or (is_run and is_measured):  # on another device, perhaps
            return found, seconds
        lack = found.unmeasured.partition(";")[0].rstrip(".")  # what goes on is another matter
        return _noted(suite, name, kept, _INSTEAD, lack), kept.seconds
    if not found.values:  # untestable, as its studies came out
        with disk_errors(_file_of(suite, name)):
            _file_of(suite, name).unlink(missing_ok=True)
    elif kept and (is_cut or not is_run) and _is_more(kept.evidence.values, found.values):
        return _noted(suite, name, kept, _LESS, ""), kept.seconds
    else:
        _keep(suite, name, studies, found, seconds)
    return found, seconds


def kept_evidence(suite: Suite, name: str, studies: Sequence[PlannedStudy]) -> Kept | None:
    """What an earlier call kept of a claim's design on the same bases and rows.

    Args:
        studies: the claim's.

    Returns:
        None where there is nothing that this version's rule can read.
    """
    file, claim = _file_of(suite, name), suite.claims[name]
    try:
        content = read_json(file) if file.exists() else None
        if not isinstance(content, dict) or content["key"] != _key_of(suite, name, studies):
            return None
        found = Evidence(
            values=_as_arrays(content["values"]),
            without=[_as_arrays(one) for one in content["without"]],
            notes=tuple(map(str, content["notes"])),
            measured_on=str(content["measured_on"]),
        )
        if untestable := claim.untestable(found.values):
            found = replace(found, untestable=untestable)
        judge_family({name: (claim, found)})
        return Kept(evidence=found, seconds=float(content["seconds"]))
    except Exception:  # torn, unreadable, or of a version whose claim read something else
        return None


def is_kept_whole(suite: Suite, name: str, studies: Sequence[PlannedStudy]) -> bool:
    """Whether what was kept of a claim has as many seeds as its design."""
    kept = kept_evidence(suite, name, studies)
    if kept is None:
        return False
    claim = suite.claims[name]
    per_contrast = claim.statistic(kept.evidence.values).values()
    return claim.repeats != "seeds" or all(len(one) >= suite.size.seeds for one in per_contrast)


def _keep(
    suite: Suite, name: str, studies: Sequence[PlannedStudy], found: Evidence, seconds: float
) -> None:
    content = {
        "bakeoff": __version__,
        "key": _key_of(suite, name, studies),
        "seconds": round(seconds, 1),
        "values": _as_lists(found.values),
        "without": [_as_lists(one) for one in found.without],
        "notes": list(found.notes),
        "measured_on": found.measured_on,
    }
    file = _file_of(suite, name)
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, (json.dumps(content, allow_nan=False) + "\n").encode())


def _is_more(kept: Values, found: Values) -> bool:
    """Whether something of what was kept is missing now, or has fewer seeds."""
    return any(name not in found or found[name].size < one.size for name, one in kept.items())


def _noted(suite: Suite, name: str, kept: Kept, note: str, why: str) -> Evidence:
    file = _file_of(suite, name).relative_to(suite.out).as_posix()
    notes = (*kept.evidence.notes, note.format(file=file, why=why))
    return replace(kept.evidence, notes=notes)


def _file_of(suite: Suite, name: str) -> Path:
    return suite.out / EVIDENCE / f"{name}.json"


def _key_of(suite: Suite, name: str, studies: Sequence[PlannedStudy]) -> dict[str, Any]:
    """What evidence is about: another design, base or other rows have another key.

    Rows that are made here count as the same in every version, where their task is.
    """
    bases = suite.facts if suite.claims[name].over_bases else (suite.main,)
    # A study's place among them hangs on which other claims there are.
    parts = sorted(
        (study.name, part.name, json.dumps(vars(part), sort_keys=True, default=_plain))
        for study in studies
        for (of, _), part in study.parts.items()
        if of == name
    )
    data = suite.data
    task = {key: value for key, value in data.task.items() if key != "source"}  # a place
    content = [vars(suite.size), parts, task, data.protocol, data.sha256]
    text = json.dumps(content, sort_keys=True, default=_plain)
    return {
        "design": hashlib.sha256(text.encode()).hexdigest(),
        "bases": [one.fingerprint for one in bases],
    }


def _plain(value: object) -> object:
    """What JSON has no form for, such as a mapping of a claim of somebody's own."""
    return dict(value) if isinstance(value, Mapping) else str(value)


def _as_lists(values: Values) -> dict[str, Any]:
    """As JSON has it, to the bit; what is not finite, such as a diverged seed's loss, in words."""
    return {name: _as_list(value.tolist()) for name, value in values.items()}


def _as_list(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_list(one) for one in value]
    return value if math.isfinite(value) else str(value)


def _as_arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """Raises ValueError, TypeError or AttributeError where they are no numbers by condition."""
    return {
        name: np.array([float(one) for one in value])
        if isinstance(value, list)
        else np.array(float(value))
        for name, value in values.items()
    }

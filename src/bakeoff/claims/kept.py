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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from bakeoff.claims.contract import Claim, Values
from bakeoff.claims.estimates import Evidence
from bakeoff.claims.planning import PlannedStudy
from bakeoff.claims.rules import judge_family
from bakeoff.claims.suite import EVIDENCE, Suite
from bakeoff.files import disk_errors, write_bytes
from bakeoff.runs.reading import read_json
from bakeoff.version import __version__

_NOTE: Final = (
    "It is decided by what an earlier call kept of its studies ({file}). What they hold now would "
    "not decide it: {why}"
)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What an earlier call kept of a claim.

    Attributes:
        evidence: what it was decided by. seconds: what that took.
    """

    evidence: Evidence
    seconds: float


def keep_evidence(
    suite: Suite, name: str, studies: Sequence[PlannedStudy], evidence: Evidence, seconds: float
) -> None:
    """Writes what a claim is decided by.

    Args:
        studies: the claim's. seconds: what its evidence took in all calls.

    Raises:
        StoreError: it cannot be written.
    """
    content = {
        "bakeoff": __version__,
        "key": _key_of(suite, name, studies),
        "seconds": round(seconds, 1),
        "values": _as_lists(evidence.values),
        "without": [_as_lists(one) for one in evidence.without],
        "notes": list(evidence.notes),
        "measured_on": evidence.measured_on,
    }
    file = _file_of(suite, name)
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, (json.dumps(content, allow_nan=False) + "\n").encode())


def kept_evidence(
    suite: Suite, name: str, claim: Claim, studies: Sequence[PlannedStudy], why: str
) -> Kept | None:
    """What an earlier call kept of the same design on the same bases and rows.

    Args:
        studies: the claim's. why: they do not decide it now, in a sentence.

    Returns:
        None where there is nothing that this version's rule can read.
    """
    file = _file_of(suite, name)
    content = read_json(file) if file.exists() else None
    if not isinstance(content, dict) or content.get("key") != _key_of(suite, name, studies):
        return None
    try:
        found = Evidence(
            values=_as_arrays(content["values"]),
            without=[_as_arrays(one) for one in content["without"]],
            notes=tuple(map(str, content["notes"])),
            measured_on=str(content["measured_on"]),
        )
        seconds = float(content["seconds"])
        if untestable := claim.untestable(found.values):
            found = replace(found, untestable=untestable)
        judge_family({name: (claim, found)})
    except Exception:  # torn, or of a version whose claim read something else
        return None
    note = _NOTE.format(file=file.relative_to(suite.out).as_posix(), why=why)
    return Kept(evidence=replace(found, notes=(*found.notes, note)), seconds=seconds)


def _file_of(suite: Suite, name: str) -> Path:
    return suite.out / EVIDENCE / f"{name}.json"


def _key_of(suite: Suite, name: str, studies: Sequence[PlannedStudy]) -> dict[str, Any]:
    """What evidence is about: another design, base or other rows have another key."""
    bases = suite.facts if suite.claims[name].over_bases else (suite.main,)
    parts = [
        [study.name, asdict(part)]
        for study in studies
        for (of, _), part in study.parts.items()
        if of == name
    ]
    content = json.dumps([asdict(suite.size), parts, suite.data.sha256], sort_keys=True)
    return {
        "design": hashlib.sha256(content.encode()).hexdigest(),
        "bases": [one.fingerprint for one in bases],
    }


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

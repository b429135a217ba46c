"""How long the studies of a run of claims took, in all calls, and what of it was which method's."""

from __future__ import annotations

import json
from collections import Counter
from typing import Final

from bakeoff.claims.planning import PlannedStudy
from bakeoff.claims.suite import STUDIES, Suite
from bakeoff.errors import BakeoffError
from bakeoff.files import disk_errors, write_bytes
from bakeoff.runs.reading import RESULTS_FILE, read_json, read_results

_SECONDS: Final = "seconds.json"
"""Beside the studies: how long each was run, in all calls."""


def spend(suite: Suite, study: PlannedStudy, seconds: float, *, is_new: bool) -> None:
    """Adds to what a study took, also where it was stopped.

    Raises:
        StoreError: it cannot be written.
    """
    file = suite.out / STUDIES / _SECONDS
    known = read_json(file) if file.exists() else None
    spent = dict(known) if isinstance(known, dict) else {}
    before = 0.0 if is_new else float(spent.get(study.name, 0.0))
    spent[study.name] = round(before + seconds, 3)
    with disk_errors(file):
        write_bytes(file, (json.dumps(spent, indent=2) + "\n").encode())


def seconds_spent(suite: Suite, study: PlannedStudy) -> float:
    """What a study took in all calls."""
    file = suite.out / STUDIES / _SECONDS
    known = read_json(file) if file.exists() else None
    return float(known.get(study.name, 0.0)) if isinstance(known, dict) else 0.0


def weights_of(suite: Suite, study: PlannedStudy) -> dict[str, float] | None:
    """By method what its candidates took of their passes; None where nothing is known of it."""
    place = suite.place_of(study)
    if not (place / RESULTS_FILE).exists():
        return None
    try:
        candidates = read_results(place).candidates.values()
    except BakeoffError:
        return None
    # An epoch's seconds are those of the pass, which its candidates share.
    sizes = Counter(one.cohort for one in candidates if one.cohort is not None)
    weights: dict[str, float] = {}
    for one in candidates:
        taken = sum(epoch.seconds for epoch in one.epochs) / sizes.get(one.cohort or "", 1)
        weights[one.method] = weights.get(one.method, 0.0) + taken
    return weights if sum(weights.values()) > 0.0 else None

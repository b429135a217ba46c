"""Which of a method's runs stands for it where one must be handed on."""

from __future__ import annotations

import math
from collections.abc import Collection

from bakeoff.runs.records import CandidateRecord, Results


def representative(results: Results, method: str, kept: Collection[str]) -> str | None:
    """The run nearest the mean of the method's runs on validation, the lowest seed among equals.

    Not the best one: what is reported is the mean over seeds, and the best of several is partly
    luck that another set of rows does not repeat.

    Args:
        results: of the study. method: its name. kept: candidates that may be handed on.

    Returns:
        Its id; None where none of the method's candidates may be.
    """
    record = results.methods.get(method)
    own = [name for name in record.candidates if name in kept] if record else []
    known = {name: results.candidates[name] for name in own if name in results.candidates}
    losses = {name: best_validation(candidate) for name, candidate in known.items()}
    finite = [loss for loss in losses.values() if math.isfinite(loss)]
    if not known:
        return None
    mean = sum(finite) / len(finite) if finite else 0.0

    def order(name: str) -> tuple[float, int, str]:
        loss = losses[name]
        gap = abs(loss - mean) if math.isfinite(loss) else math.inf
        return gap, known[name].seed, name

    return min(known, key=order)


def best_validation(candidate: CandidateRecord) -> float:
    """The lowest validation NLL of its epochs; infinite where there is none."""
    return min((epoch.val_nll for epoch in candidate.epochs), default=math.inf)


def own_score(results: Results, candidate: str) -> float | None:
    """A candidate's own test value by the deciding metric, None where it was not tested."""
    record = results.methods.get(results.candidates[candidate].method)
    found = None if record is None else record.test.get(results.primary.name)
    if record is None or found is None or len(found.per_seed) != len(record.seeds):
        return None
    by_seed = dict(zip(record.seeds, found.per_seed, strict=True))
    return (
        by_seed.get(results.candidates[candidate].seed) if candidate in record.candidates else None
    )

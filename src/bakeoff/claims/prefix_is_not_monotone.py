"""Longer prefixes get worse again (Hu et al. 2021, section 5.5; Li and Liang 2021)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bakeoff.claims.contract import (
    BaseFacts,
    Claim,
    Contrast,
    Curve,
    Floats,
    Noise,
    Part,
    Planted,
    Size,
    Values,
)
from bakeoff.claims.curves import curve_of
from bakeoff.claims.entrants import curve_lengths, prefix

_MARGIN = 0.02
_LONG = 100
"""A curve that ends before it says nothing: Li and Liang see summaries get worse beyond 200 alone,
Hu et al. beyond 32, on a far larger base."""
_LENGTHS = {"quick": (5, 20, 100), "full": (1, 5, 20, 50, 100, 256)}


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    lengths, rows = curve_lengths(_LENGTHS[size.name], facts)
    if max(lengths, default=0) < _LONG:
        return ()
    return (Part(entrants={f"prefix_{n}": prefix(facts, n) for n in lengths}, max_length=rows),)


def _statistic(values: Values) -> Mapping[str, Floats]:
    names = sorted(
        (n for n in values if n.startswith("prefix_") and "#" not in n),
        key=lambda n: int(n.rpartition("_")[2]),
    )
    # Validation says which length is best, so that the test rows do not choose what they judge. The
    # longest is not among them: where it were the best, it would be held against itself.
    best = min(names[:-1], key=lambda n: float(np.mean(values[f"{n}#validation"])))
    return {"fall": values[names[-1]] - values[best]}


def _curve(values: Values) -> Curve | None:
    return curve_of(values, "prefix_", "prefix length", "test loss, nats per token")


def _world(*losses: float) -> dict[str, float]:
    tested = dict(zip((f"prefix_{n}" for n in _LENGTHS["full"]), losses, strict=True))
    return {**tested, **{f"{name}#validation": loss for name, loss in tested.items()}}


CLAIM = Claim(
    name="prefix_is_not_monotone",
    title="A prefix gets worse again beyond some length",
    source="Hu et al. 2021, arXiv:2106.09685, section 5.5; Li and Liang 2021, arXiv:2101.00190, "
    "figure 4",
    hypothesis="The longest prefix of the design (256, or 100 with --quick and where a row and 256 "
    "are more than the base was trained on) ends at least 0.02 nats per token above the length "
    "that validation finds best among the shorter ones.",
    supported_if="it is over 0.02 nats per token worse",
    contradicted_if="it is less than 0.02 nats per token worse, or better",
    does_not_show="Why: a longer prefix may only need more steps than it was given. Beyond the "
    "longest length nothing is known; where that is 100, Li and Liang's 200 for summaries is not "
    "reached.",
    unit="nats per token",
    contrasts=(
        Contrast(
            name="fall",
            rule="above",
            threshold=_MARGIN,
            words="loss of the longest prefix minus that of the best shorter one",
        ),
    ),
    statistic=_statistic,
    design=_design,
    curve=_curve,
    planted=Planted(
        supported=_world(2.5, 2.3, 2.2, 2.2, 2.25, 2.3),
        contradicted=_world(2.5, 2.4, 2.3, 2.25, 2.22, 2.2),
        noise=Noise(seed=0.005, row=0.1),
    ),
)

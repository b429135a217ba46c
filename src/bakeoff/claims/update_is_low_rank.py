"""Full tuning's change of the weights has a low rank (Hu et al. 2021, section 7)."""

from __future__ import annotations

from collections.abc import Mapping

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
from bakeoff.claims.entrants import full

_QUARTER = 0.25


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    return (Part(entrants={"full": full(facts)}),)


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {"rank": values["update_rank"]}


def _curve(values: Values) -> Curve | None:
    return curve_of(values, "energy_", "share of the full rank, %", "energy held")


CLAIM = Claim(
    name="update_is_low_rank",
    title="What full tuning changes has a low rank",
    source="Hu et al. 2021, arXiv:2106.09685, sections 4.1 and 7",
    hypothesis="The rank that holds 90 % of the energy (squared singular values) of full tuning's "
    "change of a linear layer, averaged over layers by their size, is below a quarter of the "
    "width.",
    supported_if="the mean over seeds of that share is below a quarter of the full rank",
    contradicted_if="it is above a quarter",
    does_not_show="That low-rank training finds this change, or that the rest of it does nothing: "
    "the figure has the energy that part of the rank holds.",
    unit="share of the full rank",
    contrasts=(
        Contrast(
            name="rank",
            rule="below",
            threshold=_QUARTER,
            words="rank that holds 90 % of the energy, as a share of the full rank",
        ),
    ),
    statistic=_statistic,
    design=_design,
    measure="bakeoff.claims.weights:update_ranks",
    curve=_curve,
    planted=Planted(
        supported={"update_rank": 0.15},
        contradicted={"update_rank": 0.45},
        noise=Noise(seed=0.01),
    ),
    quick=True,
)

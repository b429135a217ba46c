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


def _curves(values: Values) -> list[Curve]:
    share = "share of the full rank, %"
    found = (
        curve_of(values, "energy_", share, "energy held"),
        curve_of(values, "loss_", share, "validation loss of the change cut to it, nats per token"),
    )
    return [curve for curve in found if curve is not None]


CLAIM = Claim(
    name="update_is_low_rank",
    title="What full tuning changes has a low rank",
    source="Hu et al. 2021, arXiv:2106.09685, sections 4.1 and 7",
    hypothesis="The rank that holds 90 % of the energy (squared singular values) of full tuning's "
    "change of a linear layer, averaged over layers by their size, is below a quarter of the "
    "full rank, which for a square layer is the width.",
    supported_if="the mean over seeds of that share is below a quarter of the full rank",
    contradicted_if="it is above a quarter",
    does_not_show="That low-rank training finds this change, or that the rest of it does nothing: "
    "the figures have the energy that part of the rank holds, and the validation loss of the "
    "change cut to that part (0 %: the linear layers are the base's, all else is tuned).",
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
    curve=_curves,
    planted=Planted(
        supported={"update_rank": 0.15},
        contradicted={"update_rank": 0.45},
        noise=Noise(seed=0.01),
    ),
    quick=True,
)

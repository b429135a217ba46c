"""The base's own weights have a low rank."""

from __future__ import annotations

from collections.abc import Mapping

from bakeoff.claims.contract import Claim, Contrast, Curve, Floats, Noise, Planted, Values
from bakeoff.claims.curves import curve_of

_QUARTER = 0.25


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {"rank": values["weight_rank"]}


def _curve(values: Values) -> Curve | None:
    return curve_of(values, "energy_", "share of the full rank, %", "energy held")


CLAIM = Claim(
    name="weights_are_low_rank",
    title="The base's own weights have a low rank",
    source="An analysis of fine-tuning methods on GPT-Neo (2024), sections 2.3.1 and 2.4.1; "
    "Aghajanyan et al. 2020, arXiv:2012.13255, is about another thing",
    hypothesis="The rank that holds 90 % of the energy (squared singular values) of a linear "
    "layer's weight is, on average over the base's layers, below a quarter of its full rank.",
    supported_if="the mean over matrices of that share is below a quarter of the full rank",
    contradicted_if="it is above a quarter",
    does_not_show="What the papers speak of: a low intrinsic dimension of tuning, which is no "
    "property of the weights. The interval is over this base's matrices.",
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
    measure="bakeoff.claims.weights:weight_ranks",
    repeats="matrices",
    curve=_curve,
    planted=Planted(
        supported={"weight_rank": 0.15},
        contradicted={"weight_rank": 0.45},
        noise=Noise(seed=0.06),
    ),
    quick=True,
)

"""Soft prompts catch up with full tuning as bases grow (Lester et al. 2021, section 3)."""

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
from bakeoff.claims.entrants import full, soft_prompt
from bakeoff.formatting import join


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    return (Part(entrants={"full": full(facts), "soft": soft_prompt(facts, 20)}),)


def _gaps(values: Values) -> Floats:
    """[B, S] what is left of zero-shot minus full, by base and repeat."""
    rows = []
    for i in range(len(values["log_parameters"])):
        tuned, soft = values[f"{i}/full"], values[f"{i}/soft"]
        # The mean of full tuning below the line: a seed's own would move both.
        rows.append((soft - tuned) / (values[f"{i}/zero_shot"] - np.mean(tuned)))
    return np.stack(rows)


def _decides_nothing(values: Values) -> str:
    """On which bases full tuning gains nothing with some seed: a share of that says nothing."""
    without = [
        f"{10**x / 1e6:.2g} million"
        for i, x in enumerate(values["log_parameters"].tolist())
        if np.min(values[f"{i}/zero_shot"]) <= np.max(values[f"{i}/full"])
    ]
    if not without:
        return ""
    return (
        f"On the base of {join(without)} parameters full tuning ends no better than the untuned "
        "base with some seed, so that there is no gain of which a prompt could reach a share: it "
        "takes data that the base does not know yet."
    )


def _statistic(values: Values) -> Mapping[str, Floats]:
    x = values["log_parameters"] - np.mean(values["log_parameters"])
    return {"slope": (x @ _gaps(values)) / (x @ x)}


def _curve(values: Values) -> Curve | None:
    gaps = _gaps(values)
    return Curve(
        x_title="base, by its parameters",
        y_title="gap, share of what full tuning gains",
        points=tuple(
            (f"{10**x / 1e6:.2g} million", float(gap.mean()), tuple(gap.tolist()))
            for x, gap in zip(values["log_parameters"].tolist(), gaps, strict=True)
        ),
        of_bases=True,
    )


def _world(gaps: tuple[float, ...]) -> dict[str, object]:
    made: dict[str, object] = {"log_parameters": (5.5, 6.0, 6.5, 7.0)}
    for i, gap in enumerate(gaps):
        made |= {f"{i}/zero_shot": 3.0, f"{i}/full": 2.0, f"{i}/soft": 2.0 + gap}
    return made


CLAIM = Claim(
    name="scale_closes_gap",
    title="The larger the base, the nearer a soft prompt comes to full tuning",
    source="Lester et al. 2021, arXiv:2104.08691, section 3",
    hypothesis="Over bases of one family, the loss of a soft prompt beyond full tuning's, as a "
    "share of what full tuning gains on the untuned base, falls with the logarithm of the "
    "parameters.",
    supported_if="the slope of that share over log10 parameters is below 0",
    contradicted_if="the slope is above 0; undecided where full tuning gains nothing on some base",
    does_not_show="That the gap closes: only that it narrows over these bases. The interval is "
    "over seeds and test rows, not over other families of bases.",
    unit="share per tenfold parameters",
    contrasts=(
        Contrast(
            name="slope",
            rule="below",
            threshold=0.0,
            words="change of the gap per tenfold parameters",
        ),
    ),
    statistic=_statistic,
    design=_design,
    over_bases=True,
    curve=_curve,
    decides_nothing=_decides_nothing,
    planted=Planted(
        supported=_world((0.6, 0.5, 0.4, 0.3)),
        contradicted=_world((0.4, 0.45, 0.5, 0.55)),
        noise=Noise(seed=0.005, row=0.3),
    ),
)

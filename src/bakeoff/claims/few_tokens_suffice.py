"""A short prompt does what a long one does (Lester et al. 2021, figure 3a)."""

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
from bakeoff.claims.entrants import curve_lengths, soft_prompt

_MARGIN = 0.02
_LONG = 100


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    lengths, rows = curve_lengths(size.lengths, facts)
    if _LONG not in lengths:
        return ()
    return (Part(entrants={f"soft_{n}": soft_prompt(facts, n) for n in lengths}, max_length=rows),)


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {f"short_{n}": values[f"soft_{n}"] - values[f"soft_{_LONG}"] for n in (5, 20)}


def _curve(values: Values) -> Curve | None:
    return curve_of(values, "soft_", "prompt tokens", "test loss, nats per token")


CLAIM = Claim(
    name="few_tokens_suffice",
    title="A prompt of 5 or 20 tokens does what one of 100 does",
    source="Lester et al. 2021, arXiv:2104.08691, figure 3a",
    hypothesis="Soft prompts of 5 or of 20 tokens, each at its own best learning rate, lose at "
    "most 0.02 nats per token against one of 100.",
    supported_if="the test loss of 5 or of 20 tokens exceeds that of 100 by less than 0.02 nats "
    "per token (Bonferroni over the two)",
    contradicted_if="both exceed it by more than 0.02 nats per token",
    does_not_show="That prompts of any length are good: all may be far from full tuning. A short "
    "prompt that is better than a long one counts as enough.",
    unit="nats per token",
    contrasts=tuple(
        Contrast(
            name=f"short_{n}",
            rule="below",
            threshold=_MARGIN,
            words=f"loss of {n} tokens minus that of {_LONG}",
        )
        for n in (5, 20)
    ),
    joined="any",
    statistic=_statistic,
    design=_design,
    quick=True,
    curve=_curve,
    figure_only=("soft_1", "soft_50"),
    planted=Planted(
        supported={
            "soft_1": 2.30,
            "soft_5": 2.22,
            "soft_20": 2.20,
            "soft_50": 2.2,
            "soft_100": 2.2,
        },
        contradicted={
            **{"soft_1": 2.6, "soft_5": 2.4, "soft_20": 2.26, "soft_50": 2.22, "soft_100": 2.2}
        },
        noise=Noise(seed=0.003, row=0.08),
    ),
)

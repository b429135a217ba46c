"""LoRA's best learning rate is ten times full tuning's (Schulman et al. 2025)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bakeoff.claims.contract import (
    BaseFacts,
    Claim,
    Contrast,
    Floats,
    Noise,
    Part,
    Planted,
    Size,
    Values,
)
from bakeoff.claims.entrants import full, lora

_DECADE = 0.5
_STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    entrants = {}
    for name, one, centre in (("lora", lora(facts, 16), 5e-3), ("full", full(facts), 1e-3)):
        rate = float(one.get("learning_rate", centre / 10))
        for i, step in enumerate(_STEPS):
            entrants[f"{name}_{i}"] = {**one, "learning_rate": float(f"{rate * 10**step:.3g}")}
    return (Part(name="rates", entrants=entrants, tuned=False),)


def _best(values: Values, name: str) -> Floats:
    """[S] log10 of each seed's best rate: the vertex of the parabola through the best three."""
    losses = np.stack([values[f"rates:{name}_{i}"] for i in range(len(_STEPS))])
    rates = np.log10([np.mean(values[f"rates:{name}_{i}#rate"]) for i in range(len(_STEPS))])
    found = []
    for column in losses.T:
        i = min(max(int(np.argmin(column)), 1), len(_STEPS) - 2)
        low, middle, high = column[i - 1 : i + 2]
        bend = low - 2.0 * middle + high
        shift = 0.5 * (low - high) / bend if bend > 0.0 else float(np.sign(low - high))
        found.append(rates[i] + np.clip(shift, -1.0, 1.0) * (rates[i + 1] - rates[i]))
    return np.array(found)


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {"decades": _best(values, "lora") - _best(values, "full") - 1.0}


def _world(decades: float) -> dict[str, float]:
    made: dict[str, float] = {}
    for name, best in (("lora", -3.0 + decades), ("full", -3.0)):
        for i, step in enumerate(_STEPS):
            rate = -3.0 + step + (1.0 if name == "lora" else 0.0)
            made |= {f"rates:{name}_{i}": 2.0 + 0.1 * (rate - best) ** 2}
            made |= {f"rates:{name}_{i}#rate": 10.0**rate}
    return made


CLAIM = Claim(
    name="rate_of_lora_is_ten_times_full",
    title="The best learning rate of LoRA is ten times that of full tuning",
    source="Schulman et al. 2025, LoRA Without Regret",
    hypothesis="The ratio of the two best rates is ten, to half a decade on either side.",
    supported_if="log10 of the ratio lies within 0.5 of 1",
    contradicted_if="it lies further from 1 than 0.5",
    does_not_show="Anything of another alpha: LoRA's scale is alpha / rank, here 8 / 16, and its "
    "rate moves with it. A best rate at the edge of the five that are tried is cut off there.",
    unit="decades from ten times",
    contrasts=(
        Contrast(
            name="decades",
            rule="within",
            threshold=_DECADE,
            words="log10 of the ratio of best rates, minus 1",
        ),
    ),
    statistic=_statistic,
    design=_design,
    planted=Planted(
        supported=_world(1.0), contradicted=_world(0.0), noise=Noise(seed=0.003, row=0.08)
    ),
)

"""LoRA's best learning rate is ten times full tuning's (Schulman et al. 2025)."""

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
from bakeoff.claims.curves import curve_over
from bakeoff.claims.entrants import full, lora

_DECADE = 0.5
_ALPHA = 32.0
"""The paper's, of any rank; the best rate falls as it rises."""
_STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    entrants = {}
    plain = lora(facts, 16, alpha=_ALPHA)
    for name, one, centre in (("lora", plain, 5e-3), ("full", full(facts), 1e-3)):
        rate = float(one.get("learning_rate", centre / 10))
        for i, step in enumerate(_STEPS):
            entrants[f"{name}_{i}"] = {**one, "learning_rate": float(f"{rate * 10**step:.3g}")}
    return (Part(name="rates", entrants=entrants, tuned=False),)


def _place(losses: Floats) -> float:
    """Where among the rates the best is, in steps from the first: the vertex of the parabola
    through the lowest three losses, or the edge where it lies there or beyond. Beside a rate that
    diverged it is the lowest loss itself."""
    i = min(max(int(np.argmin(losses)), 1), len(_STEPS) - 2)
    low, middle, high = losses[i - 1 : i + 2]
    if not np.isfinite([low, middle, high]).all():
        return float(np.argmin(losses))
    bend = low - 2.0 * middle + high
    shift = 0.5 * (low - high) / bend if bend > 0.0 else float(np.sign(low - high))
    return float(i + np.clip(shift, -1.0, 1.0))


def _losses(values: Values, name: str) -> Floats:
    """[rates, S] the test losses of an entrant."""
    return np.stack([values[f"rates:{name}_{i}"] for i in range(len(_STEPS))])


def _best(values: Values, name: str) -> Floats:
    """[S] log10 of each seed's best rate."""
    rates = np.log10([np.mean(values[f"rates:{name}_{i}#rate"]) for i in range(len(_STEPS))])
    places = [_place(column) for column in _losses(values, name).T]
    return np.interp(places, np.arange(len(_STEPS)), rates)


def _decides_nothing(values: Values) -> str:
    """Which best rates lie at an edge or beside a rate that diverged with some seed, by the mean
    losses over seeds."""
    at_edge, beside = [], []
    for name, words in (("lora", "LoRA"), ("full", "full tuning")):
        losses = _losses(values, name).mean(axis=1)
        best = int(np.argmin(losses))
        # The parabola may end before an edge at which the loss is lowest: it is one of three points
        # all the same, on one side of which nothing was tried.
        if best in (0, len(_STEPS) - 1) or _place(losses) in (0.0, len(_STEPS) - 1.0):
            at_edge.append(f"the {'highest' if best > 1 else 'lowest'} of {words}")
        elif not np.isfinite(losses[best + 1]):
            beside.append(words)
    if at_edge:
        return (
            f"A best rate lies at the edge of the five that are tried ({' and '.join(at_edge)}) "
            "and may be beyond it, so that the ratio is only a bound: the grid must grow there."
        )
    if beside:
        return (
            f"The rate above the best one diverged with some seed ({' and '.join(beside)}). "
            "Between the two the best may lie up to half a decade higher, which is all of the "
            "margin: it takes a finer grid there."
        )
    return ""


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {"decades": _best(values, "lora") - _best(values, "full") - 1.0}


def _curves(values: Values) -> list[Curve]:
    """Loss over the rates that were tried, of each."""
    found = []
    for name, words in (("lora", "LoRA of rank 16"), ("full", "full tuning")):
        rates = {f"rates:{name}_{i}": f"rates:{name}_{i}#rate" for i in range(len(_STEPS))}
        labels = {
            loss: f"{float(np.mean(values[rate])):.3g}"
            for loss, rate in rates.items()
            if rate in values
        }
        title = f"test loss of {words}, nats per token"
        if (curve := curve_over(values, labels, "learning rate", title)) is not None:
            found.append(curve)
    return found


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
    contradicted_if="it lies further from 1 than 0.5; undecided where either best rate lies at the "
    "edge of the five that are tried, or the rate above it diverged",
    does_not_show="Anything of another alpha: LoRA's scale is alpha / rank, here 32 / 16 as in the "
    "source, and its rate moves with it. Where single seeds have their best rate at the edge of "
    "the five that are tried, it is cut off there.",
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
    curve=_curves,
    decides_nothing=_decides_nothing,
    diverged_is_worst=True,
    planted=Planted(
        supported=_world(1.0), contradicted=_world(0.35), noise=Noise(seed=0.003, row=0.08)
    ),
)

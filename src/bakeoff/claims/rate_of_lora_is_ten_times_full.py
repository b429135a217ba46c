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
_STEPS = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0)
"""In decades from the centre."""
_AROUND = 0.51
"""Decades around the lowest loss within which a parabola is fitted; rates are rounded."""
_RUINED = 0.1
"""Of what tuning gains, what a rate may lose beside the best one: a parabola through half a ruined
model says how much is ruined, and not where the best lies."""


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    entrants = {}
    plain = lora(facts, 16, alpha=_ALPHA)
    for name, one, centre in (("lora", plain, 5e-3), ("full", full(facts), 1e-3)):
        rate = float(one.get("learning_rate", centre / 10))
        for i, step in enumerate(_STEPS):
            entrants[f"{name}_{i}"] = {**one, "learning_rate": float(f"{rate * 10**step:.3g}")}
    return (Part(name="rates", entrants=entrants, tuned=False),)


def _place(losses: Floats, places: Floats, untuned: float) -> float:
    """log10 of the best rate: the vertex of the parabola that fits the losses up to half a decade
    around the lowest, within what was tried there. Where nothing beside it says more, on either
    side, it is the lowest itself.

    Args:
        losses: [rates]. places: [rates] log10 of each rate, rising.
        untuned: the loss of the base, infinite where it is not known; see ``_is_ruined``.
    """
    lowest = int(np.argmin(losses))
    centre = min(max(lowest, 1), len(_STEPS) - 2)
    fits = [
        i
        for i, loss in enumerate(losses)
        if abs(places[i] - places[centre]) < _AROUND
        and not _is_ruined(loss, losses[lowest], untuned)
    ]
    if len(fits) < 3 or fits[0] >= centre or fits[-1] <= centre:
        return float(places[lowest])
    off = places[fits] - places[centre]
    bend, slope, _ = np.polyfit(off, losses[fits], 2)
    if bend <= 0.0:
        return float(places[lowest])
    return float(places[centre] + np.clip(-slope / (2.0 * bend), off[0], off[-1]))


def _is_ruined(loss: float, best: float, untuned: float) -> bool:
    """Whether a rate diverged, or left so little that no parabola holds as far as that."""
    return not np.isfinite(loss) or loss - best > _RUINED * max(untuned - best, 0.0)


def _losses(values: Values, name: str) -> Floats:
    """[rates, S] the test losses of an entrant."""
    return np.stack([values[f"rates:{name}_{i}"] for i in range(len(_STEPS))])


def _places(values: Values, name: str) -> Floats:
    """[rates] log10 of the rates of an entrant."""
    return np.log10([np.mean(values[f"rates:{name}_{i}#rate"]) for i in range(len(_STEPS))])


def _untuned(values: Values) -> float:
    return float(np.mean(values.get("rates:zero_shot", np.inf)))


def _best(values: Values, name: str) -> Floats:
    """[S] log10 of each seed's best rate."""
    places, untuned = _places(values, name), _untuned(values)
    return np.array([_place(column, places, untuned) for column in _losses(values, name).T])


def _decides_nothing(values: Values) -> str:
    """Which best rates lie at an edge or beside a rate that is too high to say anything, by the
    mean losses over seeds."""
    at_edge, beside, gaps, untuned = [], [], [], _untuned(values)
    for name, words in (("lora", "LoRA"), ("full", "full tuning")):
        losses, places = _losses(values, name).mean(axis=1), _places(values, name)
        best = int(np.argmin(losses))
        # The parabola may end before an edge at which the loss is lowest: it is one of three points
        # all the same, on one side of which nothing was tried.
        if best in (0, len(_STEPS) - 1) or _place(losses, places, untuned) in (
            places[0],
            places[-1],
        ):
            at_edge.append(f"the {'highest' if best > 1 else 'lowest'} of {words}")
        elif _is_ruined(losses[best + 1], losses[best], untuned):
            beside.append(words)
            gaps.append(places[best + 1] - places[best])
    if at_edge:
        return (
            f"A best rate lies at the edge of the {len(_STEPS)} that are tried "
            f"({' and '.join(at_edge)}) "
            "and may be beyond it, so that the ratio is only a bound: the grid must grow there."
        )
    if beside:
        return (
            "The rate above the best one diverged with some seed, or lost more than a tenth of "
            f"what tuning gains ({' and '.join(beside)}). Between the two the best may lie up to "
            f"{max(gaps):.2g} of a decade higher, of a margin of {_DECADE:g}: it takes a finer "
            "grid there."
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
    "edge of the seven that are tried, or the rate above it diverged or lost more than a tenth of "
    "what tuning gains",
    does_not_show="Anything of another alpha: LoRA's scale is alpha / rank, here 32 / 16 as in the "
    "source, and its rate moves with it. Where single seeds have their best rate at the edge of "
    "the seven that are tried, it is cut off there.",
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

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
"""Decades around the lowest loss, or the one beside it at an edge, within which a parabola is
fitted; rates are rounded."""
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


def _places(values: Values, name: str) -> Floats:
    """[rates] log10 of the rates of an entrant, rising."""
    return np.log10([np.mean(values[f"rates:{name}_{i}#rate"]) for i in range(len(_STEPS))])


def _losses(values: Values, name: str) -> Floats:
    """[rates, S] the test losses of an entrant."""
    found = np.stack([values[f"rates:{name}_{i}"] for i in range(len(_STEPS))])
    return np.where(np.isnan(found), np.inf, found)


def _is_ruined(loss: float, best: float, values: Values) -> bool:
    """Whether a rate diverged with some seed, or left so little that no parabola holds there."""
    untuned = float(np.mean(values.get("rates:zero_shot", np.inf)))
    return not np.isfinite(loss) or loss - best > _RUINED * max(untuned - best, 0.0)


def _fitting(losses: Floats, places: Floats, values: Values) -> list[int]:
    """The rates that a parabola is fitted to; empty where none has its lowest point among them.

    Args:
        losses: [rates] means over seeds, so that each seed is fitted at the same rates.
        places: [rates].
    """
    best = int(np.argmin(losses))
    centre = min(max(best, 1), len(_STEPS) - 2)
    found = [
        i
        for i, loss in enumerate(losses)
        if abs(places[i] - places[centre]) < _AROUND and not _is_ruined(loss, losses[best], values)
    ]
    if centre - 1 not in found or centre not in found or centre + 1 not in found:
        return []
    return found if np.polyfit(places[found], losses[found], 2)[0] > 0.0 else []


def _vertex(losses: Floats, places: Floats, fits: list[int]) -> float:
    """log10 of the best rate of a seed, or of the mean: where the parabola is lowest, within what
    was tried."""
    centre = places[fits].mean()
    bend, slope, _ = np.polyfit(places[fits] - centre, losses[fits], 2)
    if bend <= 0.0:
        return float(places[fits][np.argmin(losses[fits])])
    return float(np.clip(centre - slope / (2.0 * bend), places[fits[0]], places[fits[-1]]))


def _best(values: Values, name: str) -> Floats:
    """[S] log10 of each seed's best rate; the lowest of the means where no parabola holds, of which
    nothing is decided."""
    losses, places = _losses(values, name), _places(values, name)
    means = losses.mean(axis=1)
    fits = _fitting(means, places, values)
    if not fits:
        return np.full(losses.shape[1], places[np.argmin(means)])
    return np.array([_vertex(column, places, fits) for column in losses.T])


def _decides_nothing(values: Values) -> str:
    """Which best rates lie at an edge, or where no parabola holds, by the means over seeds."""
    at_edge, beside, gaps = [], [], []
    for name, words in (("lora", "LoRA"), ("full", "full tuning")):
        losses, places = _losses(values, name).mean(axis=1), _places(values, name)
        best, fits = int(np.argmin(losses)), _fitting(losses, places, values)
        # The parabola may end before an edge at which the loss is lowest: it is one of three points
        # all the same, on one side of which nothing was tried.
        is_edge = best in (0, len(_STEPS) - 1)
        if is_edge or (fits and _vertex(losses, places, fits) in (places[0], places[-1])):
            at_edge.append(f"the {'highest' if best > 1 else 'lowest'} of {words}")
        elif not fits:
            bad = [i for i in (best - 1, best + 1) if _is_ruined(losses[i], losses[best], values)]
            sides = ["below" if i < best else "above" for i in bad]
            beside.append(f"{words}: {' and '.join(sides) or 'the curve has no lowest point'}")
            gaps += [abs(places[i] - places[best]) for i in bad or (best - 1, best + 1)]
    if at_edge:
        return (
            f"A best rate lies at the edge of the {len(_STEPS)} that are tried "
            f"({' and '.join(at_edge)}) "
            "and may be beyond it, so that the ratio is only a bound: the grid must grow there."
        )
    if beside:
        return (
            "A rate beside the best one diverged with some seed, or lost more than a tenth of "
            f"what tuning gains ({'; '.join(beside)}), so that no parabola says where between "
            f"the two the best is. It may be {max(gaps):.2g} of a decade away, of a margin of "
            f"{_DECADE:g}, and the interval knows nothing of that: it takes a finer grid there."
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
    "edge of the seven that are tried, or a rate beside it diverged or lost more than a tenth of "
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

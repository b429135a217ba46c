"""Which factor of a crossed design mattered how much: base, prompt, method, seed.

Axis letters: S seeds, N rows, C cells, B draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.referee.components import Components
from bakeoff.errors import DataError

INTERACTION: Final = "together"
"""What the factors do together beyond the sum of what each does."""
SEEDS: Final = "seeds"
DRAWS: Final = 2000
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FactorShare:
    """How much of the spread of a crossed design's values one part makes.

    Attributes:
        name: of the factor, ``together`` or ``seeds``.
        deviation: its standard deviation between levels, in the metric's unit.
        share: of the sum of all parts' variances, 0..1. low, high: bounds over other rows and
            seeds.
    """

    name: str
    deviation: float
    share: float
    low: float
    high: float


def factor_shares(
    cells: Mapping[tuple[str, ...], Components],
    factors: Sequence[str],
    *,
    level: float = 0.95,
    draws: int = DRAWS,
) -> tuple[FactorShare, ...]:
    """Variance components of a whole crossed design, with bootstrap intervals.

    A factor's component is the variance of its levels' means, less what seeds alone put into it;
    that of ``together`` is the variance of what their sum leaves, likewise; that of ``seeds`` is
    the mean variance of single runs of one cell. Levels are those of the study: nothing is said of
    others. Intervals draw rows, the same in all cells, and seeds within each.

    Source: Searle, Casella & McCulloch 1992, "Variance Components", section 4.3 (estimates from
    mean squares, negative ones zero).

    Args:
        cells: by the levels of all factors, every combination once, over the same rows.
        factors: their names, in the order of the keys. level: of the intervals.
        draws: of the bootstrap, from a fixed seed.

    Raises:
        DataError: a combination is missing, or there are fewer than two levels in all.
    """
    levels = [list(dict.fromkeys(key[k] for key in cells)) for k in range(len(factors))]
    keys = list(itertools.product(*levels))
    missing = [key for key in keys if key not in cells]
    if missing or not any(len(found) > 1 for found in levels):
        what = f"{', '.join(missing[0])} is missing" if missing else "no factor has two levels"
        raise DataError(f"factor_shares: {what}; give every combination of all levels once")
    parts = [cells[key] for key in keys]
    shape = tuple(map(len, levels))
    means_C = np.array([float(part.mean) for part in parts])
    noise_C = np.array([float(part.seed_variance) for part in parts])
    single_C = np.array([float(part.seed_variance) * part.num_seeds for part in parts])
    whole = _components(means_C[None], noise_C[None], single_C[None], shape)[0]
    drawn = _components(*_draws(parts, draws), shape)
    shares = _shares(drawn)
    tail = 100.0 * (1.0 - level) / 2.0
    low, high = np.percentile(shares, [tail, 100.0 - tail], axis=0)
    own = _shares(whole[None])[0]
    return tuple(
        FactorShare(
            name=name,
            deviation=float(np.sqrt(whole[k])),
            share=float(own[k]),
            low=float(min(low[k], own[k])),
            high=float(max(high[k], own[k])),
        )
        for k, name in enumerate((*factors, INTERACTION, SEEDS))
    )


def _draws(parts: Sequence[Components], draws: int) -> tuple[Floats, Floats, Floats]:
    """[B, C] means, variances of means and of single runs over other rows and seeds."""
    draw = np.random.default_rng(0)
    rows_CN = np.stack([part.rows - part.rows.mean() for part in parts])
    size = rows_CN.shape[1]
    weights_BN = draw.multinomial(size, np.full(size, 1.0 / size), size=draws) / size
    means_BC = np.array([float(part.mean) for part in parts]) + weights_BN @ rows_CN.T
    noise_BC, single_BC = np.zeros_like(means_BC), np.zeros_like(means_BC)
    for place, part in enumerate(parts):
        seeds = part.num_seeds
        if seeds < 2:
            continue
        picked_BS = part.values[draw.integers(seeds, size=(draws, seeds))]
        # Few seeds drawn from themselves vary too little, by this factor.
        stretch = seeds / (seeds - 1.0)
        means_BC[:, place] += np.sqrt(stretch) * (picked_BS.mean(axis=1) - part.values.mean())
        single_BC[:, place] = stretch * picked_BS.var(axis=1, ddof=1)
        # The means drawn around have their own noise already, and the draw adds as much.
        noise_BC[:, place] = float(part.seed_variance) + single_BC[:, place] / seeds
    return means_BC, noise_BC, single_BC


def _components(
    means_BC: Floats, noise_BC: Floats, single_BC: Floats, shape: tuple[int, ...]
) -> Floats:
    """[B, factors + 2] variances: of each factor, of what they do together, of seeds."""
    means = means_BC.reshape(-1, *shape)
    axes = range(1, means.ndim)
    centre = means.mean(axis=tuple(axes), keepdims=True)
    rest, found = means - centre, []
    noise_B, degrees = noise_BC.mean(axis=1), int(np.prod(shape)) - 1
    for axis in axes:
        number = shape[axis - 1]
        others = tuple(other for other in axes if other != axis)
        effect = means.mean(axis=others, keepdims=True) - centre
        rest = rest - effect
        degrees -= number - 1
        own = (effect**2).sum(axis=tuple(axes)) / max(1, number - 1)
        found.append(np.maximum(own - noise_B * number / np.prod(shape), 0.0))
    left = (rest**2).sum(axis=tuple(axes)) / max(1, degrees)
    found += [np.maximum(left - noise_B, 0.0) if degrees else 0.0 * noise_B, single_BC.mean(axis=1)]
    return np.stack(found, axis=1)


def _shares(variances: Floats) -> Floats:
    """Of the sum; zero where nothing varies."""
    total = variances.sum(axis=1, keepdims=True)
    found: Floats = np.divide(variances, total, out=np.zeros_like(variances), where=total > 0.0)
    return found

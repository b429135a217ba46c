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
        name: of the factor, of a pair as ``base × method``, ``together`` or ``seeds``.
        deviation: its standard deviation between levels, in the metric's unit.
        share: of the sum of all parts' variances, 0..1. low, high: bounds over other rows and
            seeds.
    """

    name: str
    deviation: float
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class _Part:
    """One part of the design: the factors of which it is the joint effect, by place."""

    name: str
    places: tuple[int, ...]


def factor_shares(
    cells: Mapping[tuple[str, ...], Components],
    factors: Sequence[str],
    *,
    pairs: bool = False,
    level: float = 0.95,
    draws: int = DRAWS,
) -> tuple[FactorShare, ...]:
    """Variance components of a whole crossed design, with bootstrap intervals.

    A factor's component is the variance of its levels' means, less what seeds and the choice of
    rows alone put into it; that of a pair is the variance of what the two do together beyond the
    sum of what each does, and that of ``together`` of all that is left, likewise; that of
    ``seeds`` is the mean variance of single runs of one cell. Levels are those of the study:
    nothing is said of others. Intervals draw rows, the same in all cells, and seeds within each.

    Source: Searle, Casella & McCulloch 1992, "Variance Components", section 4.3 (estimates from
    mean squares, negative ones zero).

    Args:
        cells: by the levels of all factors, every combination once, over the same rows.
        factors: their names, in the order of the keys.
        pairs: whether each pair has a part of its own. Factors of one level then have none, and
            ``together`` only stands where three factors have more.
        level: of the intervals. draws: of the bootstrap, from a fixed seed.

    Raises:
        DataError: a combination is missing, or there are fewer than two levels in all.
    """
    levels = [list(dict.fromkeys(key[k] for key in cells)) for k in range(len(factors))]
    keys = list(itertools.product(*levels))
    missing = [key for key in keys if key not in cells]
    if missing or not any(len(found) > 1 for found in levels):
        what = f"{', '.join(missing[0])} is missing" if missing else "no factor has two levels"
        raise DataError(f"factor_shares: {what}; give every combination of all levels once")
    shape = tuple(map(len, levels))
    design = _design(factors, shape, pairs=pairs)
    runs = [cells[key] for key in keys]
    means_C = np.array([float(run.mean) for run in runs])
    # What seeds put in beyond rows: single scores' part of it is in the rows' already.
    noise_C = np.array([max(float(run.seed_variance - run.residual), 0.0) for run in runs])
    single_C = np.array([float(run.seed_variance) * run.num_seeds for run in runs])
    rows_CN = np.stack([run.rows - run.rows.mean() for run in runs])
    own_P = _row_noise(rows_CN, design, shape)
    whole = _components(means_C[None], noise_C[None], single_C[None], own_P, design, shape)[0]
    # Drawn around means that have the rows' noise already, and the draw adds as much.
    drawn = _components(*_draws(runs, rows_CN, draws), 2.0 * own_P, design, shape)
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
        for k, name in enumerate((*(part.name for part in design), SEEDS))
    )


def _design(factors: Sequence[str], shape: tuple[int, ...], *, pairs: bool) -> list[_Part]:
    """The parts of a design but for seeds, each after those that it holds."""
    everything = tuple(range(len(factors)))
    if not pairs:
        return [*(_Part(factors[k], (k,)) for k in everything), _Part(INTERACTION, everything)]
    varied = tuple(k for k in everything if shape[k] > 1)
    found = [_Part(factors[k], (k,)) for k in varied]
    found += [
        _Part(f"{factors[a]} × {factors[b]}", (a, b)) for a, b in itertools.combinations(varied, 2)
    ]
    return [*found, _Part(INTERACTION, varied)] if len(varied) > 2 else found


def _effects(cells: Floats, design: Sequence[_Part]) -> list[Floats]:
    """[B, levels...] of each part what it adds beyond all parts that it holds.

    Args:
        cells: [B, levels...] a value of each cell.
    """
    axes = tuple(range(1, cells.ndim))
    rest = cells - cells.mean(axis=axes, keepdims=True)
    found: list[Floats] = []
    for part in design:
        others = tuple(axis for axis in axes if axis - 1 not in part.places)
        effect = rest.mean(axis=others, keepdims=True)
        for before, own in zip(design, found, strict=False):
            if set(before.places) < set(part.places):
                effect = effect - own
        found.append(effect)
    return found


def _freedom(part: _Part, design: Sequence[_Part], shape: tuple[int, ...]) -> int:
    """Degrees of freedom of a part: those of its cells, less those of all parts that it holds."""
    inside = [before for before in design if set(before.places) < set(part.places)]
    cells = int(np.prod([shape[k] for k in part.places]))
    return cells - 1 - sum(_freedom(before, design, shape) for before in inside)


def _squares(effects: Floats) -> Floats:
    """[B] the sum of squares over a part's own cells."""
    found: Floats = (effects**2).sum(axis=tuple(range(1, effects.ndim)))
    return found


def _row_noise(rows_CN: Floats, design: Sequence[_Part], shape: tuple[int, ...]) -> Floats:
    """[parts] what the choice of rows alone puts into each part's mean square."""
    size = rows_CN.shape[1]
    each = _effects(rows_CN.T.reshape(size, *shape), design)
    found = []
    for part, effect in zip(design, each, strict=True):
        freedom = _freedom(part, design, shape)
        spread = _squares(effect).sum() / max(1, size - 1) / size
        found.append(spread / freedom if freedom else 0.0)
    return np.array(found)


def _draws(
    runs: Sequence[Components], rows_CN: Floats, draws: int
) -> tuple[Floats, Floats, Floats]:
    """[B, C] means, variances of means and of single runs over other rows and seeds."""
    draw = np.random.default_rng(0)
    size = rows_CN.shape[1]
    weights_BN = draw.multinomial(size, np.full(size, 1.0 / size), size=draws) / size
    means_BC = np.array([float(run.mean) for run in runs]) + weights_BN @ rows_CN.T
    noise_BC, single_BC = np.zeros_like(means_BC), np.zeros_like(means_BC)
    for place, run in enumerate(runs):
        seeds = run.num_seeds
        if seeds < 2:
            continue
        picked_BS = run.values[draw.integers(seeds, size=(draws, seeds))]
        # Few seeds drawn from themselves vary too little, by this factor.
        stretch = seeds / (seeds - 1.0)
        means_BC[:, place] += np.sqrt(stretch) * (picked_BS.mean(axis=1) - run.values.mean())
        single_BC[:, place] = stretch * picked_BS.var(axis=1, ddof=1)
        # The means drawn around have their own noise already, and the draw adds as much.
        beyond = max(float(run.seed_variance - run.residual), 0.0)
        noise_BC[:, place] = beyond + single_BC[:, place] / seeds
    return means_BC, noise_BC, single_BC


def _components(
    means_BC: Floats,
    noise_BC: Floats,
    single_BC: Floats,
    rows_P: Floats,
    design: Sequence[_Part],
    shape: tuple[int, ...],
) -> Floats:
    """[B, parts + 1] variances: of each part, then of seeds."""
    noise_B, found = noise_BC.mean(axis=1), []
    effects = _effects(means_BC.reshape(-1, *shape), design)
    for place, (part, effect) in enumerate(zip(design, effects, strict=True)):
        freedom = _freedom(part, design, shape)
        if not freedom:
            found.append(0.0 * noise_B)
            continue
        # Seeds' noise of a mean over the cells that share this part's levels.
        share = np.prod([shape[k] for k in part.places]) / np.prod(shape)
        found.append(np.maximum(_squares(effect) / freedom - noise_B * share - rows_P[place], 0.0))
    return np.stack([*found, single_BC.mean(axis=1)], axis=1)


def _shares(variances: Floats) -> Floats:
    """Of the sum; zero where nothing varies."""
    total = variances.sum(axis=1, keepdims=True)
    found: Floats = np.divide(variances, total, out=np.zeros_like(variances), where=total > 0.0)
    return found

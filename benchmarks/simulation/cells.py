"""The simulated studies that ``referee.py`` judges.

Axis letters: B studies, M methods, S seeds, N rows, L labels.

A score is the row's own ease (the same for all methods, so that it cancels), what this method makes
of this row, what its seed does to it, and noise of the single run on the single row. The first two
are drawn once for each row and method, so a test set says something of other rows only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.referee.components import Components, components_of
from bakeoff.decide.referee.influence import Floats, Influence, of_means, of_ratios, of_sums

Kind = Literal["mean", "accuracy", "tokens", "macro_f1", "rare"]
# Chance of a right answer, and how often a run answers otherwise than its method mostly does.
_ACCURACY, _FLIPS = 0.8, 0.05
_RARE_ROWS = 10
# The share of rows that are not zero, of all methods but the first; and the mean over all rows.
_FILLED, _RARE_MEAN = 0.5, 0.02


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One design, with many studies of it.

    Attributes:
        name: as in the table. methods: M. seeds: S. rows: N.
        seed_spread: standard deviation of a seed's effect. ratio: of the variances of seeds of the
            first ``varied`` methods to the others'.
        interaction: standard deviation of method by row. noise: of run by row.
        skewed: seeds' effects are exponential instead of normal.
        kind: of the metric. rare: the first method's share of rows that are not zero, where the
        kind is ``rare``. shifts: added to each method's scores; baselines stay where they are.
        baselines: of one run each, last. margin: what does not matter, where it is asked.
    """

    name: str
    methods: int = 4
    seeds: int = 3
    rows: int = 300
    seed_spread: float = 0.01
    ratio: float = 1.0
    varied: int = 0
    interaction: float = 0.0
    noise: float = 0.05
    skewed: bool = False
    kind: Kind = "mean"
    shifts: tuple[float, ...] = ()
    rare: float = 0.0
    baselines: int = 0
    margin: float = 0.0

    @property
    def spreads(self) -> Floats:
        """[M] standard deviation of each method's seeds."""
        spreads = np.full(self.methods, self.seed_spread)
        spreads[: self.varied] *= self.ratio**0.5
        return spreads


def draw(cell: Cell, rng: np.random.Generator, studies: int) -> list[Influence]:
    """The scores of each method in so many studies, baselines last."""
    makers = {
        "mean": _means,
        "accuracy": _accuracies,
        "tokens": _tokens,
        "macro_f1": _macro_f1,
        "rare": _rare,
    }
    return makers[cell.kind](cell, rng, studies)


def parts(cell: Cell, drawn: list[Influence]) -> list[Components]:
    """The variance components of each method; a baseline's one run is all there is of it."""
    return [
        components_of(influence, one_run_is_fixed=m >= cell.methods)
        for m, influence in enumerate(drawn)
    ]


def _seed_effects(cell: Cell, rng: np.random.Generator, studies: int, m: int) -> Floats:
    """[B, S, 1]"""
    shape = (studies, cell.seeds, 1)
    drawn = rng.exponential(size=shape) - 1.0 if cell.skewed else rng.standard_normal(shape)
    return np.asarray(cell.spreads[m] * drawn)


def _shift(cell: Cell, m: int) -> float:
    return cell.shifts[m] if m < len(cell.shifts) else 0.0


def _raw(cell: Cell, rng: np.random.Generator, studies: int, m: int, seeds: int) -> Floats:
    """[B, S, N] scores of one method; of a baseline where it comes after the methods."""
    scores = cell.noise * rng.standard_normal((studies, seeds, cell.rows))
    if cell.interaction:
        scores += cell.interaction * rng.standard_normal((studies, 1, cell.rows))
    if m < cell.methods:
        scores += _seed_effects(cell, rng, studies, m)
    return scores + _shift(cell, m)


def _all(cell: Cell) -> list[tuple[int, int]]:
    """Position and seeds of each method."""
    methods = [(m, cell.seeds) for m in range(cell.methods)]
    return methods + [(cell.methods + b, 1) for b in range(cell.baselines)]


def _means(cell: Cell, rng: np.random.Generator, studies: int) -> list[Influence]:
    return [of_means(_raw(cell, rng, studies, m, seeds)) for m, seeds in _all(cell)]


def _tokens(cell: Cell, rng: np.random.Generator, studies: int) -> list[Influence]:
    """Nats over tokens; the lengths vary as those of summaries do, and a long row is steadier."""
    lengths = np.ceil(rng.lognormal(3.0, 0.8, (studies, 1, cell.rows)))
    found = []
    for m, seeds in _all(cell):
        nats = (2.0 + _raw(cell, rng, studies, m, seeds)) * lengths
        weights = np.broadcast_to(lengths, nats.shape)
        found.append(of_ratios(nats, weights))
    return found


def _accuracies(cell: Cell, rng: np.random.Generator, studies: int) -> list[Influence]:
    """Right or wrong: a row is hard for all; a method has rows of its own; a run flips some."""
    ease = rng.random((studies, 1, cell.rows))
    found = []
    for m, seeds in _all(cell):
        own = np.where(
            rng.random((studies, 1, cell.rows)) < 2.0 * cell.interaction,
            rng.random((studies, 1, cell.rows)),
            ease,
        )
        reach = np.asarray(_ACCURACY + _shift(cell, m))
        if m < cell.methods:
            reach = reach + _seed_effects(cell, rng, studies, m)
        flips = rng.random((studies, seeds, cell.rows)) < _FLIPS
        own = np.where(flips, rng.random((studies, seeds, cell.rows)), own)
        right = (own < reach).astype(np.float64)
        found.append(of_means(right))
    return found


def _rare(cell: Cell, rng: np.random.Generator, studies: int) -> list[Influence]:
    """The same mean of all, which the first method makes of a few rows with large scores."""
    found = []
    for m, seeds in _all(cell):
        share = cell.rare if m == 0 else _FILLED
        shape = (studies, 1, cell.rows)
        large = rng.exponential(size=shape) * (rng.random(shape) < share) * (_RARE_MEAN / share)
        runs = 1.0 + 0.1 * rng.standard_normal((studies, seeds, cell.rows))
        found.append(of_means(large * runs))
    return found


def first_order_ratios(influence: Influence) -> Influence:
    """Of ratios, what each row adds to first order: ``(score - statistic * weight) / mean weight``.

    The rule that leaving rows out replaced, for the comparison. The scores of a row follow from
    what it adds, up to a factor that the weights alone make.
    """
    weights = influence.row_means[..., None, :, 1]
    whole = weights.sum(axis=-1, keepdims=True)
    ratio = influence.u.mean(axis=-1, keepdims=True)
    num_rows = weights.shape[-1]
    pull = influence.u - ratio
    # u was centred: the score's own pull adds up to zero, which gives the centre back.
    share = (whole - weights) / (num_rows - 1)
    centre = -(pull * share).sum(axis=-1, keepdims=True) / share.sum(axis=-1, keepdims=True)
    own = (pull + centre) * share
    return replace(influence, u=ratio + own / weights.mean(axis=-1, keepdims=True))


def _macro_f1(cell: Cell, rng: np.random.Generator, studies: int) -> list[Influence]:
    """Three labels, of which the rarest has ten rows; each method errs on rows of its own."""
    gold = np.arange(cell.rows) % 2 + 1
    gold[:_RARE_ROWS] = 0
    one_hot = np.eye(3)
    found = []
    for m, seeds in _all(cell):
        hard = rng.random((studies, 1, cell.rows))
        other = (gold + rng.integers(1, 3, (studies, 1, cell.rows))) % 3
        reach = np.asarray(_ACCURACY + _shift(cell, m))
        if m < cell.methods:
            reach = reach + _seed_effects(cell, rng, studies, m)
        flips = rng.random((studies, seeds, cell.rows)) < _FLIPS
        hard = np.where(flips, rng.random((studies, seeds, cell.rows)), hard)
        answer = np.where(hard < reach, gold, other)
        counts = np.concatenate(
            [
                one_hot[gold] * (answer == gold)[..., None],
                one_hot[answer],
                np.broadcast_to(one_hot[gold], (*answer.shape, 3)),
            ],
            axis=-1,
        )
        found.append(of_sums(counts, macro_f1))
    return found


def macro_f1(sums: NDArray[np.float64]) -> Floats:
    """[..., 3 L] true positives, predicted, gold of each label, to the mean of their F1."""
    right, predicted, gold = np.split(sums, 3, axis=-1)
    return np.asarray((2.0 * right / np.maximum(predicted + gold, 1.0)).mean(axis=-1))

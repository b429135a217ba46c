"""Which methods of a ranking are told apart, by what is known of their rows and runs.

Two questions are asked. Of **these runs**: would other rows of the same kind rank the very runs
that were published in the same order? Of the **methods**: would other seeds as well? The second
needs three runs of a method.

Axis letters: M methods, N rows, S seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bakeoff.audits.published import Floats
from bakeoff.audits.ranking import Ranking
from bakeoff.decide.referee.components import Components, components_of, raised_variances
from bakeoff.decide.referee.distributions import chi_square_quantile, t_quantile
from bakeoff.decide.referee.influence import Influence, of_means
from bakeoff.decide.referee.intervals import half_width, within_bounds
from bakeoff.decide.referee.pairs import MIN_DIFFERING_ROWS, MIN_SEEDS, PairTests, pair_tests

# As good as infinitely many: of a variance that is known and not estimated.
_KNOWN = 1e9
# A share of the largest figure; less of a spread is that of the arithmetic.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Separation:
    """Tests of all pairs of a ranking, and an interval for each method.

    Attributes:
        tests: of all pairs. of_methods: whether they allow for other seeds.
        row_variance: [M, M] the part of each difference's variance that the rows make.
        skewness: [M, M] of the differences from row to row, without its sign; 0 where rows are
            not known.
        low: [M] of each method's own value, at the level, for it alone. high: [M].
    """

    tests: PairTests
    of_methods: bool
    row_variance: Floats
    skewness: Floats
    low: Floats
    high: Floats


def separate(ranking: Ranking, alpha: float) -> Separation:
    """Tests every pair of a ranking: of the methods where most have three runs, else of the runs.

    Where the shares alone are published, two methods are taken as right on rows that have nothing
    to do with each other. On the same rows they mostly agree more than that, so closer pairs could
    be told apart from the scores of the rows.

    Args:
        ranking: which. alpha: 1 - level.
    """
    counts = [len(r) for name, r in ranking.runs.items() if name not in ranking.baselines]
    # With one run of most methods, a verdict on the few others would be all that is said.
    of_methods = sum(count >= MIN_SEEDS for count in counts) * 2 > len(counts)
    if ranking.basis == "scores":
        return _from_scores(ranking, of_methods, alpha)
    return _from_figures(ranking, of_methods, alpha)


def _from_scores(ranking: Ranking, of_methods: bool, alpha: float) -> Separation:
    parts = []
    for name in ranking.methods:
        influence = of_means(ranking.scores_of(name))
        if not of_methods:
            influence = _as_one_run(influence)
        fixed = not of_methods or name in ranking.baselines
        parts.append(components_of(influence, one_run_is_fixed=fixed))
    seeds = raised_variances(parts)
    half = np.array(
        [
            float(half_width(part, seeds, k, alpha))
            if part.fixed or part.num_seeds >= MIN_SEEDS
            else np.inf
            for k, part in enumerate(parts)
        ]
    )
    tests = pair_tests(parts, seeds)
    low, high = _within(ranking, half, parts[0].rows.shape[-1], alpha)
    return Separation(
        tests=tests,
        of_methods=of_methods,
        row_variance=tests.row_variance,
        skewness=tests.skewness,
        low=low,
        high=high,
    )


def _within(ranking: Ranking, half: Floats, rows: int, alpha: float) -> tuple[Floats, Floats]:
    """Each value's interval, within what a share may be.

    Args:
        ranking: which. half: [M] of the interval, infinite where nothing is known of it.
        rows: of the test set. alpha: 1 - level.
    """
    if not ranking.is_share:
        return ranking.values - half, ranking.values + half
    ends = [
        within_bounds(float(value), float(one), (0.0, 1.0), rows, alpha)
        if np.isfinite(one)
        else (-np.inf, np.inf)
        for value, one in zip(ranking.values, half, strict=True)
    ]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


def _as_one_run(influence: Influence) -> Influence:
    """The mean over seeds as if it were a single run: what is said holds for these seeds."""
    return Influence(
        u=influence.u.mean(axis=-2, keepdims=True),
        values=influence.values.mean(axis=-1, keepdims=True),
        row_means=influence.row_means,
        identical=np.zeros_like(influence.identical),
    )


def _from_figures(ranking: Ranking, of_methods: bool, alpha: float) -> Separation:
    """From one figure for each run: a share over so many rows, one with its error, or it alone."""
    values, size = ranking.values, len(ranking.methods)
    parts = [_figures(ranking, name) for name in ranking.methods]
    seeds = raised_variances(parts)
    tied = seeds.variance <= (_ROUNDING * np.array([float(part.scale) for part in parts])) ** 2
    by_seeds = np.where(tied, 0.0, seeds.variance)
    single = np.array([row_variance(ranking, name) for name in ranking.methods])
    rows = single[:, None] + single[None, :]
    tested = np.ones((size, size), dtype=np.bool_)
    if ranking.basis == "shares":
        rows, tested = _pooled_shares(ranking)
    variance = rows.copy()
    squares = np.zeros_like(rows)
    has_seeds = np.ones((size, size), dtype=np.bool_)
    if of_methods:
        ready = np.array([m.fixed or m.num_seeds >= MIN_SEEDS for m in parts])
        variance = rows + by_seeds[:, None] + by_seeds[None, :]
        own = by_seeds**2 / np.maximum(seeds.freedom, 1.0)
        squares = own[:, None] + own[None, :]
        has_seeds = ready[:, None] & ready[None, :]
        tested &= variance > 0.0  # else figures tie by their rounding, and no rows are known
    elif ranking.basis == "none":
        has_seeds[:] = False
    freedom = np.where(squares > 0.0, variance**2 / np.where(squares > 0.0, squares, 1.0), _KNOWN)
    tests = PairTests(
        difference=values[:, None] - values[None, :],
        variance=variance,
        freedom=np.minimum(freedom, _KNOWN),
        differing_rows=np.full((size, size), MIN_DIFFERING_ROWS),
        has_seeds=has_seeds,
        tested=tested & has_seeds,
    )
    low, high = _intervals(ranking, single, by_seeds * of_methods, seeds.freedom, alpha)
    return Separation(
        tests=tests,
        of_methods=of_methods,
        row_variance=rows,
        skewness=np.zeros_like(rows),
        low=low,
        high=high,
    )


def row_variance(ranking: Ranking, name: str) -> float:
    """Of a method's value by its test rows; the mean over runs on the same rows has no less."""
    runs = ranking.runs[name]
    if ranking.basis == "scores":
        means = ranking.scores_of(name).mean(axis=0)
        return float(means.var(ddof=1) / means.size)
    if ranking.basis == "shares":
        share = float(np.mean([run.value for run in runs]))
        return share * (1.0 - share) / (ranking.num_rows or 1)
    if ranking.basis == "errors":
        return float(np.mean([(run.error or 0.0) ** 2 for run in runs]))
    return 0.0


def _figures(ranking: Ranking, name: str) -> Components:
    """A method's runs without their rows."""
    values = np.array([run.value for run in ranking.runs[name]])
    count = len(values)
    variance = float(values.var(ddof=1)) / count if count > 1 else 0.0
    scale = float(np.abs(values).max())
    is_tied = variance <= (_ROUNDING * scale) ** 2
    # Equal figures of a trained method are rounded, not runs that are the same.
    fixed = name in ranking.baselines and (count == 1 or is_tied)
    return Components(
        num_seeds=count,
        mean=np.asarray(values.mean()),
        values=values,
        rows=np.zeros(0),
        row_means=np.zeros((0, 1)),
        seed_variance=np.asarray(variance),
        residual=np.asarray(0.0),
        fixed=np.asarray(fixed),
        scale=np.asarray(scale),
    )


def _pooled_shares(ranking: Ranking) -> tuple[Floats, np.ndarray]:
    """Variances of differences under "no difference", and where they are near enough to normal.

    By the share of both together, which holds where one of them is zero as well; with at least ten
    hits and ten misses in both together.
    """
    rows = ranking.num_rows or 1
    share = (ranking.values[:, None] + ranking.values[None, :]) / 2.0
    hits, misses = 2.0 * share * rows, 2.0 * (1.0 - share) * rows
    enough = np.minimum(hits, misses) >= MIN_DIFFERING_ROWS - 1e-6
    return 2.0 * share * (1.0 - share) / rows, enough


def _intervals(
    ranking: Ranking, rows: Floats, seeds: Floats, freedom: Floats, alpha: float
) -> tuple[Floats, Floats]:
    """Of each method's own value: Wilson's of a share of one run, else by t."""
    values, count = ranking.values, ranking.num_rows or 1
    if ranking.basis == "shares" and not seeds.any():
        square = float(t_quantile(_KNOWN, 1.0 - alpha / 2.0)) ** 2
        middle = (values + square / (2.0 * count)) / (1.0 + square / count)
        inner = values * (1.0 - values) / count + square / (4.0 * count**2)
        half = np.sqrt(square * inner) / (1.0 + square / count)
        return middle - half, middle + half
    # Where neither rows nor seeds are known to vary, nothing is known of the value.
    half = np.where(rows + seeds > 0.0, _half_width(rows, seeds, freedom, alpha), np.inf)
    if ranking.num_rows is None:
        least, most = (0.0, 1.0) if ranking.is_share else (-np.inf, np.inf)
        known = np.isfinite(half)
        return (
            np.where(known, np.maximum(values - half, least), -np.inf),
            np.where(known, np.minimum(values + half, most), np.inf),
        )
    return _within(ranking, half, count, alpha)


def _half_width(rows: Floats, seeds: Floats, freedom: Floats, alpha: float) -> Floats:
    total = rows + seeds
    squares = seeds**2 / np.maximum(freedom, 1.0)
    all_freedom = np.where(squares > 0.0, total**2 / np.where(squares > 0.0, squares, 1.0), _KNOWN)
    reach = t_quantile(np.minimum(all_freedom, _KNOWN), 1.0 - alpha / 2.0)
    return np.asarray(reach * np.sqrt(total))


def spread_interval(square: float, freedom: float, alpha: float) -> tuple[float, float]:
    """Bounds of a standard deviation whose estimate has so many degrees of freedom."""
    high, low = (float(chi_square_quantile(freedom, p)) for p in (alpha / 2.0, 1.0 - alpha / 2.0))
    return float(np.sqrt(square * freedom / low)), float(np.sqrt(square * freedom / high))

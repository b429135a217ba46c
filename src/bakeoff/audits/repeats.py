"""The same methods published twice: what changed, and what that says of a single run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bakeoff.audits.findings import Change, Interval, RankingFinding, RepeatFinding, Swap
from bakeoff.audits.judged import judge_ranking
from bakeoff.audits.published import Floats, Run
from bakeoff.audits.ranking import Ranking, mean_of
from bakeoff.audits.separation import Separation, row_variance, separate, spread_interval
from bakeoff.decide.referee.distributions import t_cdf, t_quantile
from bakeoff.decide.referee.holm import holm
from bakeoff.decide.referee.pairs import pair_indices
from bakeoff.formatting import join

FEWEST = 3
"""Methods in common below which nothing is said."""
_FEWEST_HITS = 10
_TINY = 1e-300


def common_methods(first: Ranking, second: Ranking) -> list[str]:
    """Methods of both groups that were run with the same settings, in the order of the first.

    A setting that only one of the two names is taken as the other's default.
    """
    return [
        name
        for name in first.methods
        if name in second.runs and _same_settings(first.runs[name][0], second.runs[name][0])
    ]


def find_repeats(
    first: Ranking, second: Ranking, tests: tuple[Separation, Separation], alpha: float
) -> RepeatFinding | None:
    """What two groups say of each other; None with fewer than three methods in common.

    Args:
        first: the older group. second: the newer one, on the same metric.
        tests: of each. alpha: 1 - level.
    """
    names = common_methods(first, second)
    if len(names) < FEWEST:
        return None
    before, after = (_values(ranking, names) for ranking in (first, second))
    change = after - before
    fell, rose = int((change < 0).sum()), int((change > 0).sum())
    low_count = [not _can_change(name, first, second) for name in names]
    counted = [k for k, low in enumerate(low_count) if not low]
    shift = _mean_interval(change, alpha)
    spread = _spread(change[counted], alpha) if len(counted) >= FEWEST else None
    swaps = _swaps(names, before, after, first.sign)
    reach = None if spread is None else spread.value * _reach(len(counted) - 1.0, alpha / 2.0)
    places = np.sort(after)
    return RepeatFinding(
        first=first.name,
        second=second.name,
        metric=first.metric,
        is_share=first.is_share and second.is_share,
        level=1.0 - alpha,
        changes=tuple(
            Change(method=name, first=float(a), second=float(b))
            for name, a, b in zip(names, before, after, strict=True)
        ),
        fell=fell,
        rose=rose,
        unchanged=len(names) - fell - rose,
        p_value=sign_test(fell, rose),
        shift=shift,
        change_sd=spread,
        run_sd=None if spread is None else _scaled(spread, math.sqrt(0.5)),
        counted=len(counted),
        not_counted=tuple(name for name, low in zip(names, low_count, strict=True) if low),
        same_seeds=all(_seeds(first, name) == _seeds(second, name) for name in names),
        pairs=len(names) * (len(names) - 1) // 2,
        swaps=tuple(swaps),
        separable_swaps=_separable_swaps(swaps, (first, second), tests, alpha),
        neighbours=len(names) - 1,
        close_neighbours=None if reach is None else int((np.diff(places) < reach).sum()),
        others=len(second.methods) - 1,
        with_top=None if spread is None else _with_top(second, spread, len(counted) - 1.0, alpha),
        circumstances=_circumstances(first, second, names),
        **_training(first, second, names),
    )


def judge_together(rankings: Sequence[Ranking], alpha: float) -> RankingFinding | None:
    """All groups as one ranking of the methods in all of them, repeats as runs.

    The variance of a run is that of the changes about what all methods have in common, the same
    for every method; that of the rows is added as for one run, since all groups have the same ones.

    Returns:
        None where nothing is known of the rows, or with fewer than three methods in common.
    """
    names = [m for m in rankings[0].methods if all(m in r.runs for r in rankings[1:])]
    for later in rankings[1:]:
        same = set(common_methods(rankings[0], later))
        names = [name for name in names if name in same]
    if len(names) < FEWEST or any(r.basis == "none" for r in rankings):
        return None
    table = np.array([_values(r, names) for r in rankings])
    steady = [k for k, m in enumerate(names) if _can_change(m, *rankings)]
    if len(steady) < FEWEST:
        return None
    table = table[:, steady]
    rest = table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean()
    freedom = (len(steady) - 1.0) * (len(rankings) - 1.0)
    run = float((rest**2).sum() / freedom)
    runs = {m: tuple(run for r in rankings for run in r.runs[m]) for m in names}
    order = sorted(names, key=lambda m: (-rankings[0].sign * mean_of(runs[m]), m))
    whole = replace(
        rankings[0],
        name=f"{join([r.name for r in rankings])} together",
        runs={name: runs[name] for name in order},
    )
    if whole.basis == "none":
        return None
    separation = _with_runs(whole, run / len(rankings), freedom, alpha)
    return judge_ranking(whole, separation, alpha, speaks_of="repeats")


def sign_test(fell: int, rose: int) -> float:
    """Two-sided p of as uneven a split or more, if a fall were as likely as a rise."""
    total = fell + rose
    tail = sum(math.comb(total, k) for k in range(min(fell, rose) + 1)) / 2.0**total
    return min(1.0, 2.0 * tail)


def _with_runs(whole: Ranking, run: float, freedom: float, alpha: float) -> Separation:
    """The tests of the rows alone, with the variance of each method's runs added.

    Args:
        whole: all groups. run: the variance of a mean over them. freedom: of that variance.
        alpha: 1 - level.
    """
    alone = separate(whole, alpha)
    rows = alone.row_variance
    variance = rows + 2.0 * run
    all_freedom = alone.tests.freedom
    if run > 0.0:
        # One estimate serves both methods of a pair.
        all_freedom = np.minimum(variance**2 / ((2.0 * run) ** 2 / freedom), all_freedom)
    tests = replace(
        alone.tests,
        variance=variance,
        freedom=all_freedom,
        has_seeds=np.ones_like(alone.tests.has_seeds),
    )
    single = np.array([row_variance(whole, name) for name in whole.methods])
    half = np.sqrt(single + run) * float(t_quantile(freedom, 1.0 - alpha / 2.0))
    return Separation(
        tests=tests,
        of_methods=False,
        row_variance=rows,
        skewness=alone.skewness,
        low=whole.values - half,
        high=whole.values + half,
    )


def _values(ranking: Ranking, names: Sequence[str]) -> Floats:
    return np.array([mean_of(ranking.runs[name]) for name in names])


def _seeds(ranking: Ranking, name: str) -> set[str]:
    return {run.seed for run in ranking.runs[name]}


def _same_settings(one: Run, other: Run) -> bool:
    shared = set(one.settings) & set(other.settings)
    return all(one.settings[key] == other.settings[key] for key in shared)


def _can_change(name: str, *rankings: Ranking) -> bool:
    """Whether a method has ten hits and ten misses everywhere, where values are shares of rows."""
    for ranking in rankings:
        value, rows = mean_of(ranking.runs[name]), ranking.num_rows
        is_share = all(run.is_share for run in ranking.runs[name])
        if is_share and rows is not None and min(value, 1.0 - value) * rows < _FEWEST_HITS:
            return False
    return True


def _mean_interval(values: Floats, alpha: float) -> Interval:
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    half = float(t_quantile(len(values) - 1.0, 1.0 - alpha / 2.0)) * error
    return Interval(value=mean, low=mean - half, high=mean + half)


def _spread(values: Floats, alpha: float) -> Interval:
    square, freedom = float(values.var(ddof=1)), len(values) - 1.0
    low, high = spread_interval(square, freedom, alpha)
    return Interval(value=math.sqrt(square), low=low, high=high)


def _scaled(interval: Interval, factor: float) -> Interval:
    return Interval(
        value=interval.value * factor, low=interval.low * factor, high=interval.high * factor
    )


def _swaps(names: Sequence[str], before: Floats, after: Floats, sign: float) -> list[Swap]:
    """Pairs in strictly opposite order, the widest first."""
    found = []
    for i, j in itertools.combinations(range(len(names)), 2):
        a, b = sign * (before[i] - before[j]), sign * (after[i] - after[j])
        if a * b < 0.0:
            first, second = (i, j) if a > 0.0 else (j, i)
            found.append(
                Swap(
                    ahead=names[first],
                    behind=names[second],
                    before=float(abs(a)),
                    after=float(abs(b)),
                )
            )
    return sorted(found, key=lambda swap: -min(swap.before, swap.after))


def _with_top(ranking: Ranking, spread: Interval, freedom: float, alpha: float) -> int:
    """Methods not shown worse than the top on these rows, single runs' difference having a spread.

    By Holm's procedure over all pairs, as for other rows.
    """
    i, j = pair_indices(len(ranking.methods))
    errors = np.abs(ranking.values[i] - ranking.values[j]) / max(spread.value, _TINY)
    p_values = holm(2.0 * t_cdf(freedom, -errors))
    return int((p_values[i == 0] > alpha).sum())


def _reach(freedom: float, tail: float) -> float:
    return float(t_quantile(freedom, 1.0 - tail))


def _separable_swaps(
    swaps: Sequence[Swap],
    rankings: tuple[Ranking, Ranking],
    tests: tuple[Separation, Separation],
    alpha: float,
) -> int:
    """How many of them were called different in either group."""
    shown: set[frozenset[str]] = set()
    for ranking, separation in zip(rankings, tests, strict=True):
        i, j = pair_indices(len(ranking.methods))
        different = holm(separation.tests.p_different()[i, j]) <= alpha
        shown |= {
            frozenset((ranking.methods[a], ranking.methods[b]))
            for a, b in zip(i[different].tolist(), j[different].tolist(), strict=True)
        }
    return sum(frozenset((swap.ahead, swap.behind)) in shown for swap in swaps)


def _circumstances(
    first: Ranking, second: Ranking, names: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Versions and revisions that differ between the groups."""
    sides = [_named(ranking, names) for ranking in (first, second)]
    keys = [key for key in dict.fromkeys([*sides[0], *sides[1]]) if all(key in s for s in sides)]
    return {key: (sides[0][key], sides[1][key]) for key in keys if sides[0][key] != sides[1][key]}


def _named(ranking: Ranking, names: Sequence[str]) -> Mapping[str, str]:
    """For each version or revision all that occur."""
    found: dict[str, set[str]] = {}
    for name in names:
        for key, value in ranking.runs[name][0].circumstances.items():
            found.setdefault(key, set()).add(value)
    return {key: ", ".join(sorted(values)) for key, values in found.items()}


def _training(first: Ranking, second: Ranking, names: Sequence[str]) -> dict[str, float]:
    changes = [
        abs(a.training_loss - b.training_loss)
        for name in names
        for a, b in [(first.runs[name][0], second.runs[name][0])]
        if a.training_loss is not None and b.training_loss is not None
    ]
    if len(changes) < len(names):
        return {}
    return {
        "training_change": float(np.median(changes)),
        "largest_training_change": max(changes),
    }

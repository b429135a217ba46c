"""From a ranking and its tests to what is said of it."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from bakeoff.audits.findings import MethodFinding, RankingFinding, Standing
from bakeoff.audits.ranking import Ranking, settings_that_differ
from bakeoff.audits.separation import Separation
from bakeoff.audits.wording import missing_from, unlike_sentences
from bakeoff.decide.referee.distributions import noncentrality, t_quantile
from bakeoff.decide.referee.influence import Bools
from bakeoff.decide.referee.pairs import judge, pair_indices

_CHANCE = 0.8
# A few rows that make most of a difference; Cochran 1977, section 2.15.
_COCHRAN = 25.0
_MOST_ROWS = 1e9
_MOST_FREEDOM = 1e6


def judge_ranking(
    ranking: Ranking,
    separation: Separation,
    alpha: float,
    *,
    speaks_of: Literal["runs", "methods", "repeats"] | None = None,
) -> RankingFinding:
    """What of one ranking stands.

    Args:
        ranking: which. separation: its tests. alpha: 1 - level.
        speaks_of: where it is not what ``separation`` says.
    """
    tests, names = separation.tests, ranking.methods
    verdicts = judge(tests, ranking.margin, alpha)
    i, j = pair_indices(len(names))
    shown = verdicts.p_different <= alpha
    ahead = np.zeros((len(names), len(names)), dtype=np.bool_)
    forward = ranking.sign * tests.difference[i, j] > 0.0
    ahead[i, j], ahead[j, i] = shown & forward, shown & ~forward
    behind = ahead[0]
    beside = j == i + 1
    # As Holm's procedure stands after the pairs that it found.
    step = alpha / max(1, len(i) - int(shown.sum()))
    alone, among_all = (_detectable(separation, behind, level) for level in (alpha, step))
    return RankingFinding(
        name=ranking.name,
        metric=ranking.metric,
        higher_is_better=ranking.higher_is_better,
        margin=ranking.margin,
        level=1.0 - alpha,
        rows=ranking.num_rows,
        basis=ranking.basis,
        is_share=ranking.is_share,
        speaks_of=speaks_of or ("methods" if separation.of_methods else "runs"),
        methods=tuple(
            MethodFinding(
                method=name,
                value=float(ranking.values[k]),
                low=float(separation.low[k]),
                high=float(separation.high[k]),
                runs=len(ranking.runs[name]),
                seeds=tuple(dict.fromkeys(run.seed for run in ranking.runs[name])),
                place=k + 1,
                first_place=1 + int(ahead[:, k].sum()),
                last_place=len(names) - int(ahead[k].sum()),
                standing=_standing(k, bool(behind[k])),
            )
            for k, name in enumerate(names)
        ),
        pairs=len(i),
        separable=int(shown.sum()),
        equivalent=int(verdicts.equivalent.sum()),
        neighbours=int(beside.sum()),
        separable_neighbours=int((shown & beside).sum()),
        detectable=alone,
        detectable_among_all=among_all,
        rows_for_margin=_rows_for(ranking, alone),
        warnings=tuple(_warnings(ranking, separation)),
        missing=tuple(missing_from(ranking)),
        unlike=tuple(unlike_sentences(settings_that_differ(ranking), len(names))),
    )


def _standing(place: int, is_behind: bool) -> Standing:
    if place == 0:
        return "top"
    return "separable" if is_behind else "not separable"


def _detectable(separation: Separation, behind: Bools, alpha: float) -> float | None:
    """The difference that a two-sided test at ``alpha`` finds with 80 % probability.

    By the median standard error between the top and those that are not behind it.
    """
    tests = separation.tests
    near = ~behind
    near[0] = False
    near = near if near.any() else behind
    near = near & tests.tested[0]
    if not near.any():
        return None
    error = float(np.median(np.sqrt(tests.variance[0, near])))
    # The noncentral t has no quantile at very many degrees of freedom, where it is normal.
    freedom = min(max(float(np.median(tests.freedom[0, near])), 1.0), _MOST_FREEDOM)
    critical = float(t_quantile(freedom, 1.0 - alpha / 2.0))
    return error * float(noncentrality(freedom, 1.0 - _CHANCE, critical))


def _rows_for(ranking: Ranking, detectable: float | None) -> int | None:
    """With how many rows a difference of the margin is found, where rows are all that varies."""
    if detectable is None or ranking.num_rows is None or ranking.margin <= 0.0:
        return None
    if max(ranking.num_runs) > 1:
        return None
    rows = ranking.num_rows * (detectable / ranking.margin) ** 2
    return math.ceil(rows) if rows < _MOST_ROWS else None


def _warnings(ranking: Ranking, separation: Separation) -> list[str]:
    """Pairs of which a few rows make most of the difference.

    As of a study's pairs: it only matters where the rows make much of the variance.
    """
    tests, names = separation.tests, ranking.methods
    if ranking.basis != "scores":
        return []  # nothing is known of single rows
    rows = ranking.scores_of(names[0]).shape[-1]
    skewed = rows < _COCHRAN * separation.skewness**2
    skewed &= separation.row_variance >= 0.5 * tests.variance
    skewed = np.triu(skewed & tests.tested, 1)
    if not skewed.any():
        return []
    first = [f"{names[i]} and {names[j]}" for i, j in zip(*np.nonzero(skewed), strict=True)]
    more = f" and {len(first) - 3} other pairs" if len(first) > 3 else ""
    return [
        f"a few rows make most of the difference between {'; '.join(first[:3])}{more}, so verdicts "
        "on them are less certain than they look"
    ]

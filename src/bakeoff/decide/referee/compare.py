"""``bakeoff.compare``: verdicts and a recommendation from arrays of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from numpy.typing import ArrayLike

from bakeoff.decide.referee import checks
from bakeoff.decide.referee.arrays import checked_arrays, uneven_weights
from bakeoff.decide.referee.components import components_of
from bakeoff.decide.referee.influence import of_means, of_ratios
from bakeoff.decide.referee.judging import Judgement, judge_methods
from bakeoff.decide.referee.question import Question


def compare(
    scores: Mapping[str, ArrayLike],
    *,
    higher_is_better: bool,
    margin: float,
    weights: ArrayLike | Mapping[str, ArrayLike] | None = None,
    costs: Mapping[str, float] | None = None,
    baselines: Sequence[str] = (),
    level: float = 0.95,
    groups: ArrayLike | None = None,
) -> Judgement:
    """Says of every pair of methods whether one is better, and which method to use.

    With fewer than three seeds of a method nothing is said of it, unless its runs are all the same
    or it is a baseline with one run. Rows are taken as drawn from all rows that there might be, and
    seeds likewise, so verdicts speak of other rows and other seeds. ``docs/referee.md`` has the
    rules and what they reach in simulations.

    Args:
        scores: for each method [S, N], a seed in each line and a test row in each column; [N] is
            one seed. S may differ; the rows are the same for all methods, in the same order.
        higher_is_better: whether a higher score is better.
        margin: a difference that does not matter, in the metric's unit, chosen before the scores
            were seen. Zero: nothing is called equivalent.
        weights: where a method's statistic is the sum of ``scores`` over the sum of ``weights``, as
            nats over tokens: [N] for all, or for each method [N] or [S, N], above zero. None for
            the mean of the scores.
        costs: of each method, for the cheapest of equivalent ones; the unit does not matter. None
            takes the best mean of them.
        baselines: names of those that are never recommended, but must be beaten. One with a single
            run is taken as one that would not change with the seed.
        level: 1 minus the share of studies in which any verdict on a pair may be wrong; the
            recommendation is a second family at the same level.
        groups: [N] which rows hang together, as questions on one passage; groups are then what is
            drawn. Scores and weights are summed by group first.

    Returns:
        ``comparisons`` of all pairs, ``recommendation`` and ``warnings``.

    Raises:
        DataError: scores, weights or groups that are missing, of a wrong shape or not finite.
        ConfigError: any other argument that breaks a rule. Both are a ValueError.
    """
    margin, level = checks.check_margin(margin), checks.check_level(level)
    arrays = checked_arrays(scores, weights, groups)
    names = list(arrays)
    fixed = checks.check_baselines(baselines, names)
    methods = {}
    for name, (own, counts) in arrays.items():
        influence = of_means(own) if counts is None else of_ratios(own, counts)
        methods[name] = components_of(influence, one_run_is_fixed=name in fixed)
    question = Question(
        higher_is_better=checks.check_direction(higher_is_better),
        margin=margin,
        alpha=1.0 - level,
        baselines=fixed,
        costs=checks.check_costs(costs, names, fixed),
        unit="rows" if groups is None else "groups",
    )
    return judge_methods(methods, question, uneven_weights(arrays, weights is not None))

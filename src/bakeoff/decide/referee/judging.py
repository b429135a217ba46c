"""From the variance components of named methods to verdicts and a recommendation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bakeoff.decide.referee import wording
from bakeoff.decide.referee.advice import recommendation
from bakeoff.decide.referee.components import Components, SeedVariance, raised_variances
from bakeoff.decide.referee.evidence import Evidence, deviations, evidence_of
from bakeoff.decide.referee.pairs import (
    RowTests,
    judge,
    least_margins,
    pair_indices,
    pair_tests,
)
from bakeoff.decide.referee.question import Question
from bakeoff.runs.decisions import Comparable, Comparison, Recommendation, Spread

_COCHRAN = 25.0


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Everything that is said of one metric on one test set.

    Attributes:
        comparisons: all pairs, in the order of ``itertools.combinations`` over the names.
        recommendation: a family of its own at the same level: ``best`` may be given where a pair
            reads ``undecided``.
        warnings: what makes the figures less certain than they look.
    """

    comparisons: tuple[Comparison, ...]
    recommendation: Recommendation
    warnings: tuple[str, ...] = ()


def judge_methods(
    methods: Mapping[str, Components], question: Question, warnings: Sequence[str] = ()
) -> Judgement:
    """Judges the methods of one study, over the same rows, on one metric.

    Args:
        methods: of one study (no leading axes), two or more rows, at least one candidate.
        question: what is asked. warnings: handed on.
    """
    comparisons, found, evidence = judge_pairs(methods, question)
    return Judgement(
        comparisons=comparisons,
        recommendation=recommendation(evidence, question),
        warnings=(*warnings, *found),
    )


def judge_pairs(
    methods: Mapping[str, Components], question: Question, seeds: SeedVariance | None = None
) -> tuple[tuple[Comparison, ...], tuple[str, ...], Evidence]:
    """The comparisons of all pairs, warnings, and what a recommendation rests on.

    Args:
        methods, question: see ``judge_methods``. seeds: variances of all; None raises low ones.
    """
    parts = list(methods.values())
    seeds = seeds or raised_variances(parts)
    tests = pair_tests(parts, seeds)
    if question.withheld is not None:
        tests = replace(tests, tested=np.zeros_like(tests.tested))
    evidence = evidence_of(methods, seeds, tests, withheld=question.withheld, unit=question.unit)
    skewed = _skewed(evidence.names, tests, evidence.num_rows)
    return (
        _comparisons(evidence, question),
        (wording.skewed_rows(skewed),) if skewed else (),
        evidence,
    )


def _comparisons(evidence: Evidence, question: Question) -> tuple[Comparison, ...]:
    names, tests = evidence.names, evidence.tests
    verdicts = judge(tests, question.margin, question.alpha)
    first, second = pair_indices(len(names))
    widths = tests.half_width(question.alpha / max(1, len(first)))
    margins = least_margins(tests, question.alpha)
    found = []
    for k, (i, j) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        difference, width = float(tests.difference[i, j]), float(widths[i, j])
        verdict: Comparable = "undecided"
        if verdicts.equivalent[k]:
            verdict = "equivalent"
        elif verdicts.different[k]:
            verdict = "better" if question.sign * difference > 0.0 else "worse"
        is_said = bool(tests.tested[i, j])
        fixed = (evidence.fixed[i], evidence.fixed[j])
        spread = evidence.spreads[i, j]
        by_seeds, by_scores = deviations(spread, fixed)
        found.append(
            Comparison(
                a=names[i],
                b=names[j],
                set=question.set,
                metric=question.metric,
                difference=difference,
                low=difference - width if is_said else None,
                high=difference + width if is_said else None,
                p_value=float(verdicts.p_different[k]),
                margin=question.margin,
                level=1.0 - question.alpha,
                seeds=(evidence.num_seeds[i], evidence.num_seeds[j]),
                examples=evidence.num_rows,
                verdict=verdict,
                why=evidence.whys.get((i, j)),
                error=math.sqrt(float(tests.variance[i, j])),
                freedom=float(tests.freedom[i, j]),
                fixed=fixed,
                differing=int(tests.differing_rows[i, j]),
                spread=Spread(rows=math.sqrt(spread.row), seeds=by_seeds, scores=by_scores),
                equivalent_from=float(margins[k]) if is_said else None,
            )
        )
    return tuple(found)


def _skewed(names: Sequence[str], tests: RowTests, num_rows: int) -> list[tuple[str, str]]:
    """Pairs whose rows differ by a few large amounts, so that their mean is far from normal.

    N should be more than 25 times the square of the skewness. Source: Cochran 1977, "Sampling
    techniques", section 2.15. It only matters where the rows make much of the variance.
    """
    skewed = num_rows < _COCHRAN * tests.skewness**2
    skewed &= tests.row_variance >= 0.5 * tests.variance
    return [
        (names[i], names[j])
        for i, j in zip(*np.nonzero(np.triu(skewed & tests.tested, 1)), strict=True)
    ]

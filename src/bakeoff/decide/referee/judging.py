"""From the variance components of named methods to verdicts and a recommendation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bakeoff.decide.referee import wording
from bakeoff.decide.referee.advice import recommendation
from bakeoff.decide.referee.components import Components, raised_variances
from bakeoff.decide.referee.pairs import (
    MIN_DIFFERING_ROWS,
    PairTests,
    judge,
    pair_indices,
    pair_tests,
)
from bakeoff.decide.referee.question import Question
from bakeoff.decide.referee.result import Comparison, Judgement, PairVerdict

_COCHRAN = 25.0


def judge_methods(
    methods: Mapping[str, Components], question: Question, warnings: Sequence[str] = ()
) -> Judgement:
    """Judges the methods of one study, over the same rows, on one metric.

    Args:
        methods: of one study (no leading axes), two or more rows, at least one candidate.
        question: what is asked. warnings: handed on.
    """
    parts = list(methods.values())
    seeds = raised_variances(parts)
    tests = pair_tests(parts, seeds)
    if question.withheld is not None:
        tests = replace(tests, tested=np.zeros_like(tests.tested))
    skewed = _skewed(methods, tests)
    return Judgement(
        comparisons=_comparisons(methods, tests, question),
        recommendation=recommendation(methods, seeds, tests, question),
        warnings=(*warnings, *([wording.skewed_rows(skewed)] if skewed else [])),
    )


def _comparisons(
    methods: Mapping[str, Components], tests: PairTests, question: Question
) -> tuple[Comparison, ...]:
    names, parts = list(methods), list(methods.values())
    verdicts = judge(tests, question.margin, question.alpha)
    first, second = pair_indices(len(names))
    widths = tests.half_width(question.alpha / max(1, len(first)))
    found = []
    for k, (i, j) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        difference, width = float(tests.difference[i, j]), float(widths[i, j])
        verdict: PairVerdict = "undecided"
        if verdicts.equivalent[k]:
            verdict = "equivalent"
        elif verdicts.different[k]:
            verdict = "better" if question.sign * difference > 0.0 else "worse"
        counted = [m.num_seeds for m in (parts[i], parts[j]) if not m.fixed]
        found.append(
            Comparison(
                a=names[i],
                b=names[j],
                difference=difference,
                low=difference - width,
                high=difference + width,
                p_value=float(verdicts.p_different[k]),
                margin=question.margin,
                level=1.0 - question.alpha,
                seeds=min(counted or [parts[i].num_seeds, parts[j].num_seeds]),
                examples=int(parts[i].rows.shape[-1]),
                verdict=verdict,
                why=_withheld(methods, tests, question, i, j),
            )
        )
    return tuple(found)


def _skewed(methods: Mapping[str, Components], tests: PairTests) -> list[tuple[str, str]]:
    """Pairs whose rows differ by a few large amounts, so that their mean is far from normal.

    N should be more than 25 times the square of the skewness. Source: Cochran 1977, "Sampling
    techniques", section 2.15. It only matters where the rows make much of the variance.
    """
    names = list(methods)
    num_rows = next(iter(methods.values())).rows.shape[-1]
    skewed = num_rows < _COCHRAN * tests.skewness**2
    skewed &= tests.row_variance >= 0.5 * tests.variance
    return [
        (names[i], names[j])
        for i, j in zip(*np.nonzero(np.triu(skewed & tests.tested, 1)), strict=True)
    ]


def _withheld(
    methods: Mapping[str, Components], tests: PairTests, question: Question, i: int, j: int
) -> str | None:
    """Why a pair is not judged; None where it is."""
    if tests.tested[i, j]:
        return None
    if not tests.has_seeds[i, j]:
        names = list(methods)
        return wording.few_pair_seeds([names[k] for k in (i, j) if not tests.has_seeds[k, k]])
    if question.withheld is not None:
        return question.withheld
    rows = int(next(iter(methods.values())).rows.shape[-1])
    return wording.few_rows(
        int(tests.differing_rows[i, j]), rows, MIN_DIFFERING_ROWS, question.unit
    )

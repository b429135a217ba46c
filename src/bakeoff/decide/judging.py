"""From the variance components of named methods to verdicts and a recommendation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bakeoff.decide import wording
from bakeoff.decide.advice import recommendation
from bakeoff.decide.components import Components, raised_variances
from bakeoff.decide.pairs import (
    MIN_DIFFERING_ROWS,
    PairTests,
    judge,
    pair_indices,
    pair_tests,
)
from bakeoff.decide.question import Question
from bakeoff.decide.result import Comparison, Judgement, PairVerdict


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
    return Judgement(
        comparisons=_comparisons(methods, tests, question),
        recommendation=recommendation(methods, seeds, tests, question),
        warnings=tuple(warnings),
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
    return wording.few_rows(int(tests.differing_rows[i, j]), rows, MIN_DIFFERING_ROWS)

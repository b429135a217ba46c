"""Looks at a study's test scores, for adaptive seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bakeoff.decide.referee.influence import Floats
from bakeoff.decide.referee.looks import look_alphas
from bakeoff.decide.referee.margin import default_margin
from bakeoff.engine.options import AdaptiveSeeds
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.findings import Findings, TestScores
from bakeoff.study.looks import Looked, Scored, look_at

_NLL_MARGIN: Final = 0.02  # nats per token
_ALPHA: Final = 0.05


def looked_at(
    bench: Workbench, findings: Findings, tokens_N: Floats, seeds: AdaptiveSeeds
) -> Looked | None:
    """What the looks at the test scores say so far; None where no method has any.

    Args:
        bench: the study's. findings: with the test scores.
        tokens_N: [N] supervised tokens of each row. seeds: the bounds.
    """
    methods = {}
    for name, method in findings.schedule.methods.items():
        tested = [c for c in method.finals if c.id in findings.test_scores]
        found = _scored(
            [findings.test_scores[c.id] for c in tested],
            tokens_N,
            asked=len(method.finals),
            cost=float(method.candidates[0].method.num_trainable),
        )
        if found is not None:
            methods[name] = found
    if not methods:
        return None
    baselines = {
        name: found
        for name, scores in findings.baselines.items()
        if (found := _scored([scores], tokens_N, asked=1)) is not None
    }
    margin = margin_of(findings, bench.protocol.seed_list)
    return look_at(methods, baselines, seeds, higher_is_better=False, margin=margin, alpha=_ALPHA)


def margin_of(findings: Findings, seeds: Sequence[int]) -> float:
    """A difference in validation NLL that does not matter, in nats per token.

    Args:
        findings: with the validation losses.
        seeds: of every method; those that a look asked for do not move the margin, which was fixed
            before it.
    """
    validation = []
    for method in findings.schedule.methods.values():
        losses = [
            c.best_val_nll
            for c in method.finals
            if c.seed in seeds and c.state.is_eligible and c.best_val_nll is not None
        ]
        validation += [sum(losses) / len(losses)] if losses else []
    untuned = findings.zero_shot_val_nll
    return default_margin(
        validation,
        [] if untuned is None else [untuned],
        higher_is_better=False,
        metric_default=_NLL_MARGIN,
    )


def level_of(seeds: int | tuple[int, ...] | AdaptiveSeeds, level: float = 1.0 - _ALPHA) -> float:
    """The level at which the results judge every pair, so that the study's holds over all looks.

    How many seeds a method has follows from what was seen of fewer, so that a pair may have been
    tested at any of the looks; each of these tests may spend what the first look may.

    Args:
        seeds: the protocol's. level: the study's, of all verdicts together.
    """
    if not isinstance(seeds, AdaptiveSeeds):
        return level
    alphas = look_alphas(1.0 - level, at_least=seeds.at_least, at_most=seeds.at_most)
    return 1.0 - min(alphas.values())


def _scored(
    runs: Sequence[TestScores], tokens_N: Floats, *, asked: int, cost: float = 0.0
) -> Scored | None:
    """Runs by seed; None where there is none, or they have no NLL."""
    sums = [scores.nll_N for scores in runs if scores.nll_N is not None]
    if not sums:
        return None
    sums_SN = np.stack(sums)
    return Scored(
        sums_SN=sums_SN,
        weights_SN=np.broadcast_to(tokens_N, sums_SN.shape),
        asked=asked,
        cost=cost,
    )

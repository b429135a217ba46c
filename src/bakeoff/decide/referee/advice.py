"""The recommendation in names, with what would decide it and what to do all the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bakeoff.decide.referee import wording
from bakeoff.decide.referee.components import Components, SeedVariance
from bakeoff.decide.referee.design import pair_spread
from bakeoff.decide.referee.fallback import least_regret
from bakeoff.decide.referee.needs import Needs, most, needed
from bakeoff.decide.referee.pairs import MIN_DIFFERING_ROWS, MIN_SEEDS, PairTests
from bakeoff.decide.referee.question import Question
from bakeoff.decide.referee.recommend import Choice, Outcome, choose
from bakeoff.decide.referee.result import Recommendation, RecommendationVerdict

_VERDICTS: Mapping[Outcome, RecommendationVerdict] = {
    Outcome.UNDECIDED: "undecided",
    Outcome.NONE: "none",
    Outcome.BEST: "best",
    Outcome.CHEAPEST_EQUIVALENT: "cheapest_equivalent",
}


def recommendation(
    methods: Mapping[str, Components], seeds: SeedVariance, tests: PairTests, question: Question
) -> Recommendation:
    """Applies the rules of ``recommend`` to one study, and puts them into words.

    Args:
        methods: of one study, by name. seeds: what is used as their variances.
        tests: of all pairs. question: what is asked.
    """
    names, parts = list(methods), list(methods.values())
    candidates = question.candidates
    if candidates is None:
        candidates = [name for name in names if name not in question.baselines]
    known = question.costs or {}
    costs = [known.get(name, math.inf if known else 0.0) for name in names]
    positions = {name: k for k, name in enumerate(names)}
    # So that ties do not depend on the order in which methods are given.
    order = sorted((positions[name] for name in candidates), key=lambda k: (costs[k], names[k]))
    rest = sorted(positions[name] for name in question.baselines)
    choice = choose(
        tests,
        np.array([float(m.mean) for m in parts]),
        candidates=order,
        baselines=rest,
        costs=[costs[k] for k in order],
        higher_is_better=question.higher_is_better,
        margin=question.margin,
        alpha=question.alpha,
    )
    outcome = Outcome(int(choice.outcome))
    method = names[int(choice.method)] if int(choice.method) >= 0 else None
    equivalent, open_, behind = _parts(choice, outcome, names)
    setting = wording.Setting(
        margin=question.margin,
        level=1.0 - question.alpha,
        baselines=list(question.baselines),
        num_candidates=len(order),
        has_costs=question.costs is not None,
        unit=question.unit,
    )
    leader = names[int(choice.leader)]
    needs = fallback = None
    if method is not None and outcome is Outcome.BEST:
        why = wording.best(setting, method)
    elif method is not None:
        why = wording.cheapest_equivalent(setting, method, equivalent, open_)
    elif outcome is Outcome.NONE:
        why = wording.none(setting, leader)
    else:
        unready = [names[k] for k in (*order, *rest) if not tests.has_seeds[k, k]]
        if unready:
            needs, why = Needs(seeds=MIN_SEEDS, rows=None), wording.too_few_seeds(unready)
        else:
            needs = _needs(parts, seeds, tests, choice, rest, question)
            reasons = _reasons(methods, tests, choice, rest, question)
            why = wording.undecided(setting, leader, open_, needs, reasons)
        fallback = least_regret(
            names,
            parts,
            seeds,
            tests,
            considered=[*order, *rest],
            costs=costs,
            sign=question.sign,
            alpha=question.alpha,
        )
    # In the order in which the methods were given.
    return Recommendation(
        verdict=_VERDICTS[outcome],
        method=method,
        equivalent=tuple(name for name in names if name in equivalent),
        undecided=tuple(name for name in names if name in open_),
        behind=tuple(name for name in names if name in behind),
        needs=needs,
        fallback=fallback,
        why=why,
    )


def _parts(
    choice: Choice, outcome: Outcome, names: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Every candidate but the recommended one as equivalent, undecided or behind."""
    equivalent, open_, behind = [], [], []
    for k, position in enumerate(choice.candidates.tolist()):
        if position == int(choice.method):
            continue
        if outcome is Outcome.BEST or choice.behind[k]:
            behind.append(names[position])
        elif outcome is Outcome.CHEAPEST_EQUIVALENT and choice.near[k]:
            equivalent.append(names[position])
        elif outcome is not Outcome.NONE:
            # A near method that nothing shows better than the baselines is undecided as well.
            open_.append(names[position])
    return sorted(equivalent), sorted(open_), behind


def _reasons(
    methods: Mapping[str, Components],
    tests: PairTests,
    choice: Choice,
    baselines: Sequence[int],
    question: Question,
) -> list[str]:
    """Why pairs that block the answer were not judged at all."""
    if question.withheld is not None:
        return [question.withheld]
    names = list(methods)
    rows = int(next(iter(methods.values())).rows.shape[-1])
    alive = choice.candidates[~choice.behind].tolist()
    return [
        wording.untested(
            min(names[i], names[j]),
            max(names[i], names[j]),
            wording.few_rows(
                int(tests.differing_rows[i, j]), rows, MIN_DIFFERING_ROWS, question.unit
            ),
        )
        for i in alive
        for j in (*(k for k in alive if k > i), *baselines)
        if not tests.tested[i, j]
    ]


def _needs(
    parts: Sequence[Components],
    seeds: SeedVariance,
    tests: PairTests,
    choice: Choice,
    baselines: Sequence[int],
    question: Question,
) -> Needs | None:
    """What decides every pair that blocks the answer."""
    if question.withheld is not None:
        return None
    candidates = choice.candidates.tolist()
    behind, near = choice.behind.tolist(), choice.near.tolist()
    alive = [(p, near[k]) for k, p in enumerate(candidates) if not behind[k]]
    pairs = [(i, j) for i, a in alive for j, b in alive if i < j and not (a and b)]
    pairs += [(i, k) for i, _ in alive for k in baselines]
    step = question.alpha / max(1, len(candidates) - 1)
    rows = int(parts[0].rows.shape[-1])
    found: list[Needs | None] = []
    for i, j in pairs:
        if not tests.tested[i, j]:
            differing = int(tests.differing_rows[i, j])
            if differing == 0:
                return None
            found.append(Needs(seeds=None, rows=math.ceil(rows * MIN_DIFFERING_ROWS / differing)))
            continue
        counted = [parts[k].num_seeds for k in (i, j) if not parts[k].fixed]
        spread = pair_spread(
            parts[i], parts[j], (float(seeds.variance[i]), float(seeds.variance[j]))
        )
        found.append(
            needed(
                spread,
                seeds=min(counted or [MIN_SEEDS]),
                rows=rows,
                margin=question.margin,
                alpha=step,
            )
        )
    return most(found)

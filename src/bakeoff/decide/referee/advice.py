"""The recommendation in names, with what would decide it and what to do all the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bakeoff.decide.referee import wording
from bakeoff.decide.referee.evidence import Evidence
from bakeoff.decide.referee.fallback import least_regret
from bakeoff.decide.referee.needs import most, needed
from bakeoff.decide.referee.pairs import MIN_DIFFERING_ROWS, MIN_SEEDS
from bakeoff.decide.referee.question import Question
from bakeoff.decide.referee.recommend import Choice, Outcome, choose
from bakeoff.runs.decisions import Answer, Needs, Recommendation

_VERDICTS: Mapping[Outcome, Answer] = {
    Outcome.UNDECIDED: "undecided",
    Outcome.NONE: "none",
    Outcome.BEST: "best",
    Outcome.CHEAPEST_EQUIVALENT: "cheapest_equivalent",
}


def recommendation(evidence: Evidence, question: Question) -> Recommendation:
    """Applies the rules of ``recommend`` to one study, and puts them into words.

    Args:
        evidence: of methods and baselines. question: what is asked.
    """
    names, tests = evidence.names, evidence.tests
    choice, costs = _chosen(evidence, question)
    order = choice.candidates.tolist()
    rest = sorted(evidence.position(name) for name in question.baselines)
    outcome = Outcome(int(choice.outcome))
    method = names[int(choice.method)] if int(choice.method) >= 0 else None
    equivalent, open_, behind = _parts(choice, outcome, names)
    setting = wording.Setting(
        margin=question.written(question.margin),
        has_margin=question.margin > 0.0,
        level=1.0 - question.alpha,
        baselines=question.called(question.baselines),
        num_candidates=len(order),
        has_costs=question.costs is not None,
        unit=question.unit,
        scope=question.scope,
        why_no_margin=question.why_no_margin,
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
        unready = [names[k] for k in sorted((*order, *rest)) if not tests.has_seeds[k, k]]
        if unready:
            needs, why = Needs(seeds=MIN_SEEDS, rows=None), wording.too_few_seeds(unready)
        else:
            needs = _needs(evidence, choice, rest, question)
            state = {names[p]: k for k, p in enumerate(order)}
            why = wording.undecided(
                setting,
                leader,
                open_,
                needs,
                _reasons(evidence, choice, rest, question),
                not_over=[name for name in open_ if not choice.over[state[name]]],
                are_near=all(choice.near[state[name]] for name in open_),
            )
        fallback = least_regret(
            evidence,
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


def method_among(evidence: Evidence, question: Question) -> str | None:
    """The recommended method alone; None where there is none."""
    choice, _ = _chosen(evidence, question)
    return evidence.names[int(choice.method)] if int(choice.method) >= 0 else None


def _chosen(evidence: Evidence, question: Question) -> tuple[Choice, list[float]]:
    """The outcome of the rules, and the costs of all methods."""
    names = evidence.names
    candidates = question.candidates
    if candidates is None:
        candidates = [name for name in names if name not in question.baselines]
    known = question.costs or {}
    costs = [known.get(name, math.inf if known else 0.0) for name in names]
    # So that ties do not depend on the order in which methods are given.
    order = sorted(map(evidence.position, candidates), key=lambda k: (costs[k], names[k]))
    choice = choose(
        evidence.tests,
        np.array(evidence.means),
        candidates=order,
        baselines=sorted(map(evidence.position, question.baselines)),
        costs=[costs[k] for k in order],
        higher_is_better=question.higher_is_better,
        margin=question.margin,
        alpha=question.alpha,
    )
    return choice, costs


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
    evidence: Evidence, choice: Choice, baselines: Sequence[int], question: Question
) -> list[str]:
    """Why pairs that block the answer were not judged at all."""
    names = evidence.names
    withheld: list[str] = []
    untested: dict[str, list[tuple[str, str]]] = {}
    for i, j in _blocking(choice, baselines):
        if evidence.tests.tested[i, j]:
            continue
        why = evidence.whys.get((min(i, j), max(i, j)), "no comparison of them is known")
        if _is_withheld(evidence, i, j):
            withheld.append(f"Nothing is judged, as {why}")
            continue
        a, b = question.called(sorted((names[i], names[j])))
        pairs = untested.setdefault(why, [])
        if (a, b) not in pairs:
            pairs.append((a, b))
    return [
        *dict.fromkeys(withheld),
        *(wording.untested(pairs, why) for why, pairs in untested.items()),
    ]


def _blocking(choice: Choice, baselines: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs that keep the rules from an answer.

    Of methods that are not behind, those that are not both near; and such methods with baselines
    where they are not shown better than every one.
    """
    alive = [
        (position, bool(choice.near[k]), bool(choice.over[k]))
        for k, position in enumerate(choice.candidates.tolist())
        if not choice.behind[k]
    ]
    found = [(i, j) for i, a, _ in alive for j, b, _ in alive if i < j and not (a and b)]
    return found + [(i, k) for i, _, is_over in alive if not is_over for k in baselines]


def _is_withheld(evidence: Evidence, i: int, j: int) -> bool:
    """Whether the metric itself forbids to judge a pair that is not tested."""
    tests = evidence.tests
    return bool(tests.has_seeds[i, j] and tests.differing_rows[i, j] >= MIN_DIFFERING_ROWS)


def _needs(
    evidence: Evidence, choice: Choice, baselines: Sequence[int], question: Question
) -> Needs | None:
    """What decides every pair that blocks the answer."""
    step = question.alpha / max(1, len(choice.candidates) - 1)
    found: list[Needs | None] = []
    for i, j in _blocking(choice, baselines):
        spread = evidence.spreads.get((min(i, j), max(i, j)))
        if not evidence.tests.tested[i, j]:
            differing = int(evidence.tests.differing_rows[i, j])
            if differing == 0 or spread is None or _is_withheld(evidence, i, j):
                return None
            rows = math.ceil(evidence.num_rows * MIN_DIFFERING_ROWS / differing)
            found.append(Needs(seeds=None, rows=rows))
            continue
        counted = [evidence.num_seeds[k] for k in (i, j) if not evidence.fixed[k]]
        assert spread is not None  # a pair that was tested has one
        found.append(
            needed(
                spread,
                seeds=min(counted or [MIN_SEEDS]),
                rows=evidence.num_rows,
                margin=question.margin,
                alpha=step,
            )
        )
    return most(found)

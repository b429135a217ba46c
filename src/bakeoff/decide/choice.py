"""Which method to use: the rules, as one pure function of a run's results.

1. Only methods that ended well and were tested take part; while one may still change the answer,
   nothing is recommended.
2. Where there are limits, only methods that are shown to meet each of them take part: a cost that
   was not measured is not shown to be within a limit.
3. The best primary metric on the test set leads. It must be clear of the untuned base's.
4. Every method that the paired comparison with the leader calls undecided, or that was never
   compared with it, is tied: a difference that was not shown is none. One that is shown to be
   behind another that takes part is not a tie.
5. Of the tied methods that are clear of the base, the cheapest is recommended: the smaller
   adapter, then the faster epoch, then fewer parameters, then the name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bakeoff.decide.changes import what_would_change
from bakeoff.decide.limits import Limits
from bakeoff.decide.verdicts import (
    ZERO_SHOT,
    best_word,
    comparison,
    cost_order,
    finished_methods,
    is_ahead_of_zero_shot,
    is_tie,
    may_still_finish,
    metric_scale,
    metric_words,
    rank,
    tested,
    value_of,
    winner,
    with_unit,
)
from bakeoff.formatting import join
from bakeoff.runs.records import Outside, Recommendation, Results, RunnerUp

_FEWEST_ROWS = 2


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The outcome of rules 3 to 5 among some methods.

    Attributes:
        leader: the best test result. pick: the recommended one, None where the leader is not clear
            of the base. others: those that tie with the leader, without the pick.
    """

    leader: str
    pick: str | None
    others: tuple[str, ...]


def recommend(results: Results, limits: Limits | None = None) -> Recommendation:
    """Applies the rules above to a run's results, complete or partial.

    Args:
        results: what the run found; its own recommendation is not looked at.
        limits: what a method may cost at most.

    Returns:
        The recommendation: ``best`` where nothing ties with the leader, ``cheapest_equivalent``
        where something does, ``none`` where no method may be recommended, ``undecided`` while a
        method may still change the answer or there are fewer than two test rows. Its ``undecided``
        are the methods that tie, in the study's order.
    """
    limits = limits or Limits()
    outside = {
        name: breaches
        for name, method in finished_methods(results).items()
        if (breaches := limits.breaches(results, method))
    }
    inside = [name for name in finished_methods(results) if name not in outside]
    blank = Recommendation(
        method=None,
        verdict="none",
        why="",
        limits=tuple(limits.described()),
        outside=tuple(
            Outside(method=name, reasons=tuple(breach.reason for breach in breaches))
            for name, breaches in outside.items()
        ),
    )
    refusal = _refusal(results, inside, blank)
    if refusal is not None:
        return refusal
    choice = choose(results, inside)
    if choice.pick is None:
        return replace(blank, why=_not_clear(results, choice.leader, bool(outside)))
    runners_up = _runners_up(results, inside, choice.pick)
    return replace(
        blank,
        method=choice.pick,
        verdict="cheapest_equivalent" if choice.others else "best",
        why=_why(results, inside, choice, choice.pick, bool(outside)),
        undecided=choice.others,
        behind=tuple(found.method for found in runners_up if found.verdict == "worse"),
        runners_up=runners_up,
        changes=what_would_change(
            results,
            inside,
            outside,
            leader=choice.leader,
            pick=choice.pick,
            tied=choice.others,
            again=lambda names: choose(results, names).pick,
        ),
    )


def choose(results: Results, names: Sequence[str]) -> Choice:
    """Rules 3 to 5 among the named finished methods, of which there is at least one."""
    leader = min(names, key=lambda name: rank(results, name))
    clear = [name for name in names if is_ahead_of_zero_shot(results, name)]
    if leader not in clear:
        return Choice(leader=leader, pick=None, others=())
    tied = [
        name
        for name in names
        if name == leader
        or (
            is_tie(results, leader, name)
            and not any(winner(results, name, other) == other for other in names)
        )
    ]
    pick = min(
        (name for name in tied if name in clear),
        key=lambda name: cost_order(name, results.methods[name]),
    )
    return Choice(leader=leader, pick=pick, others=tuple(name for name in tied if name != pick))


def _refusal(
    results: Results, inside: Sequence[str], blank: Recommendation
) -> Recommendation | None:
    """Why nothing can be recommended at all, or None where something may be."""
    finished = finished_methods(results)
    waiting = [name for name, m in results.methods.items() if may_still_finish(results, m)]
    unfinished = f"{join(waiting)} {'has' if len(waiting) == 1 else 'have'} not finished"
    if not finished:
        reason = unfinished if waiting else "none ended well"
        why = f"Nothing is recommended: no method has a test result, as {reason}."
        return replace(blank, verdict="undecided" if waiting else "none", why=why)
    if waiting:
        leader = min(finished, key=lambda name: rank(results, name))
        why = (
            f"Nothing is recommended yet: {unfinished}; so far {leader} has the "
            f"{best_word(results)} {metric_words(results)}, {with_unit(results, finished[leader])}."
        )
        return replace(blank, verdict="undecided", why=why)
    if results.data.test.examples < _FEWEST_ROWS:
        why = (
            "Nothing is recommended: one test row says nothing of others; give task.examples.test "
            "two or more."
        )
        return replace(blank, verdict="undecided", why=why)
    if not inside:
        nearest = min(blank.outside, key=lambda found: len(found.reasons))
        why = (
            "Nothing is recommended: no method is shown to meet the limits "
            f"({join(blank.limits)}). {nearest.method} misses fewest: {join(nearest.reasons)}."
        )
        return replace(blank, why=why)
    return None


def _not_clear(results: Results, leader: str, has_outside: bool) -> str:
    zero = results.baselines.get(ZERO_SHOT)
    base = None if zero is None else zero.test.get(results.primary.name)
    shown = "" if base is None else f" {metric_scale(results).write(base.mean)}"
    side = "above" if results.primary.higher_is_better else "below"
    return (
        f"Nothing is recommended: the {best_word(results)} {metric_words(results)}"
        f"{_scope(has_outside)}, {leader}'s {with_unit(results, results.methods[leader])}, is not "
        f"shown to be {side} the untuned base's{shown}."
    )


def _why(
    results: Results, inside: Sequence[str], choice: Choice, pick: str, has_outside: bool
) -> str:
    leader, others, methods = choice.leader, choice.others, results.methods
    best, scope = with_unit(results, methods[leader]), _scope(has_outside)
    side = "above" if results.primary.higher_is_better else "below"
    has_best = f"{pick} has the {best_word(results)} {metric_words(results)}{scope}, {best}"
    if len(inside) == 1:
        only = "within the limits" if has_outside else "that ended well"
        return f"{pick} is the only method {only}: {best}, {side} the untuned base's."
    if not others:
        num = len(inside) - 1
        which = "the other method" if num == 1 else f"each of the other {num} methods"
        if has_outside:
            which += " within the limits"
        return f"{has_best}, and is ahead of {which} beyond chance."
    price = f"{'cheaper' if len(others) == 1 else 'cheapest of them'} to keep"
    ours = cost_order(pick, methods[pick])
    if any(cost_order(name, methods[name]) < ours for name in others):
        price = f"cheapest to keep of those shown to be {side} the untuned base's"
    if pick == leader:
        tie = "ties" if len(others) == 1 else "tie"
        return f"{has_best}; {join(others)} {tie} with it, and {pick} is the {price}."
    rest = [name for name in others if name != leader]
    also = f", and with {join(rest)}," if rest else ""
    return (
        f"{pick} ties with {leader}, whose {metric_words(results)} is the {best_word(results)}"
        f"{scope} ({value_of(results, methods[pick])} against {best}){also} and is the {price}."
    )


def _runners_up(results: Results, inside: Sequence[str], pick: str) -> tuple[RunnerUp, ...]:
    """The others that took part, the best first, with what each has more of it than the pick."""
    found = []
    for name in sorted(inside, key=lambda name: rank(results, name)):
        if name == pick:
            continue
        gap = comparison(results, name, pick)
        found.append(
            RunnerUp(
                method=name,
                difference=_gap(results, name, pick) if gap is None else gap.difference,
                low=None if gap is None else gap.low,
                high=None if gap is None else gap.high,
                verdict="undecided" if is_tie(results, name, pick) else "worse",
            )
        )
    return tuple(found)


def _gap(results: Results, a: str, b: str) -> float:
    ours, theirs = (tested(results, results.methods[name]) for name in (a, b))
    assert ours is not None and theirs is not None  # only finished methods take part
    return ours.mean - theirs.mean


def _scope(has_outside: bool) -> str:
    return " of those within the limits" if has_outside else ""

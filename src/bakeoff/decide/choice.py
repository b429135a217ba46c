"""Which method to use: the rules, as one pure function of a run's results.

1. Only methods that ended well and have a test NLL take part; while one may still change the
   answer, nothing is recommended.
2. Where there are limits, only methods that are shown to meet each of them take part: a cost that
   was not measured is not shown to be within a limit.
3. The lowest test NLL leads. It must lie clear of the untuned base's.
4. Every method that the paired comparison with the leader calls a tie, or that was never
   compared with it, is tied: a difference that was not shown is none. One that is shown to be
   behind another that takes part is no tie.
5. Of the tied methods that are clear of the base, the cheapest is recommended: the smaller
   adapter, then the faster epoch, then fewer parameters, then the name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.decide.changes import what_would_change
from bakeoff.decide.facts import (
    ZERO_SHOT,
    Results,
    cost,
    difference,
    dig,
    finished_methods,
    is_below_zero_shot,
    is_tie,
    join,
    mapping,
    may_still_finish,
    nll_of,
    number,
    winner,
)
from bakeoff.decide.limits import Limits


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The outcome of rules 3 to 5 among some methods.

    Attributes:
        leader: the lowest test NLL. pick: the recommended one, None where the leader is not clear
            of the base. others: those that tie with the leader, without the pick.
    """

    leader: str
    pick: str | None
    others: list[str]


def recommend(results: Results, limits: Limits | None = None) -> dict[str, Any]:
    """Applies the rules above to a run's results, complete or partial.

    Args:
        results: The content of ``results.json``; any key may be missing or null.
        limits: What a method may cost at most.

    Returns:
        ``method`` (a name, or None), ``why`` (one sentence), ``ties`` (the names of the methods
        that tie with the recommended one, in the study's order), ``runners_up`` (the other
        methods that took part, best first, each with its difference from the recommended one),
        ``changes`` (sentences on what would change the answer), ``limits`` (in words) and
        ``outside`` (the methods that are not shown to meet them, each with its reasons).
    """
    limits = limits or Limits()
    methods = mapping(results.get("methods"))
    finished = finished_methods(results)
    waiting = [name for name, entry in methods.items() if may_still_finish(entry)]
    outside = {
        name: breaches
        for name, entry in finished.items()
        if (breaches := limits.breaches(results, entry))
    }
    inside = [name for name in finished if name not in outside]
    answer: dict[str, Any] = {
        "method": None,
        "why": "",
        "ties": [],
        "runners_up": [],
        "changes": [],
        "limits": limits.described(),
        "outside": [
            {"method": name, "reasons": [breach.told for breach in breaches]}
            for name, breaches in outside.items()
        ],
    }
    if (refusal := _refusal(results, finished, inside, waiting, answer)) is not None:
        return {**answer, "why": f"Nothing is recommended{refusal}"}
    choice = choose(results, inside)
    if choice.pick is None:
        base = number(dig(results, "baselines", ZERO_SHOT, "test_nll"))
        answer["why"] = (
            f"Nothing is recommended: the lowest test NLL{_scope(outside)}, {choice.leader}'s "
            f"{_nats(finished[choice.leader])}, is not shown to be below the untuned base's"
            f"{'' if base is None else f' {base:.3f}'}."
        )
        return answer
    return {
        **answer,
        "method": choice.pick,
        "why": _why(finished, inside, choice, bool(outside)),
        "ties": choice.others,
        "runners_up": _runners_up(results, finished, inside, choice.pick),
        "changes": what_would_change(
            results,
            finished,
            outside,
            leader=choice.leader,
            pick=choice.pick,
            tied=choice.others,
            again=lambda names: choose(results, names).pick,
        ),
    }


def choose(results: Results, names: Sequence[str]) -> Choice:
    """Rules 3 to 5 among the named finished methods, of which there is at least one."""
    finished = finished_methods(results)
    leader = min(names, key=lambda name: (nll_of(finished[name]), cost(name, finished[name])))
    clear = [name for name in names if is_below_zero_shot(results, name)]
    if leader not in clear:
        return Choice(leader=leader, pick=None, others=[])
    tied = [
        name
        for name in names
        if name == leader
        or (
            is_tie(results, leader, name)
            and not any(winner(results, name, other) == other for other in names)
        )
    ]
    pick = min((n for n in tied if n in clear), key=lambda name: cost(name, finished[name]))
    return Choice(leader=leader, pick=pick, others=[name for name in tied if name != pick])


def _refusal(
    results: Results,
    finished: Mapping[str, Mapping[str, Any]],
    inside: Sequence[str],
    waiting: Sequence[str],
    answer: Mapping[str, Any],
) -> str | None:
    """Why nothing can be recommended at all, after the words that say so."""
    if not finished:
        reason = f"{join(waiting)} {_have(waiting)} not finished" if waiting else "none ended well"
        return f": no method has a test result, as {reason}."
    if waiting:
        leader = min(finished, key=lambda n: (nll_of(finished[n]), cost(n, finished[n])))
        return (
            f" yet: {join(waiting)} {_have(waiting)} not finished; so far {leader} has the lowest "
            f"test NLL, {_nats(finished[leader])}."
        )
    rows = number(dig(results, "data", "test", "examples"))
    if rows is not None and rows < 2:
        return ": one test row says nothing of others; give task.examples.test two or more."
    if not inside:
        nearest = min(answer["outside"], key=lambda entry: len(entry["reasons"]))
        return (
            f": no method is shown to meet the limits ({join(answer['limits'])}). "
            f"{nearest['method']} misses fewest: {join(nearest['reasons'])}."
        )
    return None


def _why(
    finished: Mapping[str, Mapping[str, Any]],
    inside: Sequence[str],
    choice: Choice,
    has_outside: bool,
) -> str:
    pick, leader, others = str(choice.pick), choice.leader, choice.others
    lowest, scope = _nats(finished[leader]), _scope(has_outside)
    if len(inside) == 1:
        only = "within the limits" if has_outside else "that ended well"
        return f"{pick} is the only method {only}: {lowest}, below the untuned base's."
    if not others:
        num = len(inside) - 1
        which = "the other method" if num == 1 else f"each of the other {num} methods"
        if has_outside:
            which += " within the limits"
        return (
            f"{pick} has the lowest test NLL{scope}, {lowest}, and is ahead of {which} beyond "
            "chance."
        )
    price = f"{'cheaper' if len(others) == 1 else 'cheapest of them'} to keep"
    if any(cost(n, finished[n]) < cost(pick, finished[pick]) for n in others):
        price = "cheapest to keep of those shown to be below the untuned base's"
    if pick == leader:
        return (
            f"{pick} has the lowest test NLL{scope}, {lowest}; {join(others)} "
            f"{'ties' if len(others) == 1 else 'tie'} with it, and {pick} is the {price}."
        )
    rest = [name for name in others if name != leader]
    also = f", and with {join(rest)}," if rest else ""
    return (
        f"{pick} ties with {leader}, whose test NLL is the lowest{scope} "
        f"({nll_of(finished[pick]):.3f} against {lowest}){also} and is the {price}."
    )


def _runners_up(
    results: Results, finished: Mapping[str, Mapping[str, Any]], inside: Sequence[str], pick: str
) -> list[dict[str, Any]]:
    """The others that took part by test NLL, with what each has more of it than the pick."""
    found = []
    for name in sorted(inside, key=lambda n: (nll_of(finished[n]), cost(n, finished[n]))):
        if name == pick:
            continue
        gap = difference(results, name, pick)
        found.append(
            {
                "method": name,
                "difference": nll_of(finished[name]) - nll_of(finished[pick])
                if gap is None
                else gap.value,
                "low": gap and gap.low,
                "high": gap and gap.high,
                "verdict": "tie" if is_tie(results, name, pick) else "behind",
            }
        )
    return found


def _scope(has_outside: object) -> str:
    return " of those within the limits" if has_outside else ""


def _nats(entry: Mapping[str, Any]) -> str:
    return f"{nll_of(entry):.3f} nats a token"


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"

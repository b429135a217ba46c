"""What would change a recommendation: looser limits, tighter ones, another priority."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bakeoff.decide.limits import Breach, prices_in
from bakeoff.decide.verdicts import (
    loss_of,
    metric_words,
    value_of,
    verdict_of,
    writes_nothing,
)
from bakeoff.formatting import join
from bakeoff.runs.records import Results

Again = Callable[[Sequence[str]], str | None]
"""The recommended one among other methods, by the same rules."""


def what_would_change(
    results: Results,
    inside: Sequence[str],
    outside: Mapping[str, Sequence[Breach]],
    *,
    pick: str | None,
    equal: Sequence[str],
    again: Again,
) -> tuple[str, ...]:
    """Sentences on what would lead to another answer, the likeliest first.

    Args:
        results: the run's results.
        inside: the methods that ended well and are within the limits.
        outside: those that are not shown to meet the limits, with the limits that they miss.
        pick: the recommended method, None where there is none.
        equal: those that are equivalent to it.
        again: the recommended one among other methods, by the same rules.
    """
    found = _looser(results, inside, outside, pick, again)
    if pick is None:
        return tuple(found)
    found += _priorities(results, pick, equal)
    return (*found, *_tighter(results, inside, pick, equal, again))


def _looser(
    results: Results,
    inside: Sequence[str],
    outside: Mapping[str, Sequence[Breach]],
    pick: str | None,
    again: Again,
) -> list[str]:
    """The answer without limits, and the better method that misses them by least."""
    if not outside:
        return []
    unlimited = again([*inside, *outside])
    better = [name for name in outside if pick and verdict_of(results, name, pick) == "better"]

    def miss(name: str) -> tuple[int, float, float]:
        breaches = outside[name]
        worst = max(breach.excess for breach in breaches)
        return len(breaches), worst, loss_of(results, results.methods[name])

    shown = [unlimited] if unlimited in outside else []
    shown += [min(better, key=miss)] if better else []
    return [
        f"Without the limits {name} would be {'recommended' if name == unlimited else 'ahead'}: "
        f"its {_result(results, name)}{_against(results, name, pick)} "
        f"({join([breach.reason for breach in outside[name]])})."
        for name in dict.fromkeys(shown)
        if name is not None
    ]


def _priorities(results: Results, pick: str, equal: Sequence[str]) -> list[str]:
    """Which of the equivalent is best at what the rules do not look at first."""
    methods = results.methods
    found: dict[str, list[str]] = {}
    for price in prices_in(results):
        costs = {
            name: cost.mean
            for name in (pick, *_that_write(results, equal))
            if (cost := price.read(results, methods[name])) is not None
        }
        if pick not in costs:
            continue
        least = min(costs, key=costs.__getitem__)
        if price.is_less(results, methods[least], methods[pick]):
            ours, theirs = price.write(costs[pick]), price.write(costs[least])
            found.setdefault(least, []).append(f"{price.least} ({theirs} against {ours})")
    return [
        f"Of those that are equivalent, {name} {join(reasons)}." for name, reasons in found.items()
    ]


def _tighter(
    results: Results, inside: Sequence[str], pick: str, equal: Sequence[str], again: Again
) -> list[str]:
    """What the answer would be where the recommended method costs too much."""
    methods = results.methods
    found: dict[str, list[str]] = {}
    for price in prices_in(results):
        ours = price.read(results, methods[pick])
        if ours is None:
            continue
        cheaper = [
            name
            for name in _that_write(results, inside)
            if price.is_less(results, methods[name], methods[pick])
        ]
        other = again(cheaper) if cheaper else None
        if other is not None and other not in equal:
            found.setdefault(other, []).append(price.written(ours.mean))
    return [
        f"If {join(whats, 'or')} is too much, {name} is the answer: its {_result(results, name)}"
        f"{_against(results, name, pick)}."
        for name, whats in found.items()
    ]


def _that_write(results: Results, names: Sequence[str]) -> list[str]:
    """Without those that often write nothing: no one is sent to them for a lower price."""
    return [name for name in names if not writes_nothing(results.methods[name])]


def _against(results: Results, name: str, pick: str | None) -> str:
    """What is said of a method against the recommended one."""
    verdict = None if pick is None else verdict_of(results, name, pick)
    if verdict is None:
        return ""
    if verdict == "undecided":
        return f", which cannot be told apart from {pick}'s"
    return f", {verdict} {'to' if verdict == 'equivalent' else 'than'} {pick}'s"


def _result(results: Results, name: str) -> str:
    return f"{metric_words(results)} is {value_of(results, results.methods[name])}"

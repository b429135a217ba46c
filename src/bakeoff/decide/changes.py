"""What would change a recommendation: looser limits, tighter ones, more rows, another priority."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bakeoff.decide.facts import Results, difference, is_tie, join, nll_of, winner
from bakeoff.decide.limits import PRICES, Breach
from bakeoff.quantities import signed


def what_would_change(
    results: Results,
    finished: Mapping[str, Mapping[str, Any]],
    outside: Mapping[str, Sequence[Breach]],
    *,
    leader: str,
    pick: str,
    tied: Sequence[str],
    again: Callable[[Sequence[str]], str | None],
) -> list[str]:
    """Sentences on what would lead to another answer, the likeliest first.

    Args:
        results: The run's results.
        finished: The methods that ended well.
        outside: Those that are not shown to meet the limits, with the limits that they miss.
        leader: The lowest test NLL within the limits.
        pick: The recommended method.
        tied: Those that tie with the leader, without the pick.
        again: The recommendation among other methods, by the same rules.
    """
    told = _looser(results, finished, outside, pick, again)
    told += _more_rows(results, leader, pick, tied)
    told += _priorities(results, finished, pick, tied)
    inside = [name for name in finished if name not in outside]
    return told + _tighter(results, finished, inside, pick, tied, again)


def _looser(
    results: Results,
    finished: Mapping[str, Mapping[str, Any]],
    outside: Mapping[str, Sequence[Breach]],
    pick: str,
    again: Callable[[Sequence[str]], str | None],
) -> list[str]:
    """The answer without limits, and the better method that misses them by least."""
    better = [name for name in outside if winner(results, name, pick) == name]
    if not better:
        return []

    def miss(name: str) -> tuple[int, float, float]:
        breaches = outside[name]
        return len(breaches), max(b.excess for b in breaches), nll_of(finished[name])

    unlimited = again(list(finished))
    shown = [name for name in (unlimited, min(better, key=miss)) if name in better]
    return [
        f"Without the limits {name} would be {'recommended' if name == unlimited else 'ahead'}: "
        f"its test NLL is {nll_of(finished[name]):.3f}, ahead of {pick}'s beyond chance "
        f"({join([breach.told for breach in outside[name]])})."
        for name in dict.fromkeys(shown)
    ]


def _more_rows(results: Results, leader: str, pick: str, tied: Sequence[str]) -> list[str]:
    if not tied:
        return []
    rival = leader if leader != pick else tied[0]
    gap = difference(results, rival, pick)
    shown = ""
    if gap is not None and gap.low is not None and gap.high is not None:
        shown = (
            f": {rival} minus {pick} is {signed(gap.value)} nats a token, anywhere from "
            f"{signed(gap.low)} to {signed(gap.high)}"
        )
    return [f"More test rows or seeds may tell {join([pick, *tied])} apart{shown}."]


def _priorities(
    results: Results, finished: Mapping[str, Mapping[str, Any]], pick: str, tied: Sequence[str]
) -> list[str]:
    """Which of the tied is best at what the rules do not look at first."""
    found: dict[str, list[str]] = {}
    for price in PRICES:
        costs = {
            name: value
            for name in (pick, *tied)
            if (value := price.read(results, finished[name])) is not None
        }
        if pick not in costs:
            continue
        least = min(costs, key=costs.__getitem__)
        if costs[least] < costs[pick] * (1 - price.noise):
            ours, theirs = price.write(costs[pick]), price.write(costs[least])
            told = f"{price.least} ({theirs} against {ours})"
            found.setdefault(least, []).append(told)
    return [f"Of those that tie, {name} {join(reasons)}." for name, reasons in found.items()]


def _tighter(
    results: Results,
    finished: Mapping[str, Mapping[str, Any]],
    inside: Sequence[str],
    pick: str,
    tied: Sequence[str],
    again: Callable[[Sequence[str]], str | None],
) -> list[str]:
    """What the answer would be where the recommended method costs too much."""
    found: dict[str, list[str]] = {}
    for price in PRICES:
        ours = price.read(results, finished[pick])
        if ours is None:
            continue
        cheaper = [
            name
            for name in inside
            if (value := price.read(results, finished[name])) is not None
            and value < ours * (1 - price.noise)
        ]
        other = again(cheaper) if cheaper else None
        if other is not None and other not in tied:
            found.setdefault(other, []).append(price.written(ours))
    return [
        f"If {join(whats, 'or')} is too much, {name} is the answer: its test NLL is "
        f"{nll_of(finished[name]):.3f}, "
        + ("a tie." if is_tie(results, name, pick) else f"behind {pick}'s beyond chance.")
        for name, whats in found.items()
    ]

"""What would change a recommendation: looser limits, tighter ones, more rows, another priority."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bakeoff.decide.limits import PRICES, Breach
from bakeoff.decide.verdicts import (
    comparison,
    is_tie,
    loss_of,
    metric_scale,
    metric_words,
    unit_words,
    value_of,
    winner,
)
from bakeoff.formatting import join
from bakeoff.runs.records import Results

Again = Callable[[Sequence[str]], str | None]
"""The recommendation among other methods, by the same rules."""


def what_would_change(
    results: Results,
    inside: Sequence[str],
    outside: Mapping[str, Sequence[Breach]],
    *,
    leader: str,
    pick: str,
    tied: Sequence[str],
    again: Again,
) -> tuple[str, ...]:
    """Sentences on what would lead to another answer, the likeliest first.

    Args:
        results: The run's results.
        inside: The methods that ended well and are within the limits.
        outside: Those that are not shown to meet the limits, with the limits that they miss.
        leader: The best test result within the limits.
        pick: The recommended method.
        tied: Those that tie with the leader, without the pick.
        again: The recommendation among other methods, by the same rules.
    """
    return (
        *_looser(results, inside, outside, pick, again),
        *_more_rows(results, leader, pick, tied),
        *_priorities(results, pick, tied),
        *_tighter(results, inside, pick, tied, again),
    )


def _looser(
    results: Results,
    inside: Sequence[str],
    outside: Mapping[str, Sequence[Breach]],
    pick: str,
    again: Again,
) -> list[str]:
    """The answer without limits, and the better method that misses them by least."""
    better = [name for name in outside if winner(results, name, pick) == name]
    if not better:
        return []

    def miss(name: str) -> tuple[int, float, float]:
        breaches = outside[name]
        worst = max(breach.excess for breach in breaches)
        return len(breaches), worst, loss_of(results, results.methods[name])

    every = [name for name in results.methods if name in inside or name in outside]
    unlimited = again(every)
    shown = [name for name in (unlimited, min(better, key=miss)) if name in better]
    return [
        f"Without the limits {name} would be {'recommended' if name == unlimited else 'ahead'}: "
        f"its {_result(results, name)}, ahead of {pick}'s beyond chance "
        f"({join([breach.reason for breach in outside[name]])})."
        for name in dict.fromkeys(shown)
    ]


def _more_rows(results: Results, leader: str, pick: str, tied: Sequence[str]) -> list[str]:
    if not tied:
        return []
    rival = leader if leader != pick else tied[0]
    gap, scale = comparison(results, rival, pick), metric_scale(results)
    shown = ""
    if gap is not None and gap.low is not None and gap.high is not None:
        shown = (
            f": {rival} minus {pick} is {scale.signed(gap.difference)} {unit_words(results)}, "
            f"anywhere from {scale.signed(gap.low)} to {scale.signed(gap.high)}"
        )
    return [f"More test rows or seeds may tell {join([pick, *tied])} apart{shown}."]


def _priorities(results: Results, pick: str, tied: Sequence[str]) -> list[str]:
    """Which of the tied is best at what the rules do not look at first."""
    found: dict[str, list[str]] = {}
    for price in PRICES:
        costs = {
            name: value
            for name in (pick, *tied)
            if (value := price.read(results, results.methods[name])) is not None
        }
        if pick not in costs:
            continue
        least = min(costs, key=costs.__getitem__)
        if costs[least] < costs[pick] * (1 - price.noise):
            ours, theirs = price.write(costs[pick]), price.write(costs[least])
            found.setdefault(least, []).append(f"{price.least} ({theirs} against {ours})")
    return [f"Of those that tie, {name} {join(reasons)}." for name, reasons in found.items()]


def _tighter(
    results: Results, inside: Sequence[str], pick: str, tied: Sequence[str], again: Again
) -> list[str]:
    """What the answer would be where the recommended method costs too much."""
    found: dict[str, list[str]] = {}
    for price in PRICES:
        ours = price.read(results, results.methods[pick])
        if ours is None:
            continue
        cheaper = [
            name
            for name in inside
            if (value := price.read(results, results.methods[name])) is not None
            and value < ours * (1 - price.noise)
        ]
        other = again(cheaper) if cheaper else None
        if other is not None and other not in tied:
            found.setdefault(other, []).append(price.written(ours))
    return [
        f"If {join(whats, 'or')} is too much, {name} is the answer: its {_result(results, name)}, "
        + ("a tie." if is_tie(results, name, pick) else f"behind {pick}'s beyond chance.")
        for name, whats in found.items()
    ]


def _result(results: Results, name: str) -> str:
    return f"{metric_words(results)} is {value_of(results, results.methods[name])}"

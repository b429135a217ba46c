"""Which method to use: the rules, as one pure function of a run's results.

1. Only methods that ended well and have a test NLL take part; while one may still change the
   answer, nothing is recommended.
2. The lowest test NLL leads. It must lie clear of the untuned base's.
3. Every method that the paired comparison with the leader calls a tie, or that was never
   compared with it, is tied: a difference that was not shown is none.
4. Of the tied methods that are clear of the base, the cheapest is recommended: the smaller
   adapter, then the faster epoch, then fewer parameters, then the name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bakeoff.types import RunState

ZERO_SHOT = "zero_shot"
_UNFINISHED = (RunState.WAITING, RunState.RUNNING)

Results = Mapping[str, Any]


def recommend(results: Results) -> dict[str, Any]:
    """Applies the rules above to a run's results, complete or partial.

    Args:
        results: The content of ``results.json``; any key may be missing or null.

    Returns:
        ``method`` (a name, or None), ``why`` (one sentence) and ``ties`` (the names of the
        methods that tie with the recommended one, in the study's order).
    """
    methods = _mapping(results.get("methods"))
    finished = {name: entry for name, entry in methods.items() if _is_finished(entry)}
    waiting = [name for name, entry in methods.items() if _may_still_finish(entry)]
    if not finished:
        reason = f"{join(waiting)} {_have(waiting)} not finished" if waiting else "none ended well"
        return _nothing(f"Nothing is recommended: no method has a test result, as {reason}.")
    leader = min(finished, key=lambda name: (_nll(finished[name]), _cost(name, finished[name])))
    lowest = f"{_nll(finished[leader]):.3f} nats a token"
    if waiting:
        return _nothing(
            f"Nothing is recommended yet: {join(waiting)} {_have(waiting)} not finished; "
            f"so far {leader} has the lowest test NLL, {lowest}."
        )
    num_rows = number(_mapping(_mapping(results.get("data")).get("test")).get("examples"))
    if num_rows is not None and num_rows < 2:
        return _nothing(
            "Nothing is recommended: one test row says nothing of others; give task.examples.test "
            "two or more."
        )
    clear = [name for name in finished if is_below_zero_shot(results, name)]
    if leader not in clear:
        base = number(_zero_shot(results).get("test_nll"))
        return _nothing(
            f"Nothing is recommended: the lowest test NLL, {leader}'s {lowest}, is not shown to be "
            f"below the untuned base's{'' if base is None else f' {base:.3f}'}."
        )
    tied = [name for name in finished if name == leader or is_tie(results, leader, name)]
    pick = min((n for n in tied if n in clear), key=lambda name: _cost(name, finished[name]))
    others = [name for name in tied if name != pick]
    return {"method": pick, "why": _why(finished, pick, leader, others, lowest), "ties": others}


def is_tie(results: Results, a: str, b: str, metric: str = "test_nll") -> bool:
    """Whether no difference between ``a`` and ``b`` was shown in ``metric``."""
    return winner(results, a, b, metric) is None


def winner(results: Results, a: str, b: str, metric: str = "test_nll") -> str | None:
    """The better of two by their paired comparison; None for a tie or no comparison."""
    for entry in comparisons(results):
        if entry.get("metric") == metric and {entry["a"], entry["b"]} == {a, b}:
            verdict = entry.get("verdict")
            return str(entry[verdict]) if verdict in ("a", "b") else None
    return None


def comparisons(results: Results) -> list[Mapping[str, Any]]:
    """The paired comparisons that name both sides."""
    found = map(_mapping, results.get("comparisons") or ())
    return [c for c in found if isinstance(c.get("a"), str) and isinstance(c.get("b"), str)]


def is_below_zero_shot(results: Results, name: str) -> bool:
    """Whether the method's test NLL is shown to be below the untuned base's.

    The paired comparison decides where there is one; else the two intervals must be disjoint.
    Without a zero-shot result there is nothing to be below, and the answer is yes.
    """
    zero = _zero_shot(results)
    base = number(zero.get("test_nll"))
    if base is None:
        return True
    if any(
        {c["a"], c["b"]} == {name, ZERO_SHOT} and c.get("metric") == "test_nll"
        for c in comparisons(results)
    ):
        return winner(results, name, ZERO_SHOT) == name
    entry = _mapping(_mapping(results.get("methods")).get(name))
    high = number(_mapping(entry.get("test_nll_interval")).get("high"))
    low = number(_mapping(_mapping(zero.get("intervals")).get("test_nll")).get("low"))
    ours = high if high is not None else _nll(entry)
    return ours < (low if low is not None else base)


def cheapest(results: Results) -> str | None:
    """The finished method with the smallest adapter, then the fastest epoch."""
    methods = _mapping(results.get("methods"))
    finished = {name: entry for name, entry in methods.items() if _is_finished(entry)}
    return min(finished, key=lambda name: _cost(name, finished[name]), default=None)


def number(value: object) -> float | None:
    """A finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def join(names: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _why(
    finished: dict[str, Mapping[str, Any]], pick: str, leader: str, others: list[str], lowest: str
) -> str:
    if len(finished) == 1:
        return f"{pick} is the only method that ended well: {lowest}, below the untuned base's."
    if not others:
        num = len(finished) - 1
        which = "the other method" if num == 1 else f"each of the other {num} methods"
        return f"{pick} has the lowest test NLL, {lowest}, and is ahead of {which} beyond chance."
    price = f"{'cheaper' if len(others) == 1 else 'cheapest of them'} to keep"
    if any(_cost(n, finished[n]) < _cost(pick, finished[pick]) for n in others):
        price = "cheapest to keep of those shown to be below the untuned base's"
    if pick == leader:
        return (
            f"{pick} has the lowest test NLL, {lowest}; {join(others)} "
            f"{'ties' if len(others) == 1 else 'tie'} with it, and {pick} is the {price}."
        )
    rest = [name for name in others if name != leader]
    also = f", and with {join(rest)}," if rest else ""
    return (
        f"{pick} ties with {leader}, whose test NLL is the lowest ({_nll(finished[pick]):.3f} "
        f"against {lowest}){also} and is the {price}."
    )


def _nothing(why: str) -> dict[str, Any]:
    return {"method": None, "why": why, "ties": []}


def _is_finished(entry: object) -> bool:
    found = _mapping(entry)
    state = found.get("state")
    if number(found.get("test_nll")) is None:
        return False
    return state is None or state in (RunState.COMPLETE, RunState.STOPPED)


def _may_still_finish(entry: object) -> bool:
    found = _mapping(entry)
    state = found.get("state")
    if state is None:
        return number(found.get("test_nll")) is None
    return state in _UNFINISHED or (
        state in (RunState.COMPLETE, RunState.STOPPED) and number(found.get("test_nll")) is None
    )


def _nll(entry: Mapping[str, Any]) -> float:
    value = number(entry.get("test_nll"))
    return math.inf if value is None else value


def _cost(name: str, entry: Mapping[str, Any]) -> tuple[float, float, float, str]:
    seconds = _mapping(entry.get("epoch_seconds")).get("mean")
    costs = (entry.get("adapter_bytes"), seconds, entry.get("trainable_parameters"))
    adapter, epoch, parameters = (math.inf if (n := number(c)) is None else n for c in costs)
    return adapter, epoch, parameters, name


def _zero_shot(results: Results) -> Mapping[str, Any]:
    return _mapping(_mapping(results.get("baselines")).get(ZERO_SHOT))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _have(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"

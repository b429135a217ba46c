"""Reading a run's results, complete or partial: any key may be missing or null."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.types import RunState

ZERO_SHOT = "zero_shot"
_UNFINISHED = (RunState.WAITING, RunState.RUNNING)

Results = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One method minus another in a metric, with the bounds of their paired comparison."""

    value: float
    low: float | None
    high: float | None
    p_value: float | None


def number(value: object) -> float | None:
    """A finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def mapping(value: object) -> Mapping[str, Any]:
    """The value where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def dig(tree: object, *path: str) -> Any:
    """The value at a path of keys, None where any of them is missing."""
    for key in path:
        tree = mapping(tree).get(key)
    return tree


def join(names: Sequence[str], word: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def comparisons(results: Results) -> list[Mapping[str, Any]]:
    """The paired comparisons that name both sides."""
    found = map(mapping, results.get("comparisons") or ())
    return [c for c in found if isinstance(c.get("a"), str) and isinstance(c.get("b"), str)]


def winner(results: Results, a: str, b: str, metric: str = "test_nll") -> str | None:
    """The better of two by their paired comparison; None for a tie or no comparison."""
    for entry in comparisons(results):
        if entry.get("metric") == metric and {entry["a"], entry["b"]} == {a, b}:
            verdict = entry.get("verdict")
            return str(entry[verdict]) if verdict in ("a", "b") else None
    return None


def is_tie(results: Results, a: str, b: str, metric: str = "test_nll") -> bool:
    """Whether no difference between ``a`` and ``b`` was shown in ``metric``."""
    return winner(results, a, b, metric) is None


def difference(results: Results, a: str, b: str, metric: str = "test_nll") -> Difference | None:
    """``a`` minus ``b`` by their paired comparison, whichever way round that was made."""
    for entry in comparisons(results):
        if entry.get("metric") != metric or {entry["a"], entry["b"]} != {a, b}:
            continue
        value = number(entry.get("difference"))
        if value is None:
            return None
        low, high = number(entry.get("low")), number(entry.get("high"))
        if entry["a"] != a:
            value = -value
            low, high = (None if x is None else -x for x in (high, low))
        return Difference(value=value, low=low, high=high, p_value=number(entry.get("p_value")))
    return None


def is_finished(entry: object) -> bool:
    """Whether the method ended well and has a test NLL."""
    found = mapping(entry)
    state = found.get("state")
    if number(found.get("test_nll")) is None:
        return False
    return state is None or state in (RunState.COMPLETE, RunState.STOPPED)


def may_still_finish(entry: object) -> bool:
    """Whether a test NLL of the method is still to come."""
    found = mapping(entry)
    state = found.get("state")
    if state is None:
        return number(found.get("test_nll")) is None
    return state in _UNFINISHED or (
        state in (RunState.COMPLETE, RunState.STOPPED) and number(found.get("test_nll")) is None
    )


def finished_methods(results: Results) -> dict[str, Mapping[str, Any]]:
    """The methods that ended well, in the study's order."""
    methods = mapping(results.get("methods"))
    return {name: mapping(entry) for name, entry in methods.items() if is_finished(entry)}


def nll_of(entry: Mapping[str, Any]) -> float:
    """A method's test NLL, infinite where it has none."""
    value = number(entry.get("test_nll"))
    return math.inf if value is None else value


def cost(name: str, entry: Mapping[str, Any]) -> tuple[float, float, float, str]:
    """What orders methods from cheap to dear: adapter, epoch, parameters, then the name."""
    seconds = mapping(entry.get("epoch_seconds")).get("mean")
    costs = (entry.get("adapter_bytes"), seconds, entry.get("trainable_parameters"))
    adapter, epoch, parameters = (math.inf if (n := number(c)) is None else n for c in costs)
    return adapter, epoch, parameters, name


def cheapest(results: Results) -> str | None:
    """The finished method with the smallest adapter, then the fastest epoch."""
    finished = finished_methods(results)
    return min(finished, key=lambda name: cost(name, finished[name]), default=None)


def is_below_zero_shot(results: Results, name: str) -> bool:
    """Whether the method's test NLL is shown to be below the untuned base's.

    The paired comparison decides where there is one; else the two intervals must be disjoint.
    Without a zero-shot result there is nothing to be below, and the answer is yes.
    """
    zero = mapping(dig(results, "baselines", ZERO_SHOT))
    base = number(zero.get("test_nll"))
    if base is None:
        return True
    if any(
        {c["a"], c["b"]} == {name, ZERO_SHOT} and c.get("metric") == "test_nll"
        for c in comparisons(results)
    ):
        return winner(results, name, ZERO_SHOT) == name
    entry = mapping(dig(results, "methods", name))
    high = number(dig(entry, "test_nll_interval", "high"))
    low = number(dig(zero, "intervals", "test_nll", "low"))
    ours = high if high is not None else nll_of(entry)
    return ours < (low if low is not None else base)

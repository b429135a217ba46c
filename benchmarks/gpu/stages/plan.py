"""What ``bakeoff plan`` says of a method on the card, against what is measured there."""

from __future__ import annotations

from typing import Any

from gpu.card import require_card
from gpu.processes import Place
from gpu.records import Report
from plan import MEMORY_GOAL, TIME_GOAL, compared

FULL_BASE, DRY_BASE = "scratch:gpt-neo-125m", "scratch:tiny-gpt-neo"
_TITLES = {
    "memory_bytes": ("memory", 2**20, "MiB"),
    "epoch_seconds": ("an epoch", 1.0, "s"),
    "token_seconds": ("a token", 1e-3, "ms"),
}


def run(report: Report, place: Place, method: str) -> None:
    """See the module.

    Args:
        report: records each case. place: where. method: one of ``benchmarks/plan.py``.
    """
    require_card()  # without opening it: each figure is measured in a fork of this process
    base, rows = (DRY_BASE, 8) if place.dry_run else (FULL_BASE, 128)
    for case in compared(base, rows, 8, device="cuda", methods=[method]):
        with report.part(f"{base} {method}") as found:
            found |= case
            assert "error" not in case, f"not measured: {case['error']}"
            found["says"] = "; ".join(_words(key, case[key]) for key in _TITLES)
            missing = [_TITLES[key][0] for key in _TITLES if case[key]["measured"] is None]
            assert not missing, f"not measured: {', '.join(missing)} ({found['says']})"
            goals = {"memory_bytes": MEMORY_GOAL, "epoch_seconds": TIME_GOAL}
            missed = [
                f"planned {_TITLES[key][0]} is {error:+.0%} off, the goal is {goal:.0%}"
                for key, goal in goals.items()
                if abs(error := case[key]["error"]) > goal
            ]
            found["within_goal"] = not missed
            assert place.dry_run or not missed, f"{'; '.join(missed)} ({found['says']})"


def _words(key: str, pair: dict[str, Any]) -> str:
    title, unit, name = _TITLES[key]
    planned, measured = (
        f"{pair[which] / unit:.4g}" if pair[which] is not None else "nothing"
        for which in ("planned", "measured")
    )
    return f"{title}: {planned} planned, {measured} {name} measured"

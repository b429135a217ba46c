"""Training against the loops that a user would write: ``benchmarks/train.py``."""

from __future__ import annotations

from typing import Any

from gpu.card import require_card
from gpu.goals import hold, of_case
from gpu.processes import Place
from gpu.records import Report
from gpu.scripts import run_script, says_training

FULL = ("--steps", "10", "--warmup", "3")
DRY = (
    *("--quick", "--steps", "1", "--no-compile"),
    *("--micro-batch-size", "2", "--max-length", "64", "--supervised", "16"),
)
_DRY_BASES = {"gpt-neo-125m": "scratch:tiny-gpt-neo", "smollm2-135m": "scratch:tiny-llama"}
_OURS, _PLAIN = "bakeoff", "plain"
MOST_MEMORY = 0.4
"""Of the plain loop's, for GPT-Neo-125M and LoRA in one slot."""
MOST_FIRST_STEP = 30.0
"""Seconds: compilation, captures and first allocations, with no compiled code from before."""


def run(
    report: Report, place: Place, base: str, method: str, slots: int, goal: float | None
) -> None:
    """See the module.

    Args:
        report: records each engine. place: where.
        base: of random weights. method: one of ``benchmarks/train.py``.
        slots: candidates in a pass. goal: the least ratio over the plain loop on an H100.
    """
    require_card()
    reference = _DRY_BASES[base] if place.dry_run else f"scratch:{base}"
    flags = ["--base", reference, *(DRY if place.dry_run else FULL), "--device", "cuda"]
    summary: dict[str, Any] = {}
    first_step: list[float] = []

    def says(line: dict[str, Any]) -> tuple[str, str]:
        if line.get("summary"):
            summary.update(line)
        elif line.get("engine") == _OURS and "first_step_seconds" in line:
            first_step.append(line["first_step_seconds"])
        return says_training(line)

    run_script(report, "train", [*flags, "--method", method, "--slots", str(slots)], says)
    if goal is None or not summary:
        return
    ratio = of_case(summary["ratio"], _PLAIN)
    hold(report, "speed, of the plain loop's", ratio, least=goal, dry_run=place.dry_run)
    seconds = max(first_step, default=None)
    hold(report, "first step, seconds", seconds, most=MOST_FIRST_STEP, dry_run=place.dry_run)
    if (base, method, slots) == ("gpt-neo-125m", "lora", 1):
        memory = of_case(summary["memory_ratio"], _PLAIN)
        hold(report, "memory, of the plain loop's", memory, most=MOST_MEMORY, dry_run=place.dry_run)

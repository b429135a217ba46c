"""Training against the loops that a user would write: ``benchmarks/train.py``."""

from __future__ import annotations

from typing import Any

from gpu.card import require_card
from gpu.processes import Place
from gpu.records import Report
from gpu.scripts import run_script

FULL = ("--base", "scratch:gpt-neo-125m", "--steps", "10", "--warmup", "3")
DRY = (
    *("--quick", "--base", "scratch:tiny-gpt-neo", "--steps", "1", "--no-compile"),
    *("--micro-batch-size", "2", "--max-length", "64", "--supervised", "16"),
)


def run(report: Report, place: Place, method: str, slots: int) -> None:
    """See the module.

    Args:
        report: records each engine. place: where.
        method: one of ``benchmarks/train.py``. slots: candidates in a pass.
    """
    require_card()
    flags = [*(DRY if place.dry_run else FULL), "--device", "cuda"]
    run_script(report, "train", [*flags, "--method", method, "--slots", str(slots)], _says)


def _says(line: dict[str, Any]) -> tuple[str, str]:
    if line.get("summary"):
        return "ratios", f"over each rival: {line['ratio']}; memory {line['memory_ratio']}"
    speed, peak = line.get("tokens_per_second", 0.0), line.get("peak_memory_bytes") or 0
    sentence = f"{speed:,.0f} tokens per second, peak {peak / 2**30:.2f} GiB, first step "
    return f"{line['case']}: {line['engine']}", f"{sentence}{line.get('first_step_seconds')} s"

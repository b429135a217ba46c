"""Generation against Transformers' ``generate``: ``benchmarks/generate.py``."""

from __future__ import annotations

from typing import Any

from gpu.card import require_card
from gpu.processes import Place
from gpu.records import Report
from gpu.scripts import run_script

FULL = ("--base", "scratch:gpt-neo-125m", "--rows", "64", "256", "--documents", "256")
DRY = (
    *("--quick", "--base", "scratch:tiny-gpt-neo", "--rows", "4", "--cache", "dynamic"),
    *("--max-length", "40", "--supervised", "8", "--documents", "4", "--repeats", "1"),
)


def run(report: Report, place: Place) -> None:
    """See the module."""
    require_card()
    flags = [*(DRY if place.dry_run else FULL), "--device", "cuda", "--method", "none", "lora"]
    run_script(report, "generate", [*flags, "--slots", "1"], _says)


def _says(line: dict[str, Any]) -> tuple[str, str]:
    if line.get("summary"):
        return "ratios", f"best of ours over best of theirs: {line['ratio']}"
    speed, peak = line.get("rows_per_second", 0.0), line.get("peak_memory_bytes") or 0
    sentence = f"{speed:,.1f} rows per second, peak {peak / 2**30:.2f} GiB"
    return f"{line['case']}: {line['engine']}", sentence

"""Generation against Transformers' ``generate``: ``benchmarks/generate.py``."""

from __future__ import annotations

from typing import Any

from gpu.card import require_card
from gpu.goals import hold
from gpu.processes import Place
from gpu.records import Report
from gpu.scripts import run_script

LEAST_RATIO = 4.0
"""Over the best of ``generate``'s batches and caches, on an H100."""
FULL = ("--rows", "64", "256", "1024", "--documents", "1024", "--repeats", "1")
_DRY_BASES = {"gpt-neo-125m": "scratch:tiny-gpt-neo", "smollm2-135m": "scratch:tiny-llama"}
DRY = (
    *("--quick", "--rows", "4", "--cache", "dynamic"),
    *("--max-length", "40", "--supervised", "8", "--documents", "4", "--repeats", "1"),
)


def run(report: Report, place: Place, base: str, method: str) -> None:
    """See the module.

    Args:
        report: records each engine. place: where.
        base: of random weights. method: one of ``benchmarks/generate.py``.
    """
    require_card()
    reference = _DRY_BASES[base] if place.dry_run else f"scratch:{base}"
    flags = ["--base", reference, *(DRY if place.dry_run else FULL)]
    flags += ["--device", "cuda", "--method", method]
    ratios: dict[str, dict[str, float]] = {}

    def says(line: dict[str, Any]) -> tuple[str, str]:
        if line.get("summary"):
            ratios.update(line["ratio"])
        return _says(line)

    run_script(report, "generate", [*flags, "--slots", "1"], says)
    for case, over in ratios.items():
        # The promise is of the base's own continuations.
        for rival, ratio in over.items() if " none " in case else ():
            name = f"{case}: over {rival}"
            hold(report, name, ratio, least=LEAST_RATIO, dry_run=place.dry_run)


def _says(line: dict[str, Any]) -> tuple[str, str]:
    if line.get("summary"):
        return "ratios", f"best of ours over best of theirs: {line['ratio']}"
    speed, peak = line.get("rows_per_second", 0.0), line.get("peak_memory_bytes") or 0
    sentence = f"{speed:,.1f} rows per second, peak {peak / 2**30:.2f} GiB"
    return f"{line['case']}: {line['engine']}", sentence

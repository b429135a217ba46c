"""``studies/seed.yaml``, whole, against the loops of a user: ``benchmarks/study.py``."""

from __future__ import annotations

from typing import Any

from gpu.card import require_card
from gpu.goals import hold
from gpu.processes import Place
from gpu.records import Report, SkippedError
from gpu.scripts import run_script

LEAST_RATIO, MOST_SECONDS = 12.0, 300.0
"""Of the plain loop's time, and in all, on an H100."""


def run(report: Report, place: Place) -> None:
    """See the module."""
    require_card()
    if place.dry_run:
        raise SkippedError("ours runs in a process of its own, which has no card of shapes")
    lines: list[dict[str, Any]] = []

    def says(line: dict[str, Any]) -> tuple[str, str]:
        lines.append(line)
        if line.get("summary"):
            return "ratios", f"a rival's seconds over ours: {line['ratio']}"
        name = f"{line['case']}: {line['engine']}, {line.get('part', 'left out')}"
        keys = ("seconds", "seconds_per_row", "training_seconds", "test_seconds")
        return name, ", ".join(f"{key} {line[key]}" for key in keys if key in line)

    run_script(report, "study", ["--device", "cuda"], says)
    for line in (line for line in lines if line.get("summary")):
        [ratio] = [r["plain"] for case, r in line["ratio"].items() if case.endswith(" study")]
        hold(report, "times as fast as the plain loop", ratio, least=LEAST_RATIO, dry_run=False)
        hold(report, "seconds", line["bakeoff_seconds"], most=MOST_SECONDS, dry_run=False)

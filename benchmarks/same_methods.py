"""Copies of one method under other names, with other seeds: is any called better or worse?

Each repeat trains ``lora`` and ``soft_prompt`` with 15 seeds each on the embedded data, and hands
them to the referee as five copies of each with three seeds. All five are the same method, so that
a verdict of ``better`` or ``worse`` between two copies is wrong, and so is ``equivalent`` between
a copy of the one and a copy of the other where they differ by the margin.

    python benchmarks/same_methods.py [--repeats 10] [--folder DIR]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np

from bakeoff.decide.judged import MetricScores, judge_metric
from bakeoff.metrics.registry import metric_of
from bakeoff.runs.arrays import read_arrays
from bakeoff.runs.reading import read_results

COPIES, SEEDS = 5, 3
METHODS = ("lora", "soft_prompt")
SETTINGS = (
    "precision=float32",
    "task.examples={train: 64, validation: 32, test: 300}",
    "protocol.epochs=2",
    "generation.max_new_tokens=1",
    "methods={lora: {kind: lora, target_modules: all-linear, learning_rate: 5e-3}, "
    "soft_prompt: {kind: soft_prompt, learning_rate: 3e-2}}",
)


def main() -> None:
    """Runs the repeats and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=None, help="keeps the runs here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        wrong = 0
        for repeat in range(given.repeats):
            found = judged(trained(folder / f"repeat-{repeat}", repeat))
            wrong += bool(found)
            print(f"repeat {repeat}: {', '.join(found) or 'no copy called different'}", flush=True)
    print(f"a copy called better or worse in {wrong} of {given.repeats} repeats")


def trained(folder: Path, repeat: int) -> Path:
    """Trains both methods with the seeds of one repeat."""
    first = repeat * COPIES * SEEDS
    seeds = list(range(first, first + COPIES * SEEDS))
    settings = [part for text in (*SETTINGS, f"protocol.seeds={seeds}") for part in ("--set", text)]
    one_process = ("--executor", "local")
    subprocess.run(
        [sys.executable, "-m", "bakeoff", "run", "--out", str(folder), *one_process, *settings],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


def judged(folder: Path) -> list[str]:
    """The wrong verdicts, in words."""
    results = read_results(folder)
    metric = metric_of("nll")
    runs: dict[str, list[np.ndarray]] = {}
    for name in METHODS:
        by_seed = sorted(results.methods[name].candidates, key=lambda c: results.candidates[c].seed)
        for position, candidate in enumerate(by_seed):
            arrays = read_arrays(folder / "candidates" / candidate / "scores" / "test.npz")
            assert arrays is not None, candidate
            runs.setdefault(f"{name} {position // SEEDS + 1}", []).append(arrays["nll"])
    assert len(runs) == COPIES * len(METHODS)
    found = judge_metric(
        MetricScores(
            set="test",
            metric="nll",
            higher_is_better=False,
            runs=runs,
            value=metric.value,
            is_ratio=True,
        ),
        margin=metric.default_margin,
        level=0.95,
        baselines=(),
    )
    verdicts = {(c.a, c.b): c.verdict for c in found.comparisons}
    return [
        f"{a} {verdicts[a, b]} than {b}"
        for a, b in combinations(runs, 2)
        if a.split()[0] == b.split()[0] and verdicts[a, b] in ("better", "worse")
    ]


if __name__ == "__main__":
    main()

"""What ``bakeoff run`` takes for a narrow base against one process with all threads.

    python benchmarks/processes.py [--tokens 64] [--rows 2048] [--seeds 1] [--rounds 2]

One study of four methods (LoRA, DoRA, IA3, bottleneck; four rows in an update) by ``--executor
local`` and by ``auto``, the default, in turn. Prints the seconds of training and testing, their
ratio, and that of the whole run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bakeoff.config import dump_yaml
from common.flags import positive, run_main

EXECUTORS: Final = ("local", "auto")
_METHODS: Final = {
    "lora": {"kind": "lora", "target_modules": "all-linear"},
    "dora": {"kind": "dora", "target_modules": "all-linear"},
    "ia3": {"kind": "ia3"},
    "bottleneck": {"kind": "bottleneck"},
}


def study_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Four methods, on the embedded base and news."""
    return {
        "name": "processes",
        "base": arguments.base,
        "precision": arguments.precision,
        "task": {
            "kind": "text",
            "source": "wire",
            "text": "article",
            "max_length": arguments.tokens,
            "examples": {"train": arguments.rows, "validation": 64, "test": 256},
        },
        "protocol": {"epochs": 1, "seeds": arguments.seeds, "micro_batch_size": 4},
        "methods": _METHODS,
    }


def seconds(study: Path, out: Path, executor: str) -> dict[str, float]:
    """Of the stages of a run, and of the whole process."""
    shutil.rmtree(out, ignore_errors=True)
    begun = time.perf_counter()
    command = [sys.executable, "-m", "bakeoff", "run", str(study), "--out", str(out)]
    with out.with_suffix(".log").open("wb") as log:
        subprocess.run(
            [*command, "--device", "cpu", "--executor", executor],
            stdout=log,
            stderr=log,
            check=True,
            env=os.environ | {"OMP_WAIT_POLICY": "passive"},
        )
    whole = time.perf_counter() - begun
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    stages: dict[str, float] = results["environment"]["wall_seconds"]
    return {**stages, "process": whole}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs both in turn and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="tiny")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--tokens", type=positive, default=64, help="of a row")
    parser.add_argument("--rows", type=positive, default=2048, help="of the training set")
    parser.add_argument("--seeds", type=positive, default=1)
    parser.add_argument("--rounds", type=positive, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-processes"))
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    study = arguments.out / "study.yaml"
    study.write_text(dump_yaml(study_of(arguments)), encoding="utf-8")
    found: dict[str, list[dict[str, float]]] = {name: [] for name in EXECUTORS}
    for number in range(arguments.rounds):
        for name in EXECUTORS:
            found[name].append(seconds(study, arguments.out / f"{name}-{number}", name))
    median = {
        name: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        for name, runs in found.items()
    }
    for name, parts in median.items():
        print(f"{name:10} " + ", ".join(f"{key} {value:.1f}" for key, value in parts.items()))
    local, apart = (median[name] for name in EXECUTORS)
    print(f"training: {local['training'] / apart['training']:.2f} times as fast by default")
    whole = [parts["process"] - parts["costs"] for parts in (local, apart)]
    print(f"the whole run but for its costs: {whole[0] / whole[1]:.2f} times")


if __name__ == "__main__":
    run_main(main)

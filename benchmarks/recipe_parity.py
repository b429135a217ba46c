"""Losses of exported recipes against the run that they were made of, over the first updates.

Runs a small study of the shipped base and rows in this process and writes down the loss of every
update; then exports the run for TRL and PEFT, runs both scripts, and compares.

    pip install --no-deps trl
    python benchmarks/recipe_parity.py --methods lora dora soft_prompt full
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import bakeoff
from bakeoff.engine.train import Trainer
from bakeoff.errors import ConfigError
from bakeoff.inference.finished import FinishedRun
from bakeoff.inference.recipes.writing import Recipe, export_recipe

RATES = {"lora": 5e-3, "dora": 5e-3, "soft_prompt": 3e-2, "full": 1e-3, "ia3": 5e-3, "prefix": 1e-2}


def run_study(kind: str, folder: Path) -> list[float]:
    """Trains one method; returns the loss of each update."""
    losses: list[float] = []
    update = Trainer._step

    def kept(self: Trainer, *arguments: Any) -> Any:
        nll_K, tokens_K = update(self, *arguments)
        losses.append(float(nll_K[0] / tokens_K[0]))
        return nll_K, tokens_K

    Trainer._step = kept  # type: ignore[assignment, method-assign]
    try:
        bakeoff.run(
            bakeoff.Study(
                name="parity",
                base="tiny",
                task={
                    "source": "wire",
                    "document": "article",
                    "summary": "highlights",
                    "examples": {"train": 88, "validation": 8, "test": 8},
                    "template": "{document} {summary}",
                    "max_length": 192,
                    "max_target_tokens": 48,
                    "metrics": ["nll"],
                },
                protocol={"epochs": 2, "micro_batch_size": 4, "grad_accum_steps": 2, "seeds": [1]},
                methods={kind: {"learning_rate": RATES[kind]}},
                generation={"max_new_tokens": 4},
                precision="float32",
            ),
            out=folder,
        )
    finally:
        Trainer._step = update  # type: ignore[method-assign]
    return losses


def main() -> None:
    """Prints a line for each method and tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["lora"], choices=sorted(RATES))
    parser.add_argument("--tools", nargs="+", default=["trl", "peft"])
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    heads = ("updates", "first", "last", "largest difference")
    print(f"{'method':12} {'tool':6} {heads[0]:>7} {heads[1]:>8} {heads[2]:>8} {heads[3]:>20}")
    for kind in arguments.methods:
        with tempfile.TemporaryDirectory() as place:
            ours = run_study(kind, Path(place) / "run")
            run = FinishedRun(Path(place) / "run", "cpu")
            for tool in arguments.tools:
                out = Path(place) / tool
                try:
                    export_recipe(run, None, Recipe(tool), out)
                except ConfigError as error:
                    print(f"{kind:12} {tool:6} {error}")
                    continue
                command = [sys.executable, "train.py", "--steps", str(arguments.steps)]
                done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{kind:12} {tool:6} {done.stderr.splitlines()[-1:]}")
                    continue
                lines = (out / "losses.jsonl").read_text("utf-8").splitlines()
                theirs = [json.loads(line)["loss"] for line in lines]
                gap = max(abs(a - b) for a, b in zip(ours, theirs, strict=False))
                print(
                    f"{kind:12} {tool:6} {len(theirs):7} {theirs[0]:8.4f} {theirs[-1]:8.4f} "
                    f"{gap:20.2e}"
                )


if __name__ == "__main__":
    main()

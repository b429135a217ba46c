"""What the search costs and what it finds, against every rate trained to the end.

Trains the demo's base and data twice: once with early pruning, once with every rate of the same
grids to its last epoch. Prints one JSON object per line for each method, and a last one that sums
up: ``token_ratio`` is what the search with its seeds trained over what every rate with every seed
would have; ``gap`` is how far the chosen rate's validation NLL (at the search's seed, to its last
epoch) is above the full grid's lowest, relatively.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bakeoff.engine.candidate import Candidate
from bakeoff.execution.archive import Archive
from bakeoff.execution.checkpoints import Checkpoints
from bakeoff.execution.findings import Findings
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.stopping import StopSignals
from bakeoff.execution.training import TrainingStage
from bakeoff.runs.folder import RunFolder
from bakeoff.search.schedule import StudySchedule
from bakeoff.search.storage import SearchStorage
from bakeoff.study.environment import provenance_of, versions
from bakeoff.study.opening import open_workbench, schedule_of
from bakeoff.study.options import Study, load_study

METHODS = ("head", "lora", "soft_prompt")


def train(study: Study, folder: Path) -> tuple[StudySchedule, int, float]:
    """Trains a study's candidates.

    Returns:
        The schedule, tokens of one epoch of one candidate, and seconds.
    """
    assert study.options.search is not None
    started = time.perf_counter()
    bench = open_workbench(study, "auto")
    run = RunFolder(folder, study.resolved)
    run.claim(bench.fingerprints(), versions())
    schedule = schedule_of(study, bench)
    schedule.storage = SearchStorage(
        f"sqlite:///{folder / 'study.db'}",
        study.options.name,
        run.run_id,
        study.options.search,
        schedule.rungs,
        {e.name: {v.label: v.searched for v in e.variants} for e in study.entries},
    )
    schedule.storage.begin(schedule.candidates)
    findings = Findings(schedule=schedule)
    checkpoints = Checkpoints(folder)
    schedule.on_return = checkpoints.fetch
    archive = Archive(run, bench, findings, provenance_of(bench))
    with ProgressView(Console(stderr=True), epochs=study.options.protocol.epochs) as view:
        schedule.report = view.say
        TrainingStage(bench, schedule, archive, view, checkpoints, StopSignals(), {}).run(None)
    schedule.storage.close()
    return schedule, bench.plans["train"].tokens_padded, time.perf_counter() - started


def best(candidates: list[Candidate]) -> Candidate:
    """The one with the lowest validation NLL."""
    return min((c for c in candidates if c.best_val_nll is not None), key=loss)


def loss(candidate: Candidate) -> float:
    """Its lowest validation NLL."""
    assert candidate.best_val_nll is not None
    return candidate.best_val_nll


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning-rates", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--quick", action="store_true", help="a fraction of the demo's data")
    arguments = parser.parse_args()
    overrides = [*arguments.overrides, f"protocol.epochs={arguments.epochs}"]
    if arguments.quick:
        overrides += ["task.examples.train=64", "task.examples.validation=32"]
    search = [f"search.learning_rates={arguments.learning_rates}"]
    outcomes: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        for name, extra in (
            ("halving", [f"search.seeds={arguments.seeds}"]),
            ("full", ["search.seeds=1", "search.pruner=none"]),
        ):
            study = load_study(None, [*overrides, *search, *extra])
            chosen = tuple(e for e in study.entries if e.name in arguments.methods)
            study = replace(study, entries=chosen)
            outcomes[name] = train(study, Path(place) / name)
    (halving, tokens, seconds), (full, _, full_seconds) = outcomes["halving"], outcomes["full"]
    gaps = {}
    for name, method in halving.methods.items():
        every = full.methods[name]
        lowest, chosen_one = best(every.searched), method.chosen
        assert chosen_one is not None
        same = [c for c in every.searched if c.learning_rate == chosen_one.learning_rate]
        reached = loss(same[0]) if same else loss(chosen_one)
        gaps[name] = reached / loss(lowest) - 1.0
        print(
            json.dumps(
                {
                    "method": name,
                    "chosen": chosen_one.learning_rate,
                    "full_grid_best": lowest.learning_rate,
                    "val_nll": reached,
                    "full_grid_val_nll": loss(lowest),
                    "gap": gaps[name],
                    "rates": len(method.searched),
                    "rates_full_grid": len(every.searched),
                    "epochs": sum(len(c.epochs) for c in method.candidates),
                }
            ),
            flush=True,
        )
    trained = sum(len(c.epochs) for c in halving.candidates)
    rates = sum(len(m.searched) for m in full.methods.values())
    whole = rates * arguments.seeds * arguments.epochs
    summary = {
        "tokens": trained * tokens,
        "tokens_full_grid": whole * tokens,
        "token_ratio": trained / whole,
        "largest_gap": max(gaps.values()),
        "seconds": round(seconds, 1),
        "seconds_full_grid_one_seed": round(full_seconds, 1),
    }
    print(json.dumps(summary))
    sys.stdout.flush()


if __name__ == "__main__":
    main()

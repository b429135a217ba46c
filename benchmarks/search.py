"""What the search costs and what it finds, against the full grid with the same fresh seeds.

    python benchmarks/search.py                                        # every method of the demo
    python benchmarks/search.py studies/smollm2-cnn.yaml --set task.source=DIR    # hours on a CPU

First each method is searched by the rule, and its chosen setting trained afresh. Then every
setting that the search named is trained to its last epoch with the same fresh seeds, which is what
the search saves. Prints one JSON object per line for each method, and a last one that sums up.

- ``regret``: of the chosen setting's validation NLL, mean over the fresh seeds, above the lowest
  such mean of the grid, in nats per token. The grid's lowest is chosen by the very seeds that it is
  judged by, so that the regret is rather too large than too small.
- ``margin``: what does not matter, a tenth of the best method's gain over the untuned base.
- ``token_ratio``: tokens of the search and its fresh seeds over those of the grid with them.
- ``one_seed_token_ratio``: the same, had the grid been searched with one seed and only its choice
  been trained afresh.
- ``expected_best``: see ``bakeoff.decide.effort.expected_best``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bakeoff.decide.effort import expected_best
from bakeoff.decide.margins import default_margin
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.score import example_nlls, mean_nll
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.archive import Archive
from bakeoff.execution.checkpoints import Checkpoints
from bakeoff.execution.findings import Findings
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.stopping import StopSignals
from bakeoff.execution.training import TrainingStage
from bakeoff.methods.entries import MethodEntry
from bakeoff.methods.variants import Variant
from bakeoff.runs.events import EventLog
from bakeoff.runs.folder import RunFolder
from bakeoff.search.schedule import MethodSearch, StudySchedule
from bakeoff.study.environment import provenance_of, versions
from bakeoff.study.loading import load_study
from bakeoff.study.opening import open_workbench, schedule_of, workbench_of
from bakeoff.study.study import Study

_METRIC_MARGIN = 0.02  # nats per token
_QUICK = ("task.examples.train=64", "task.examples.validation=32")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A study's candidates, trained and not tested.

    Attributes:
        tokens: of one epoch of one candidate. seconds: of training.
    """

    schedule: StudySchedule
    tokens: int
    seconds: float


def train(study: Study, bench: Workbench, folder: Path) -> Trained:
    """Trains a study's candidates; its folder is of no other use."""
    run = RunFolder(folder, study.resolved)
    run.claim(bench.fingerprints(), versions())
    schedule = schedule_of(study, bench)
    findings = Findings(schedule=schedule)
    archive = Archive(run, bench, findings, provenance_of(bench))
    started = time.perf_counter()
    with ProgressView(Console(stderr=True), epochs=study.options.protocol.epochs) as view:
        places, events = Checkpoints(folder), EventLog(folder)
        TrainingStage(bench, schedule, archive, view, places, StopSignals(), events).run(None)
    return Trained(
        schedule=schedule,
        tokens=bench.plans["train"].tokens_padded,
        seconds=time.perf_counter() - started,
    )


def full_grid(study: Study, search: MethodSearch) -> Study:
    """A study without a search, in which each setting that a search named is a method."""
    entry = next(e for e in study.entries if e.name == search.name)
    variants = {variant.label: variant for variant in entry.variants}
    entries = tuple(
        _fixed(entry, variants[candidate.variant], candidate, number)
        for number, candidate in enumerate(search.searched)
    )
    return replace(study, options=replace(study.options, search=None), entries=entries)


def _fixed(entry: MethodEntry, variant: Variant, candidate: Candidate, number: int) -> MethodEntry:
    return replace(
        entry,
        name=f"{entry.name}.{number}",
        rates=None,
        learning_rate=candidate.learning_rate,
        listed={},
        variants=(replace(variant, label="", searched={}),),
    )


def mean_of(candidates: list[Candidate]) -> float | None:
    """The mean validation NLL over seeds; None where one of them did not end well."""
    losses = [c.best_val_nll for c in candidates if c.state.is_eligible]
    known = [loss for loss in losses if loss is not None]
    return statistics.fmean(known) if len(known) == len(candidates) else None


def untuned_nll(bench: Workbench) -> float:
    """The untuned base's validation NLL."""
    plan = bench.plans["validation"]
    with Cohort(bench.base, [], 1) as cohort:
        return mean_nll(example_nlls(cohort, 0, TokenSource(bench.base.device), plan), plan)


def compared(rule: Trained, search: MethodSearch, grid: Trained, untuned: float) -> dict[str, Any]:
    """What the rule found and spent for one method, against the full grid."""
    chosen = search.chosen
    if chosen is None:
        raise SystemExit(f"{search.name}: no setting ended well; there is nothing to compare")
    means = {
        candidate.id: mean_of(settled.finals)
        for candidate, settled in zip(search.searched, grid.schedule.methods.values(), strict=True)
    }
    known = {id: mean for id, mean in means.items() if mean is not None}
    reached = known.get(chosen.id)
    if reached is None:
        raise SystemExit(f"{chosen.id}: its setting did not end well with every fresh seed")
    lowest = min(known, key=known.__getitem__)
    searched = sum(len(c.epochs) for c in search.searched)
    fresh = sum(len(c.epochs) for c in search.finals)
    whole = sum(len(c.epochs) for c in grid.schedule.candidates)
    num_seeds = len(grid.schedule.seeds)
    losses = [c.best_val_nll for c in search.searched]
    return {
        "method": search.name,
        "settings": len(search.searched),
        "grown": search.num_grown,
        "chosen": chosen.id,
        "grid_best": lowest,
        "val_nll": reached,
        "grid_val_nll": known[lowest],
        "regret": reached - known[lowest],
        "epochs_searched": searched,
        "epochs_fresh": fresh,
        "epochs_grid": whole,
        "token_ratio": (searched + fresh) / whole,
        "one_seed_token_ratio": (searched + fresh) / (whole / num_seeds + fresh),
        "tokens": (searched + fresh) * rule.tokens,
        "tokens_grid": whole * grid.tokens,
        "expected_best": expected_best(
            [float("inf") if loss is None else loss for loss in losses], untuned
        ),
    }


def summed(found: Mapping[str, dict[str, Any]], untuned: float, seconds: float) -> dict[str, Any]:
    """All methods together."""
    margin = default_margin(
        [method["val_nll"] for method in found.values()],
        [untuned],
        higher_is_better=False,
        metric_default=_METRIC_MARGIN,
    ).value
    tokens = sum(method["tokens"] for method in found.values())
    whole = sum(method["tokens_grid"] for method in found.values())
    regrets = {name: method["regret"] for name, method in found.items()}
    worst = max(regrets, key=regrets.__getitem__)
    return {
        "untuned_val_nll": untuned,
        "margin": margin,
        "largest_regret": regrets[worst],
        "of": worst,
        "is_within_margin": regrets[worst] <= margin,
        "tokens": tokens,
        "tokens_grid": whole,
        "token_ratio": tokens / whole,
        "is_within_half": tokens <= 0.5 * whole,
        "seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, nargs="?", help="a study's file; the demo without")
    parser.add_argument("--learning-rates", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--methods", nargs="+", help="of the study; all without")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="a fraction of the data")
    arguments = parser.parse_args()
    overrides = [
        f"protocol.epochs={arguments.epochs}",
        f"search.learning_rates={arguments.learning_rates}",
        *(_QUICK if arguments.quick else ()),
        *arguments.overrides,
    ]
    study = load_study(arguments.study, overrides, seeds=arguments.seeds)
    names = [e.name for e in study.entries if e.name in (arguments.methods or [e.name])]
    if not names:
        parser.error(f"no method of this study is one of {arguments.methods}")
    found: dict[str, dict[str, Any]] = {}
    seconds = 0.0
    with tempfile.TemporaryDirectory() as place:
        base = open_workbench(study, arguments.device)
        untuned = untuned_nll(base)
        for name in names:
            one = replace(study, entries=tuple(e for e in study.entries if e.name == name))
            bench = workbench_of(one, base.base, data=base.data)
            rule = train(one, bench, Path(place) / name)
            search = rule.schedule.methods[name]
            every = full_grid(one, search)
            grid = train(
                every, workbench_of(every, base.base, data=base.data), Path(place) / f"{name}-grid"
            )
            found[name] = compared(rule, search, grid, untuned)
            seconds += rule.seconds + grid.seconds
            sys.stdout.write(json.dumps(found[name]) + "\n")
            sys.stdout.flush()
    sys.stdout.write(json.dumps(summed(found, untuned, seconds)) + "\n")


if __name__ == "__main__":
    main()

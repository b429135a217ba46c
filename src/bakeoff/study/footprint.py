"""What a method costs alone: seconds an epoch, peak memory, generation speed.

Each method is measured in a process of its own, after start-up: the base is loaded, the method is
seated in a cohort of one, and a sample of the study's own steps and validation batches is run and
timed. An epoch's seconds follow from the sample's tokens a second, since every step of a study has
a known number of padded tokens.

``python -m bakeoff.study.footprint JOB.json`` is that process; where the system can fork, one such
process serves all methods and forks for each, so that imports are paid once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch

from bakeoff.data.batches import BatchPlan, MicroBatch, Step
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.feed import Feed, HiddenFeed, TokenFeed
from bakeoff.engine.generate import generate
from bakeoff.engine.memory import is_out_of_memory, release_memory
from bakeoff.engine.train import train_step
from bakeoff.methods.contract import Ground, Method
from bakeoff.metrics.memory import PeakMemory
from bakeoff.study.archive import Archive
from bakeoff.study.options import Study, study_from_mapping
from bakeoff.study.progress import ProgressView
from bakeoff.study.results import Findings
from bakeoff.study.store import disk_errors
from bakeoff.study.workbench import Workbench, open_workbench

TRAIN_BUDGET_SECONDS = 4.0
EVALUATION_BUDGET_SECONDS = 2.0
GENERATION_ROWS = 8
_WINDOWS = 3


def measure_footprints(
    bench: Workbench, findings: Findings, archive: Archive, view: ProgressView
) -> None:
    """Measures every method that has none yet; one that fails is noted and has no figures."""
    missing = [e.name for e in bench.study.entries if e.name not in findings.footprints]
    study = _as_chosen(bench, findings)
    if not missing:
        return
    title = "footprints"
    view.count(title, 0, len(missing))
    outcomes = _in_processes(study, bench.base.device.type, missing)
    for done, (name, outcome) in enumerate(outcomes, start=1):
        if "error" in outcome:
            archive.keep_note(f"the footprint of {name} could not be measured: {outcome['error']}")
        else:
            archive.keep_footprint(name, outcome)
        view.count(title, done, len(missing))
    view.clear()


def _as_chosen(bench: Workbench, findings: Findings) -> Study:
    """The study without its search: every method with the options that were chosen."""
    if bench.study.options.search is None:
        return bench.study
    entries = []
    for entry in bench.study.entries:
        search = findings.schedule.methods[entry.name]
        shown = search.chosen or search.best() or search.searched[0]
        variant = next(v for v in entry.variants if v.label == shown.variant)
        entries.append(
            replace(
                entry,
                rates=None,
                learning_rate=shown.learning_rate,
                variants=(replace(variant, label="", searched={}),),
            )
        )
    options = replace(bench.study.options, search=None)
    return replace(bench.study, options=options, entries=tuple(entries))


def _in_processes(
    study: Study, device: str, names: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Runs the measuring process and yields each method's outcome as it comes."""
    with ExitStack() as stack:
        with disk_errors(Path(tempfile.gettempdir())):
            job = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "job.json"
            content = {"study": study.resolved, "device": device, "names": list(names)}
            job.write_text(json.dumps(content), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bakeoff.study.footprint", str(job)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd=study.root,
            text=True,
        )
        try:
            assert process.stdout is not None
            pending = list(names)
            for line in process.stdout:
                name, _, outcome = line.partition(" ")
                if name in pending:
                    pending.remove(name)
                    yield name, json.loads(outcome)
            for name in pending:
                yield name, {"error": "the measuring process ended early"}
        finally:
            process.kill()
            process.wait()


def measure(study: Study, name: str, device: str) -> dict[str, Any]:
    """Measures one method in this process, which has loaded no base before.

    Returns:
        ``epoch_seconds`` {max, mean, train, validation, first_epoch_extra, measured_steps,
        epoch_steps}, ``peak_memory_bytes``, ``generation_rows_per_second`` and
        ``micro_batch_size``.
    """
    before = psutil.Process().memory_info().rss
    bench = open_workbench(study, device)
    method = bench.methods[name][""]
    loaded = psutil.Process().memory_info().rss - before
    rows = study.options.protocol.micro_batch_size
    while True:
        try:
            with PeakMemory(bench.base.device.type) as peak:
                figures = _measure_training(bench, method, rows)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or rows == 1:
                raise
        release_memory()
        rows //= 2
    # On a GPU the allocator's peak holds the base already; on the CPU its growth comes on top.
    on_gpu = bench.base.device.type == "cuda"
    return {
        "epoch_seconds": figures,
        "peak_memory_bytes": int(peak.bytes if on_gpu else peak.bytes + max(0, loaded)),
        "generation_rows_per_second": _measure_generation(bench, method),
        "micro_batch_size": rows,
    }


def _measure_training(bench: Workbench, method: Method, rows: int) -> dict[str, Any]:
    protocol = bench.study.options.protocol
    train, validation = bench.plans["train"], bench.plans["validation"]
    extra = 0.0
    feed: Feed = TokenFeed(bench.base.device)
    if method.ground is Ground.HIDDEN_STATES:
        feed, extra = _stand_in_hidden_states(bench)
    cohort = Cohort(bench.base, [method], 1, protocol)
    cohort.seat(0, method, method.initial(torch.Generator().manual_seed(protocol.seeds[0])))
    rates = torch.tensor([1e-6], dtype=torch.float64, device=bench.base.device)
    steps = train.epoch(protocol.seeds[0], 0)
    with cohort:
        optimizer = cohort.optimizer
        assert optimizer is not None
        # One micro-batch of each sampled step: the others cost the same.
        short = [Step(examples=s.examples[:rows], width=s.width) for s in steps]
        # A row warms up as well as a full rectangle does, and on a large base much sooner.
        first = Step(examples=steps[0].examples[:1], width=steps[0].width)
        _seconds(bench, train_step, cohort, feed, train, [first], rates, 1)
        update = min(_seconds(bench, optimizer.step, rates, rates.float()) for _ in range(2))
        samples: list[tuple[float, int]] = []
        started = time.perf_counter()
        for step in short:
            seconds = _seconds(bench, train_step, cohort, feed, train, [step], rates, rows)
            samples.append((max(0.0, seconds - update), len(step.examples) * step.width))
            if time.perf_counter() - started > TRAIN_BUDGET_SECONDS:
                break
        val_seconds = _measure_validation(bench, cohort, feed, validation, rows)
    padded, updates = train.tokens_padded, update * train.num_steps
    train_mean = _rate(samples) * padded + updates
    size = -(-len(samples) // _WINDOWS)
    windows = [samples[i : i + size] for i in range(0, len(samples), size)]
    train_max = max(_rate(window) for window in windows) * padded + updates
    mean_epoch = train_mean + val_seconds + extra / protocol.epochs
    return {
        "max": train_max + val_seconds + extra,
        "mean": mean_epoch,
        "train": train_mean,
        "validation": val_seconds,
        "first_epoch_extra": extra,
        "measured_steps": len(samples),
        "epoch_steps": train.num_steps,
    }


def _rate(samples: Sequence[tuple[float, int]]) -> float:
    """Seconds a padded token."""
    return sum(s for s, _ in samples) / max(1, sum(n for _, n in samples))


def _seconds(bench: Workbench, work: Callable[..., object], *arguments: Any) -> float:
    """How long ``work(*arguments)`` takes, the GPU's part included."""
    on_gpu = bench.base.device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
    started = time.perf_counter()
    work(*arguments)
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - started


@torch.no_grad()
def _measure_validation(
    bench: Workbench, cohort: Cohort, feed: Feed, plan: BatchPlan, rows: int
) -> float:
    """Seconds of one validation, from as many of its batches as the budget allows."""

    def losses(batch: MicroBatch) -> None:
        feed.losses(cohort, feed.pack(plan, [batch]))

    samples: list[tuple[float, int]] = []
    total = 0
    for batch in plan.in_length_order(rows):
        total += batch.input_ids.size
        if sum(s for s, _ in samples) < EVALUATION_BUDGET_SECONDS:
            samples.append((_seconds(bench, losses, batch), batch.input_ids.size))
    return _rate(samples) * total


@torch.no_grad()
def _stand_in_hidden_states(bench: Workbench) -> tuple[HiddenFeed, float]:
    """Hidden states of the right size, and the seconds that the real ones take once a study.

    Their values do not matter to time and memory, so only a sample goes through the base.
    """
    base = bench.base
    kept = {}
    seconds = 0.0
    with Cohort(base, [], 1) as empty:
        for split in ("train", "validation"):
            plan = bench.plans[split]
            shape = (int(plan.completions.offsets[-1]), base.width)
            kept[plan] = torch.randn(shape, device=base.device).to(base.compute_dtype)
            samples: list[tuple[float, int]] = []
            total = 0
            for batch in plan.in_length_order(bench.study.options.protocol.micro_batch_size):
                total += batch.input_ids.size
                if sum(s for s, _ in samples) < EVALUATION_BUDGET_SECONDS:
                    ids = torch.from_numpy(batch.input_ids[None]).to(base.device)
                    spent = _seconds(bench, empty.hidden_states, ids)
                    samples.append((spent, batch.input_ids.size))
            seconds += _rate(samples) * total
    return HiddenFeed(kept, base.device), seconds


def _measure_generation(bench: Workbench, method: Method) -> float:
    """Test prompts a second, alone."""
    test = bench.data.splits["test"]
    prompts = [test.generation_prompts[i] for i in range(min(GENERATION_ROWS, len(test)))]
    cohort = Cohort(bench.base, [method], 1)
    cohort.seat(0, method, method.initial(torch.Generator().manual_seed(0)))
    with cohort:
        options = bench.study.options.generation
        seconds = _seconds(bench, generate, cohort, [0], prompts, options)
    return len(prompts) / seconds


def _serve(job_file: str) -> None:
    """The measuring process: one fork a method, so that each starts from the same memory."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    study = study_from_mapping(job["study"], folder=Path.cwd())
    for name in job["names"]:
        answer = Path(job_file).with_name(f"{name}.json")
        if hasattr(os, "fork"):
            child = os.fork()
            if child == 0:
                _answer(study, name, job["device"], answer)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            if not answer.exists():
                reason = f"the process ended with status {status}, most likely out of memory"
                answer.write_text(json.dumps({"error": reason}), encoding="utf-8")
        else:
            _answer(study, name, job["device"], answer)
        print(name, answer.read_text(encoding="utf-8"), flush=True)


def _answer(study: Study, name: str, device: str, answer: Path) -> None:
    try:
        outcome = measure(study, name, device)
    except Exception as error:  # whatever it is, the study goes on without this figure
        outcome = {"error": f"{type(error).__name__}: {error}"}
    beside = answer.with_suffix(".part")
    beside.write_text(json.dumps(outcome), encoding="utf-8")
    beside.rename(answer)


if __name__ == "__main__":
    _serve(sys.argv[1])

"""What is done with a method on the device of shapes, and what is noted of it.

Each action raises where the real device would; what it returns goes into a test's hands as JSON.

Axis letters: ``K`` slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch

from bakeoff.base.model import Base
from bakeoff.data.ragged import Ragged
from bakeoff.data.taskdata import SplitData, TaskData
from bakeoff.engine.acceleration import accelerated
from bakeoff.engine.backends.cuda_graphs import StepGraphs
from bakeoff.engine.batch_source import (
    BatchSource,
    HiddenStateSource,
    TokenSource,
    keep_hidden_states,
)
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.choose import choose, choose_rows
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.generation.mixed import generate_rows
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.engine.schedule import Position, SaveNothing
from bakeoff.engine.score import example_nlls
from bakeoff.engine.step import train_step
from bakeoff.engine.train import Trainer
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.timing import Budget, time_epoch, time_generation, token_latency
from bakeoff.methods.contract import ExecutionPath, Method
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import workbench_of
from tests.fake_cuda.bridge import plan_of, rows, trains_alone
from tests.fake_cuda.cases import PASSES
from tests.fake_cuda.device import CUDA
from tests.fake_cuda.watch import RECORD, without_waits

ENGINE: Final = EngineOptions(compile=False)
"""Compiled layers need a real device; all else is as ``auto`` has it on a GPU."""
PROTOCOL: Final = ProtocolOptions(epochs=1, micro_batch_size=2, grad_accum_steps=1, patience=None)
_ROWS: Final = 2
_NEW_TOKENS: Final = 20
_STOP_AFTER: Final = 2


class StoppedError(Exception):
    """Training is interrupted."""


@dataclass
class Saver(SaveNothing):
    """Takes a position after some steps, and may interrupt training there."""

    stops: bool
    at: int = _STOP_AFTER
    position: Position | None = None
    steps: int = 0

    def between_steps(self, position: Callable[[], Position]) -> None:
        self.steps += 1
        if self.steps == self.at:
            self.position = position()
            if self.stops:
                raise StoppedError


@dataclass
class Observer:
    """Keeps what it is told."""

    ended: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def on_step(
        self,
        seated: Sequence[Candidate | None],
        step: int,
        num_steps: int,
        train_nll: Sequence[float],
        rates: Sequence[float],
    ) -> None: ...

    def on_epoch(self, candidate: Candidate) -> None: ...

    def on_pause(self, candidate: Candidate) -> None: ...

    def on_end(self, candidate: Candidate) -> None:
        self.ended.append(candidate.state.value)

    def on_note(self, note: str) -> None:
        self.notes.append(note)


def seated(base: Base, method: Method, *, trains: bool = True) -> Cohort:
    """A cohort of fresh candidates: two, or one where the method trains alone."""
    num_slots = 1 if trains_alone(method) else 2
    cohort = Cohort(base, [method], num_slots, PROTOCOL if trains else None)
    for slot in range(num_slots):
        drawn = method.initial(torch.Generator().manual_seed(slot))
        cohort.seat(slot, method, drawn, slot)
    return cohort


def batch_source_of(base: Base, method: Method, *plans: Any) -> BatchSource:
    """How the plans reach a cohort of the method."""
    if method.execution_path is not ExecutionPath.HIDDEN_STATES:
        return TokenSource(CUDA)
    with Cohort(base, [], 1) as empty:
        return HiddenStateSource({p: keep_hidden_states(empty, p, rows=4) for p in plans}, CUDA)


def train(base: Base, method: Method) -> dict[str, Any]:
    """An epoch of captured updates of ``PASSES`` micro-batches, one more and one without graphs,
    both of which may not wait."""
    plan = plan_of(8, rows_per_step=PASSES * _ROWS, prompt=(4, 60))
    with seated(base, method) as cohort, accelerated(cohort, 72, ENGINE) as graphs:
        batch_source = batch_source_of(base, method, plan)
        RECORD.clear()
        epoch(cohort, batch_source, plan, graphs)
        found = {
            "captures": RECORD.captures,
            "operations": sum(number for number, _ in RECORD.graphs),
        }
        RECORD.clear()
        if graphs is not None:
            with without_waits():
                epoch(cohort, batch_source, plan, graphs)
            found["captured_again"] = RECORD.captures
            found["replays"] = RECORD.replays
            with without_waits():
                epoch(cohort, batch_source, plan, None, steps=1)
    return found | {"steps": plan.num_steps}


def epoch(
    cohort: Cohort,
    batch_source: BatchSource,
    plan: Any,
    graphs: StepGraphs | None,
    steps: int | None = None,
) -> None:
    rates_K = torch.full((cohort.num_slots,), 1e-2, dtype=torch.float64, device=CUDA)
    for step in plan.epoch(0, 0)[:steps]:
        train_step(cohort, batch_source, plan, [step] * cohort.num_slots, rates_K, _ROWS, graphs)


def evaluate(base: Base, method: Method) -> dict[str, Any]:
    """Validation of one slot: of a narrowed cohort, where there are two."""
    plan = plan_of(6)
    with seated(base, method) as cohort:
        batch_source = batch_source_of(base, method, plan)
        RECORD.clear()
        sums = example_nlls(cohort, cohort.num_slots - 1, batch_source, plan, rows=4)
    return {"finite": bool(np.isfinite(sums).all()), "examples": len(sums), "waits": _waits()}


def pick(base: Base, method: Method) -> dict[str, Any]:
    """Choices of one slot, of all of them together and of rows that name theirs: in one batch and
    in several. Only what has been found may wait for the device."""
    prompts = rows(5, (3, 30), 3)
    choices = [rows(1 + number % 3, (1, 6), number) for number in range(5)]
    with seated(base, method, trains=False) as cohort:
        last = cohort.num_slots - 1
        named = [0, last, last, 0, last]
        asked: dict[str, Callable[[], list[Any]]] = {
            "slot": lambda: choose(cohort, [last], prompts, choices, batch_rows=2)[0],
            "slots": lambda: choose(cohort, range(last + 1), prompts, choices)[last],
            "rows": lambda: choose_rows(cohort, named, prompts, choices, batch_rows=3),
        }
        found: dict[str, Any] = {"counts": [len(of_example) for of_example in choices]}
        for name, ask in asked.items():
            RECORD.clear()
            nlls = ask()
            found[name] = {
                "counts": [len(nlls_M) for nlls_M in nlls],
                "finite": all(bool(np.isfinite(nlls_M).all()) for nlls_M in nlls),
                "waits": _waits(),
                "number": {wait.where: count for wait, count in RECORD.waits.items()},
            }
    return found


def write(base: Base, method: Method) -> dict[str, Any]:
    """Greedy generation of one slot, of all of them together, with rows that leave on the way, and
    of rows that name their slot."""
    found: dict[str, Any] = {"waits": []}
    with seated(base, method, trains=False) as cohort:
        for slots in [[0], [0, 1]][: cohort.num_slots]:
            prompts = rows(6, (3, 40), 3)
            options = GenerationOptions(
                max_new_tokens=_NEW_TOKENS, batch_rows=len(slots) * len(prompts)
            )
            RECORD.clear()
            texts = generate(cohort, slots, prompts, options)
            found["waits"] += _waits()
            found[f"slots{len(slots)}"] = {
                "captures": RECORD.captures,
                "replays": RECORD.replays,
                "operations": RECORD.graphs[-1][0] if RECORD.graphs else 0,
                "texts": [len(of_slot) for of_slot in texts],
            }
        RECORD.clear()
        last = cohort.num_slots - 1
        options = GenerationOptions(max_new_tokens=6, batch_rows=4)
        mixed = generate_rows(cohort, [last, 0, last, 0, last], rows(5, (3, 40), 3), options)
        found["rows"] = {"texts": len(mixed), "captures": RECORD.captures, "waits": _waits()}
    return found


def snapshot(base: Base, method: Method) -> dict[str, Any]:
    """Whole training, with a snapshot in the middle of an epoch."""
    saver = Saver(stops=False)
    observer = trained(base, method, saver)
    assert saver.position is not None
    position = saver.position
    return {
        "states": observer.ended,
        "notes": observer.notes,
        "step": position.step,
        "devices": sorted({t.device.type for s in position.snapshots for t in s.values()}),
    }


def restore(base: Base, method: Method) -> dict[str, Any]:
    """Training that is interrupted in the middle of an epoch and goes on from there."""
    saver = Saver(stops=True)
    with suppress(StoppedError):
        trained(base, method, saver)
    assert saver.position is not None and saver.position.step > 0
    observer = trained(base, method, SaveNothing(), saver.position)
    return {
        "states": observer.ended,
        "notes": observer.notes,
        "candidates": len(saver.position.seated),
    }


def trained(
    base: Base, method: Method, saver: SaveNothing, start: Position | None = None
) -> Observer:
    plan, validation = plan_of(6), plan_of(3)
    observer = Observer()
    batch_source = batch_source_of(base, method, plan, validation)
    slots = 1 if trains_alone(method) else 2
    candidates = [
        Candidate(id=f"c{i}", method_name="m", method=method, learning_rate=1e-2, seed=i)
        for i in range(slots if start is None else 0)
    ]
    trainer = Trainer(
        base, batch_source, plan, validation, PROTOCOL, observer, slots, saver, ENGINE
    )
    trainer.run(candidates, start)
    return observer


def measure(base: Base, method: Method) -> dict[str, Any]:
    """Seconds of an epoch, rows per second and token latency, as a study measures them."""
    bench = workbench(base, method, new_tokens=8)
    epoch = time_epoch(bench, method, 2, Budget(train=0.0, evaluation=0.0))
    speed = time_generation(bench, method, 4)
    latency = token_latency(bench, method)
    return {
        "measured_steps": epoch["measured_steps"],
        "seconds": epoch["max"],
        "rows_per_second": speed,
        "latency": latency,
    }


def workbench(base: Base, method: Method, new_tokens: int = 24) -> Workbench:
    """A study of one method on random examples."""
    study = study_from_mapping(
        {
            "name": "shapes",
            "base": "tiny",
            "task": {"source": "rows", "document": "text", "summary": "short", "max_length": 72},
            "protocol": {"epochs": 2, "micro_batch_size": 2, "grad_accum_steps": 1},
            "methods": {"m": {"kind": "lora"}},
            "generation": {"max_new_tokens": new_tokens},
            "engine": {"compile": False},
        },
        folder=Path.cwd(),
    )
    splits = {name: _split(size) for name, size in (("train", 4), ("validation", 2), ("test", 3))}
    data = TaskData(
        splits=cast(Any, splits), found={}, overlap=cast(Any, None), warnings=[], seed=0
    )
    return workbench_of(study, base, methods={"m": {"": method}}, data=data)


def _split(size: int) -> SplitData:
    plan = plan_of(size)
    return SplitData(
        rows=np.arange(size),
        tokens=cast(Ragged, plan.tokens),
        is_target=plan.is_target,
        prompts=Ragged.from_rows(rows(size, (4, 40), 5)),
        shown=[""] * size,
        targets=[""] * size,
        target_bytes=np.zeros(size),
        references=[[""]] * size,
        gold=np.full(size, -1),
        choice_set=np.full(size, -1),
        tokens_raw=0,
        rows_cut=0,
        rows_skipped=0,
    )


def _waits() -> list[str]:
    return sorted({f"{wait.where}: {wait.what}" for wait in RECORD.waits})


RUN: Final[dict[str, Callable[[Base, Method], dict[str, Any]]]] = {
    "train": train,
    "evaluate": evaluate,
    "choose": pick,
    "generate": write,
    "snapshot": snapshot,
    "restore": restore,
    "measure": measure,
}
"""The actions by the names that ``cases.ACTIONS`` gives them."""

"""What the same study takes its rivals: a few of their steps and batches, and arithmetic."""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from bakeoff.base.precision import choose_device
from bakeoff.inference.finished import FinishedRun, Kept
from bakeoff.methods.contract import Method, Tensors
from bakeoff.study.opening import workbench_of
from engines.measuring import Contest, check_losses, print_record, seconds_of
from engines.memory import taken_bytes
from engines.ours import OurTraining, initial_tensors
from engines.rivals import adopt, plain_loops, tuned_copy
from engines.trainer_loop import TrainerLoop
from engines.workload import SEED, Workload, sampled
from engines.writers import PlainWriter, cast_copy
from seed_study import OurRun

OURS, PLAIN, TRAINER = "bakeoff", "plain", "trainer"
_GPU_ROWS, _CPU_ROWS = (64, 256, 1024), (8, 32)
"""Batch sizes that the rival may write at."""
_VALIDATION_BATCHES = 4


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one method takes.

    Attributes:
        step: seconds of an update, by engine. validation_row: of a validated row, by engine.
        test_row: of a written row by ``generate``.
    """

    step: dict[str, float]
    validation_row: dict[str, float]
    test_row: float


class StudyRivals:
    """The rivals on a study that ours has finished.

    Args:
        arguments: the command line's. device: ``cpu`` or ``cuda``.
        run: ours. model: the base, for the rivals.
    """

    def __init__(self, arguments: argparse.Namespace, device: str, run: OurRun, model: Any) -> None:
        self.arguments, self.run, self.model = arguments, run, model
        self.finished = FinishedRun(run.folder, device)
        study = self.finished.study
        before = taken_bytes(choose_device(device))
        self.base = self.finished.base
        self.base_bytes = taken_bytes(self.base.device) - before
        self.bench = workbench_of(study, self.base)
        on_gpu = self.base.device.type == "cuda"
        self.compiled = on_gpu
        self.writing_rows = _GPU_ROWS if on_gpu else _CPU_ROWS
        rows = _GPU_ROWS[0] if on_gpu else arguments.micro_batch_size
        self.validation_rows = min(rows, len(self.bench.data.splits["validation"]))

    def measure(self, name: str) -> Measured:
        """Times one method, and holds that all engines compute the same.

        Raises:
            SystemExit: naming the engine that does not.
        """
        case = f"{self.arguments.base} {name}"
        step, validation_row = self._training(name, case)
        return Measured(step=step, validation_row=validation_row, test_row=self._test(name, case))

    def epochs(self, name: str) -> int:
        """Epochs that ours trained the method for."""
        found = self.run.results["candidates"].values()
        return sum(len(c["epochs"]) for c in found if c["method"] == name)

    def seconds(self, name: str, found: Measured, engine: str) -> tuple[float, float]:
        """What all training with its validation takes one engine, and what the test takes."""
        train, splits = self.bench.plans["train"], self.bench.data.splits
        epoch = train.num_steps * found.step[engine]
        epoch += len(splits["validation"]) * found.validation_row[engine]
        return self.epochs(name) * epoch, len(splits["test"]) * found.test_row

    def _sample(self) -> Workload:
        """The study's first updates, and some of its validation rows."""
        arguments, plans = self.arguments, self.bench.plans
        train, validation = plans["train"], plans["validation"]
        steps = train.epoch(SEED, 0)[: arguments.steps]
        batches = min(_VALIDATION_BATCHES, validation.num_rows // self.validation_rows)
        validated = range(batches * self.validation_rows)
        return Workload(
            plan=sampled(train, [e for s in steps for e in s.examples], arguments.max_length),
            rows=arguments.micro_batch_size,
            device=self.base.device,
            dtype=self.base.compute_dtype,
            validation=sampled(validation, validated, arguments.max_length),
        )

    def _training(self, name: str, case: str) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds of an update and of a validated row, by engine."""
        work = self._sample()
        method = self.bench.methods[name][""]
        start = method, initial_tensors(method)
        contest = Contest(case, self.base.device, required=[OURS, PLAIN, TRAINER])
        loops = plain_loops(self.model, name, work, start, compiled=self.compiled)
        loops.pop("plain float32", None)
        try:
            for engine, build in loops.items():
                contest.enter(engine, build)
            contest.enter(TRAINER, lambda: TrainerLoop(self._tuned(name, start), work))
            contest.enter(OURS, lambda: OurTraining(self.base, self.base_bytes, name, 1, work))
            check_losses(case, {n: e.first for n, e in contest.entrants.items()}, work.dtype)
            validated = self._validation(contest, case, work)
            contest.run([range(work.plan.num_steps)] * (1 + self.arguments.rounds), warmup=1)
            for engine, entrant in contest.entrants.items():
                print_record(
                    engine=engine,
                    case=case,
                    part="training step",
                    seconds=round(entrant.median, 6),
                    tokens_per_second=round(work.tokens_per_step / entrant.median, 1),
                    peak_memory_bytes=entrant.peak_memory_bytes(0),
                    first_step_seconds=round(entrant.first_step_seconds, 3),
                    first_loss=entrant.first,
                )
                _tell_rows(engine, case, "validation", validated[engine])
            return {n: e.median for n, e in contest.entrants.items()}, validated
        finally:
            contest.close()

    def _tuned(self, name: str, start: tuple[Method, Tensors]) -> nn.Module:
        twin = tuned_copy(self.model, name, self.base.device)
        adopt(twin, *start)
        return twin

    def _validation(self, contest: Contest, case: str, work: Workload) -> dict[str, float]:
        """Seconds of a validated row, by engine."""
        assert work.validation is not None
        engines: dict[str, Any] = {n: e.engine for n, e in contest.entrants.items()}
        rows, device = self.validation_rows, self.base.device
        # All have made one update: a second thing that must come out the same. Trainer's figure is
        # a mean of its batches' means, another one where rows differ in their supervised tokens.
        nlls = {n: engine.evaluate(rows) for n, engine in engines.items()}
        del nlls[TRAINER]
        check_losses(f"{case}, validation", nlls, work.dtype)
        spent: dict[str, list[float]] = {n: [] for n in engines}
        for _ in range(self.arguments.rounds):
            for n, engine in engines.items():
                spent[n].append(seconds_of(partial(engine.evaluate, rows), device))
        num_rows = work.validation.num_rows
        return {n: statistics.median(seconds) / num_rows for n, seconds in spent.items()}

    def _test(self, name: str, case: str) -> float:
        """Seconds of a written row at the rival's best batch size, with ours' trained adapter."""
        candidate = self.run.results["methods"][name]["candidates"][0]
        kept = self.finished.candidate(candidate)
        device, dtype = self.base.device, self.base.compute_dtype
        twin = cast_copy(self.model, name, device, dtype, (kept.method, kept.load()))
        num_test = len(self.bench.data.splits["test"])
        sizes = sorted({min(rows, num_test) for rows in self.writing_rows})
        # The smallest is there in any case; a larger one may not fit.
        contest = Contest(case, device, required=[f"generate {sizes[0]} rows"])
        try:
            for rows in sizes:
                contest.enter(f"generate {rows} rows", partial(self._writer, twin, rows))
            writers: dict[str, Any] = {n: e.engine for n, e in contest.entrants.items()}
            self._check_adapter(case, kept, writers[f"generate {sizes[0]} rows"])
            contest.run([range(1)] * self.arguments.rounds, warmup=0)
            seconds = {n: e.median / int(writers[n].rows) for n, e in contest.entrants.items()}
            for engine, row in seconds.items():
                _tell_rows(engine, case, "test", row)
            return min(seconds.values())
        finally:
            contest.close()

    def _writer(self, twin: nn.Module, rows: int) -> PlainWriter:
        prompts = self.bench.data.splits["test"].prompts
        return PlainWriter(
            twin,
            self.base.device,
            [prompts[i] for i in range(rows)],
            int(self.base.tokenizer.eos_token_id),
            new_tokens=self.arguments.supervised,
            rows=rows,
        )

    def _check_adapter(self, case: str, kept: Kept, writer: PlainWriter) -> None:
        """Holds that the rival rates some test rows under ours' adapter as ours did."""
        lines = (kept.adapter.parent / "predictions.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in lines.splitlines()[: writer.rows]]
        plan = sampled(self.bench.plans["test"], range(writer.rows), self.arguments.max_length)
        nlls = {
            OURS: sum(row["nll"] for row in rows) / sum(row["tokens"] for row in rows),
            "generate": writer.nll(plan),
        }
        check_losses(f"{case}, trained, test rows", nlls, self.base.compute_dtype)


def _tell_rows(engine: str, case: str, part: str, seconds: float) -> None:
    print_record(
        engine=engine,
        case=case,
        part=part,
        seconds_per_row=round(seconds, 6),
        rows_per_second=round(1 / seconds, 3),
    )

"""The one training loop: slots, epochs, early stopping.

All slots go through epochs of the same length in step. A candidate that ends or pauses frees its
slot. Where the schedule holds more candidates than slots, which no job of a study does, the next
one is seated at the next epoch with its own data order, step count and schedule. The cohort is as
wide as candidates are seated: an unused slot costs nothing. What an epoch computes follows from
which candidate has which slot: training that goes on from a ``Position`` makes the same updates as
training that never stopped, on a CPU in float32 to the bit (for a GPU see
``EngineOptions.deterministic``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import numpy as np
import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.base.transfer import to_device
from bakeoff.data.batches import BatchPlan, EpochOrder, Step
from bakeoff.engine.acceleration import accelerated
from bakeoff.engine.backends.cuda_graphs import StepGraphs
from bakeoff.engine.backends.memory import may_try_smaller, release_memory
from bakeoff.engine.batch_source import BatchSource
from bakeoff.engine.candidate import Candidate, Observer
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.engine.schedule import InTurn, Position, SaveNothing, Saver, Schedule
from bakeoff.engine.score import EVALUATION_ROWS, example_nlls, mean_nll
from bakeoff.engine.step import train_step as train_step
from bakeoff.errors import OutOfMemoryError
from bakeoff.methods.contract import Method, Tensors
from bakeoff.ranks import ranks
from bakeoff.runs.records import EpochRecord
from bakeoff.types import RunState

_REPORT_EVERY = {"cpu": 1, "cuda": 10}


_VALIDATED: Final = 4
"""Rows that are validated in the memory of one that is trained, and more."""
_LEAST_OF_EPOCH: Final = 0.25
"""Of an epoch must be done before a budget may end it with what is there."""


class Trainer:
    """Trains candidates of one execution path.

    Args:
        base: the frozen base.
        batch_source: how training and validation examples reach a cohort.
        train_plan: the training split. validation_plan: the validation split.
        protocol: how all candidates are trained.
        observer: what is called as training goes on.
        num_slots: the most candidates in one pass.
        saver: saves, and says when to stop.
        engine: how passes are computed.
        order: which training examples the steps of an epoch see; None takes all of them, as the
            training split's own schedule has them.
    """

    def __init__(
        self,
        base: Base,
        batch_source: BatchSource,
        train_plan: BatchPlan,
        validation_plan: BatchPlan,
        protocol: ProtocolOptions,
        observer: Observer,
        num_slots: int,
        saver: Saver | None = None,
        engine: EngineOptions | None = None,
        order: EpochOrder | None = None,
    ) -> None:
        self.base = base
        self.batch_source = batch_source
        self.train_plan = train_plan
        self.order: EpochOrder = order or train_plan
        self.validation_plan = validation_plan
        self.protocol = protocol
        self.observer = observer
        self.num_slots = num_slots
        self.saver = saver or SaveNothing()
        self.engine = engine or EngineOptions()
        self.micro_batch_size = protocol.micro_batch_size
        self.present: list[Candidate] = []
        """Who would lose training if the loop failed now."""
        self._slots: list[Candidate | None] = []
        self._cohort: Cohort | None = None
        self._open = ExitStack()
        self._graphs: StepGraphs | None = None
        self._methods: list[Method] = []

    @property
    def cohort(self) -> Cohort:
        """The present cohort."""
        assert self._cohort is not None, "no candidate is seated"
        return self._cohort

    @property
    def num_seated(self) -> int:
        """Slots of the present cohort."""
        return len(self._slots)

    @property
    def _running(self) -> list[Candidate | None]:
        """By slot, None where a candidate has diverged."""
        return [c if c is not None and c.state is RunState.RUNNING else None for c in self._slots]

    def run(self, schedule: Schedule | Sequence[Candidate], start: Position | None = None) -> None:
        """Trains the candidates of a schedule; each final state is reported to the observer.

        Args:
            schedule: which candidates train; a plain list trains in turn.
            start: where an earlier call stopped.
        """
        queue = InTurn(schedule) if isinstance(schedule, Sequence) else schedule
        try:
            if start is not None:
                self._resume(start)
            while True:
                if start is None or start.step == 0:
                    if not self._fill(queue):
                        return
                    self.saver.between_epochs(self._between_epochs)
                    start = None
                self._epoch(queue, start)
                start = None
        finally:
            self._close()

    def _resume(self, start: Position) -> None:
        # Where another process of the run had no memory, it is smaller than what was saved.
        self.micro_batch_size = min(self.micro_batch_size, start.micro_batch_size)
        self.present = [candidate for candidate in start.seated if not candidate.state.is_final]
        self._arrange(start.seated, start.snapshots)

    def _fill(self, schedule: Schedule) -> bool:
        """Seats candidates in free slots; returns whether any is seated.

        A candidate that diverged keeps its slot as long as no other leaves or takes it: a pass
        over fewer rows rounds differently, and its neighbours are not to notice, to the bit.
        """
        staying = [candidate for candidate in self._running if candidate is not None]
        self.present = list(staying)
        while len(self.present) < self.num_slots:
            candidate = schedule.next()
            if candidate is None:
                break
            self.present.append(candidate)
        if not self.present:
            return False
        coming = self.present[len(staying) :]
        free = [slot for slot, candidate in enumerate(self._running) if candidate is None]
        is_left = any(candidate is None for candidate in self._slots)
        order: list[Candidate] = self.present
        if len(coming) == len(free) or (not is_left and len(coming) < len(free)):
            # The others need not move.
            filled = dict(zip(free, coming, strict=False))
            order = [filled.get(k) or c for k, c in enumerate(self._slots)]  # type: ignore[misc]
        if self._fits(order):
            for slot, candidate in enumerate(order):
                if candidate is not self._slots[slot]:
                    self._sit_down(slot, candidate, candidate.snapshot)
        else:
            kept = {c.id: self.cohort.snapshot(k) for k, c in enumerate(self._running) if c}
            self._arrange(order, [kept.get(c.id, c.snapshot) for c in order])
        return True

    def _fits(self, candidates: Sequence[Candidate]) -> bool:
        """Whether the present cohort is the one that these candidates would be given."""
        methods = list(dict.fromkeys(candidate.method for candidate in candidates))
        return (
            self._cohort is not None
            and self._cohort.num_slots == len(candidates)
            and methods == self._methods
        )

    def _arrange(
        self, candidates: Sequence[Candidate], snapshots: Sequence[Tensors | None]
    ) -> None:
        """Seats the candidates in this order, each where its snapshot left it, or at its start.

        The cohort depends on them alone and not on those seated before them.
        """
        if not self._fits(candidates):
            self._close()
            self._methods = list(dict.fromkeys(candidate.method for candidate in candidates))
            cohort = Cohort(self.base, self._methods, len(candidates), self.protocol)
            self._cohort = self._open.enter_context(cohort)
            longest = max(*self.order.widths, *self.validation_plan.widths)
            self._graphs = self._open.enter_context(
                accelerated(cohort, longest, self.engine, self.observer.on_note)
            )
        self._slots = list(candidates)
        for slot, (candidate, snapshot) in enumerate(zip(candidates, snapshots, strict=True)):
            if candidate.state is RunState.DIVERGED:
                self.cohort.hold(slot, candidate.method)
            else:
                self._sit_down(slot, candidate, snapshot)

    def _close(self) -> None:
        self._open.close()
        self._cohort = self._graphs = None
        self._slots = []

    def _sit_down(self, slot: int, candidate: Candidate, snapshot: Tensors | None) -> None:
        if snapshot is not None:
            self.cohort.restore(slot, candidate.method, snapshot, candidate.seed)
        else:
            generator = torch.Generator().manual_seed(candidate.seed)
            tensors = candidate.method.initial(generator)
            self.cohort.seat(slot, candidate.method, tensors, candidate.seed)
        candidate.snapshot = None
        candidate.state = RunState.RUNNING
        self._slots[slot] = candidate

    def _between_epochs(self) -> Position:
        nothing = [0.0] * len(self._slots)
        return self._position(0, nothing, nothing, 0.0)

    def _position(
        self, step: int, nll: list[float], tokens: list[float], seconds: float
    ) -> Position:
        return Position(
            seated=[candidate for candidate in self._slots if candidate is not None],
            step=step,
            snapshots=[
                {} if candidate is None else self.cohort.snapshot(slot)
                for slot, candidate in enumerate(self._running)
            ],
            train_nll=nll,
            train_tokens=tokens,
            seconds=seconds,
            micro_batch_size=self.micro_batch_size,
        )

    def _epoch(self, schedule: Schedule, start: Position | None) -> None:
        """One epoch of every seated candidate, its validation, and which leave after it.

        Args:
            schedule: says which pause.
            start: where in the epoch an earlier call stopped.
        """
        before = time.perf_counter() - (start.seconds if start else 0.0)
        seated = self._running
        steps = [self.order.epoch(c.seed, len(c.epochs)) if c else None for c in seated]
        device = self.base.device
        nll_K = torch.zeros(len(seated), dtype=torch.float64, device=device)
        tokens_K = torch.zeros_like(nll_K)
        if start is not None:
            nll_K += torch.tensor(start.train_nll, dtype=torch.float64, device=device)
            tokens_K += torch.tensor(start.train_tokens, dtype=torch.float64, device=device)
        num_steps = self.order.num_steps

        def position() -> Position:
            seconds = time.perf_counter() - before
            return self._position(done, nll_K.tolist(), tokens_K.tolist(), seconds)

        done = start.step if start else 0
        while done < num_steps:
            rates = self._rates(done)
            present = [own[done] if own else None for own in steps]
            step_nll_K, step_tokens_K = self._step(present, rates)
            nll_K += step_nll_K
            tokens_K += step_tokens_K
            done += 1
            if done % _REPORT_EVERY[device.type] == 0 or done == num_steps:
                self._report(done, step_nll_K / step_tokens_K.clamp(min=1.0), rates)
            if self._must_end(seated, done, time.perf_counter() - before):
                self.observer.on_note(
                    f"the time budget ended the first epoch after {done:,} of {num_steps:,} "
                    "updates, so that what was trained is tested; the learning rate had not decayed"
                )
                break
            self.saver.between_steps(position)
        train_nll = (nll_K / tokens_K.clamp(min=1.0)).tolist()
        optimizer = self.cohort.optimizer
        assert optimizer is not None
        alive = optimizer.alive_K.tolist()
        trained = time.perf_counter() - before
        # All are validated before any is judged: stopping in between loses no judgement.
        outcomes = []
        for slot, candidate in enumerate(seated):
            if candidate is not None:
                outcomes.append((slot, candidate, *self._validate(slot, alive=alive[slot])))
            self.saver.between_steps(position)
        # Asked once, so that all of a pass end with the same epoch or none does. The next epoch is
        # a whole one, though the budget may have cut this.
        validated = time.perf_counter() - before - trained
        ending = self.saver.ends_training(trained * num_steps / done + validated)
        for slot, candidate, val_nll, seconds in outcomes:
            seconds += trained
            self._judge(slot, candidate, train_nll[slot], val_nll, seconds, schedule, ending)
            if candidate.state is not RunState.RUNNING:
                self.cohort.vacate(slot)
                if candidate.state is not RunState.DIVERGED:
                    self._slots[slot] = None

    def _must_end(self, seated: list[Candidate | None], done: int, seconds: float) -> bool:
        """Whether the budget ends the first epoch of a pass here.

        Args:
            seated: by slot. done: steps of the epoch. seconds: that they took.
        """
        is_first = any(candidate is not None and not candidate.epochs for candidate in seated)
        if (
            not is_first
            or not _LEAST_OF_EPOCH * self.order.num_steps <= done < self.order.num_steps
        ):
            return False
        one = seconds / done
        # Scoring a row takes about a third of training on it; a half is sure.
        validation = 0.5 * one * len(self.validation_plan.buckets) / self.train_plan.rows_per_step
        return self.saver.cuts_epoch(validation + 2.0 * one)

    def _step(self, steps: list[Step | None], rates: list[float]) -> tuple[Tensor, Tensor]:
        """One update; when memory runs out, the same update without graphs, and then from smaller
        micro-batches."""
        rates_K = to_device(np.array(rates, dtype=np.float64), self.base.device)
        while True:
            try:
                return train_step(
                    self.cohort,
                    self.batch_source,
                    self.train_plan,
                    steps,
                    rates_K,
                    self.micro_batch_size,
                    self._graphs,
                )
            except (RuntimeError, MemoryError) as error:
                if not may_try_smaller(error):
                    raise
                has_graphs = self._graphs is not None and self._graphs.pause()
                if self.micro_batch_size == 1 and not has_graphs:
                    raise OutOfMemoryError(
                        "training ran out of memory with a micro-batch of one row; lower "
                        "task.max_length or slots, or choose a smaller base"
                    ) from error
            # Only here is the error gone, and with it what its frames held.
            if has_graphs:
                release_memory()
                self.observer.on_note(
                    "memory ran out beside captured graphs: updates run uncaptured from here on, "
                    "with as many rows"
                )
                continue
            if self._graphs is not None:
                self._graphs.release()
            release_memory()
            self._halve()

    def _halve(self) -> None:
        self.micro_batch_size = max(1, self.micro_batch_size // 2)
        accumulated = -(-self.train_plan.rows_per_step // self.micro_batch_size)
        names = sorted({candidate.method_name for candidate in self._running if candidate})
        self.observer.on_note(
            f"memory ran out while training {', '.join(names)}: the micro-batch was halved to "
            f"{self.micro_batch_size} rows and accumulated {accumulated} times, so the update is "
            "the same"
        )

    def _rates(self, step: int) -> list[float]:
        """Each slot's learning rate at a step of the present epoch."""
        num_steps = self.order.num_steps
        total = self.protocol.epochs * num_steps
        return [
            c.learning_rate * self.protocol.rate_factor(len(c.epochs) * num_steps + step, total)
            if c
            else 0.0
            for c in self._running
        ]

    def _report(self, step: int, train_nll_K: Tensor, rates: list[float]) -> None:
        running = self._running
        self.observer.on_step(running, step, self.order.num_steps, train_nll_K.tolist(), rates)

    def _validate(self, slot: int, *, alive: bool) -> tuple[float, float]:
        """(validation NLL, seconds) of one slot; NaN where it does not live."""
        if not alive:
            return float("nan"), 0.0
        started = time.perf_counter()
        rows = EVALUATION_ROWS
        if ranks().count > 1:
            # What ran out of memory is not tried with fewer; the next call has fewer by this.
            rows = min(rows, _VALIDATED * self.micro_batch_size)
        sums = example_nlls(self.cohort, slot, self.batch_source, self.validation_plan, rows=rows)
        return mean_nll(sums, self.validation_plan), time.perf_counter() - started

    def _judge(
        self,
        slot: int,
        candidate: Candidate,
        train_nll: float,
        val_nll: float,
        seconds: float,
        schedule: Schedule,
        ending: str | None,
    ) -> None:
        """Records an epoch and decides whether the candidate goes on.

        Args:
            ending: why every candidate of the pass ends now, if it does.
        """
        epoch = len(candidate.epochs) + 1
        if not np.isfinite(val_nll):
            self._end(
                candidate,
                RunState.DIVERGED,
                f"the loss left the finite numbers in epoch {epoch} at learning rate "
                f"{candidate.learning_rate:g}; lower it",
            )
            return
        best = candidate.best_val_nll
        candidate.epochs.append(
            EpochRecord(epoch=epoch, train_nll=train_nll, val_nll=val_nll, seconds=seconds)
        )
        if best is None or val_nll < best:
            candidate.best_epoch = epoch
            candidate.tensors = self.cohort.take(slot)
        self.observer.on_epoch(candidate)
        assert candidate.best_epoch is not None
        worse_epochs, patience = epoch - candidate.best_epoch, self.protocol.patience
        if epoch >= self.protocol.epochs:
            if self.protocol.may_go_on:
                candidate.snapshot = self.cohort.snapshot(slot)
            self._end(candidate, RunState.COMPLETE, None)
        elif patience is not None and worse_epochs >= patience:
            self._end(
                candidate,
                RunState.STOPPED,
                f"no better validation NLL in {worse_epochs} epochs after epoch "
                f"{candidate.best_epoch}",
            )
        elif ending is not None:
            reason = f"{ending} after epoch {epoch} of {self.protocol.epochs}"
            self._end(candidate, RunState.STOPPED, reason)
        elif schedule.pauses(candidate):
            candidate.state = RunState.PAUSED
            candidate.snapshot = self.cohort.snapshot(slot)
            self.observer.on_pause(candidate)

    def _end(self, candidate: Candidate, state: RunState, reason: str | None) -> None:
        candidate.state, candidate.reason = state, reason
        self.observer.on_end(candidate)

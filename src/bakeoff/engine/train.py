"""The one training loop: slots, epochs, refilling, early stopping.

All slots march in step through epochs of the same length. A candidate that ends frees its slot,
and the next one sits down at the next epoch with its own data order, step count and schedule.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bakeoff.data.batches import BatchPlan, Step
from bakeoff.engine.candidate import Candidate, EpochRecord, Observer
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.evaluate import example_nlls, mean_nll
from bakeoff.engine.feed import Feed
from bakeoff.engine.memory import is_out_of_memory, release_memory
from bakeoff.engine.options import ProtocolOptions
from bakeoff.errors import OutOfMemoryError
from bakeoff.types import RunState

_REPORT_EVERY = {"cpu": 1, "cuda": 10}


@dataclass
class _Seat:
    """A candidate in a slot and its own clock."""

    candidate: Candidate
    epoch: int = 0
    num_updates: int = 0
    steps: list[Step] = field(default_factory=list)
    worse_epochs: int = 0


def train_step(
    cohort: Cohort,
    feed: Feed,
    plan: BatchPlan,
    steps: Sequence[Step | None],
    rates_K: Tensor,
    micro_batch_size: int,
) -> tuple[Tensor, Tensor]:
    """One update of every slot.

    Args:
        cohort: an entered cohort with an optimizer.
        feed: how examples reach it.
        plan: the training split.
        steps: each slot's examples; None gives an empty slot nothing to learn from. All have one
            width.
        rates_K: [K] float64 learning rates.
        micro_batch_size: rows of one pass of one slot.

    Returns:
        ([K] summed NLLs in nats, [K] supervised tokens), on the device.
    """
    optimizer = cohort.optimizer
    assert optimizer is not None
    width = next(step.width for step in steps if step is not None)
    idle = Step(examples=np.zeros(0, dtype=np.int64), width=width)
    by_slot = [plan.micro_batches(step or idle, micro_batch_size) for step in steps]
    counts = [sum(batch.num_supervised for batch in batches) for batches in by_slot]
    tokens_K = torch.tensor(counts, dtype=torch.float32, device=rates_K.device)
    weight_K = optimizer.loss_scale_K / tokens_K.clamp(min=1.0)
    total_K = torch.zeros_like(tokens_K)
    optimizer.zero_grad()
    for batches in zip(*by_slot, strict=True):
        if not any(batch.num_supervised for batch in batches):
            continue
        nll_K, _ = feed.losses(cohort, feed.pack(plan, batches))
        (nll_K * weight_K).sum().backward()
        total_K += nll_K.detach()
    optimizer.step(rates_K, total_K)
    return total_K, tokens_K


class Trainer:
    """Trains a list of candidates of one ground through one cohort.

    Args:
        cohort: an entered cohort with an optimizer.
        feed: how training and validation examples reach it.
        train_plan: the training split. validation_plan: the validation split.
        protocol: how everybody is trained.
        observer: who is told.
    """

    def __init__(
        self,
        cohort: Cohort,
        feed: Feed,
        train_plan: BatchPlan,
        validation_plan: BatchPlan,
        protocol: ProtocolOptions,
        observer: Observer,
    ) -> None:
        self.cohort = cohort
        self.feed = feed
        self.train_plan = train_plan
        self.validation_plan = validation_plan
        self.protocol = protocol
        self.observer = observer
        self.micro_batch_size = protocol.micro_batch_size
        self._seats: list[_Seat | None] = [None] * cohort.num_slots

    def run(self, candidates: Sequence[Candidate]) -> None:
        """Trains all of them; each ends in a final state, reported to the observer."""
        waiting = deque(candidates)
        while True:
            for slot, seat in enumerate(self._seats):
                if seat is None and waiting:
                    self._sit_down(slot, waiting.popleft())
            if all(seat is None for seat in self._seats):
                return
            self._epoch()

    def _sit_down(self, slot: int, candidate: Candidate) -> None:
        generator = torch.Generator().manual_seed(candidate.seed)
        self.cohort.seat(slot, candidate.method, candidate.method.initial(generator))
        candidate.state = RunState.RUNNING
        self._seats[slot] = _Seat(candidate)

    def _leave(self, slot: int, state: RunState, reason: str | None) -> None:
        seat = self._seats[slot]
        assert seat is not None
        seat.candidate.state, seat.candidate.reason = state, reason
        self._seats[slot] = None
        self.cohort.vacate(slot)
        self.observer.on_end(seat.candidate)

    def _epoch(self) -> None:
        """One epoch of every seated candidate, its validation, and who leaves after it."""
        started = time.perf_counter()
        for seat in self._seats:
            if seat is not None:
                seat.steps = self.train_plan.epoch(seat.candidate.seed, seat.epoch)
        device = self.cohort.base.device
        nll_K = torch.zeros(self.cohort.num_slots, dtype=torch.float64, device=device)
        tokens_K = torch.zeros_like(nll_K)
        num_steps = self.train_plan.num_steps
        for index in range(num_steps):
            rates = self._rates()
            step_nll_K, step_tokens_K = self._step(index, rates)
            nll_K += step_nll_K
            tokens_K += step_tokens_K
            if (index + 1) % _REPORT_EVERY[device.type] == 0 or index + 1 == num_steps:
                self._report(index + 1, step_nll_K / step_tokens_K.clamp(min=1.0), rates)
        train_nll = (nll_K / tokens_K.clamp(min=1.0)).tolist()
        assert self.cohort.optimizer is not None
        alive = self.cohort.optimizer.alive_K.tolist()
        trained = time.perf_counter() - started
        for slot, seat in enumerate(self._seats):
            if seat is not None:
                self._validate(slot, seat, train_nll[slot], trained, alive=alive[slot])

    def _step(self, index: int, rates: list[float]) -> tuple[Tensor, Tensor]:
        """One update; when memory runs out, the same update from smaller micro-batches."""
        rates_K = torch.tensor(rates, dtype=torch.float64, device=self.cohort.base.device)
        steps = [None if seat is None else seat.steps[index] for seat in self._seats]
        while True:
            try:
                result = train_step(
                    self.cohort, self.feed, self.train_plan, steps, rates_K, self.micro_batch_size
                )
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.micro_batch_size == 1:
                    raise OutOfMemoryError(
                        "training ran out of memory with a micro-batch of one row; lower "
                        "task.max_length or slots, or choose a smaller base"
                    ) from error
            release_memory()
            self._halve()
        for seat in self._seats:
            if seat is not None:
                seat.num_updates += 1
        return result

    def _halve(self) -> None:
        self.micro_batch_size = max(1, self.micro_batch_size // 2)
        accumulated = -(-self.train_plan.rows_per_step // self.micro_batch_size)
        names = sorted({s.candidate.method_name for s in self._seats if s is not None})
        self.observer.on_note(
            f"memory ran out while training {', '.join(names)}: the micro-batch was halved to "
            f"{self.micro_batch_size} rows and accumulated {accumulated} times, so the update is "
            "the same"
        )

    def _rates(self) -> list[float]:
        total = self.protocol.epochs * self.train_plan.num_steps
        return [
            0.0
            if seat is None
            else seat.candidate.learning_rate * self.protocol.rate_factor(seat.num_updates, total)
            for seat in self._seats
        ]

    def _report(self, step: int, train_nll_K: Tensor, rates: list[float]) -> None:
        seated = [None if seat is None else seat.candidate for seat in self._seats]
        self.observer.on_step(seated, step, self.train_plan.num_steps, train_nll_K.tolist(), rates)

    def _validate(
        self, slot: int, seat: _Seat, train_nll: float, seconds: float, *, alive: bool
    ) -> None:
        """Validates one slot at the end of an epoch and decides whether its candidate stays."""
        candidate = seat.candidate
        seat.epoch += 1
        started = time.perf_counter()
        val_nll = float("nan")
        if alive:
            sums = example_nlls(self.cohort, slot, self.feed, self.validation_plan)
            val_nll = mean_nll(sums, self.validation_plan)
        if not np.isfinite(val_nll):
            self._leave(
                slot,
                RunState.DIVERGED,
                f"the loss left the finite numbers in epoch {seat.epoch} at learning rate "
                f"{candidate.learning_rate:g}; lower it",
            )
            return
        seconds += time.perf_counter() - started
        candidate.epochs.append(
            EpochRecord(epoch=seat.epoch, train_nll=train_nll, val_nll=val_nll, seconds=seconds)
        )
        best = candidate.best_val_nll
        if best is None or val_nll < best:
            candidate.best_epoch = seat.epoch
            candidate.tensors = self.cohort.take(slot)
            seat.worse_epochs = 0
        else:
            seat.worse_epochs += 1
        self.observer.on_epoch(candidate)
        patience = self.protocol.patience
        if seat.epoch >= self.protocol.epochs:
            self._leave(slot, RunState.COMPLETE, None)
        elif patience is not None and seat.worse_epochs >= patience:
            self._leave(
                slot,
                RunState.STOPPED,
                f"no better validation NLL in {seat.worse_epochs} epochs after epoch "
                f"{candidate.best_epoch}",
            )

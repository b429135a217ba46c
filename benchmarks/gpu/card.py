"""What the stages share: the card, small bases on it, and what they train with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from bakeoff.base.model import Base
from bakeoff.data.batches import BatchPlan
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.engine.schedule import Position, SaveNothing
from bakeoff.engine.train import Trainer
from bakeoff.execution.training_worker import open_batch_source
from bakeoff.methods.contract import ExecutionPath, Method
from bakeoff.methods.registry import method_type
from engines.ours import load_base
from engines.workload import ragged_plan
from gpu.records import SkippedError

CUDA = torch.device("cuda")
SMALL_BASES = ("scratch:tiny-gpt-neo", "scratch:tiny-llama")
"""Learned positions with sliding windows; rotary positions with grouped heads."""
DTYPES = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float32": torch.float32,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 4, "dropout": 0.1},
    "soft_prompt": {"prompt_length": 5},
    "prefix": {"prefix_length": 4},
    "p_tuning": {"prompt_length": 5},
    "peft": {"peft_type": "LOHA"},
}
"""Of methods whose defaults are too large for a small base, or that need one."""


class StoppedError(Exception):
    """Training was stopped on purpose."""


def require_card() -> None:
    """Holds that there is a card.

    Raises:
        SkippedError: there is none.
    """
    if not torch.cuda.is_available():
        raise SkippedError("PyTorch sees no CUDA device here")


def each_base(kinds: Sequence[str], *, all_pairs: bool) -> Iterator[tuple[str, list[str]]]:
    """Small bases, and the methods that are tried on each.

    Args:
        kinds: of methods.
        all_pairs: whether each method meets each base, or only one of them in turn.
    """
    for number, reference in enumerate(SMALL_BASES):
        chosen = list(kinds) if all_pairs else list(kinds[number :: len(SMALL_BASES)])
        if chosen:
            yield reference, chosen


def small_base(reference: str, precision: str) -> Base:
    """A base with random weights on the card."""
    return load_base(reference, CUDA, DTYPES[precision])[0]


def method_on(base: Base, kind: str) -> Method:
    """A method by its kind, with options fit for a small base."""
    chosen = method_type(kind, where="campaign")
    return chosen(chosen.options_type(**OPTIONS.get(kind, {})), base, where="campaign")


def slots_of(method: Method, wanted: int) -> int:
    """How many of its candidates share a pass."""
    return 1 if method.execution_path is ExecutionPath.OWN_BASE else wanted


@dataclass
class Notes:
    """An observer that keeps notes and ends.

    Attributes:
        notes: what the report would show. ended: candidates in the order of their ends.
    """

    notes: list[str] = field(default_factory=list)
    ended: list[Candidate] = field(default_factory=list)

    def on_step(
        self,
        seated: Sequence[Candidate | None],
        step: int,
        num_steps: int,
        train_nll: Sequence[float],
        rates: Sequence[float],
    ) -> None:
        """See ``Observer``."""

    def on_epoch(self, candidate: Candidate) -> None:
        """See ``Observer``."""

    def on_pause(self, candidate: Candidate) -> None:
        """See ``Observer``."""

    def on_end(self, candidate: Candidate) -> None:
        """See ``Observer``."""
        self.ended.append(candidate)

    def on_note(self, note: str) -> None:
        """See ``Observer``."""
        self.notes.append(note)


class StopAt(SaveNothing):
    """Stops training in the middle of an epoch and keeps its position.

    Args:
        epoch: from 1. step: of it, from 1.

    Attributes:
        position: where training goes on; None as long as it was not stopped.
    """

    def __init__(self, epoch: int, step: int) -> None:
        self.position: Position | None = None
        self._wanted = epoch, step
        self._now = 0, 0

    def between_epochs(self, position: Callable[[], Position]) -> None:
        """See ``Saver``."""
        self._now = self._now[0] + 1, 0

    def between_steps(self, position: Callable[[], Position]) -> None:
        """See ``Saver``."""
        self._now = self._now[0], self._now[1] + 1
        if self._now == self._wanted:
            self.position = position()
            raise StoppedError


@dataclass(kw_only=True)
class Training:
    """Some candidates of one method, the same each time they are asked for.

    Attributes:
        base: the base. method: on it. slots: in a pass.
        plan: what is trained and validated on.
        protocol: by which. engine: how passes are computed.
    """

    base: Base
    method: Method
    slots: int
    plan: BatchPlan
    protocol: ProtocolOptions
    engine: EngineOptions = field(default_factory=EngineOptions)

    def candidates(self) -> list[Candidate]:
        """New candidates, one for each slot."""
        rate = self.method.default_learning_rate
        return [
            Candidate(
                id=f"{self.method.kind}{seed}",
                method_name=self.method.kind,
                method=self.method,
                learning_rate=rate,
                seed=seed,
            )
            for seed in range(self.slots)
        ]

    def trainer(self, observer: Notes, saver: SaveNothing | None = None) -> Trainer:
        """A trainer of them."""
        with ExitStack() as stack:  # nothing of this size goes to a file
            batch_source = open_batch_source(
                self.base, self.method.execution_path, [self.plan], stack
            )
        return Trainer(
            self.base,
            batch_source,
            self.plan,
            self.plan,
            self.protocol,
            observer,
            self.slots,
            saver,
            self.engine,
        )


def small_training(base: Base, kind: str, *, steps: int, rows: int, slots: int = 2) -> Training:
    """Two epochs of a method over ragged examples."""
    method = method_on(base, kind)
    protocol = ProtocolOptions(epochs=2, micro_batch_size=rows, grad_accum_steps=2, patience=None)
    plan = ragged_plan(
        steps=steps,
        rows_per_step=protocol.rows_per_step,
        max_length=96,
        vocabulary=base.vocabulary,
    )
    return Training(
        base=base, method=method, slots=slots_of(method, slots), plan=plan, protocol=protocol
    )

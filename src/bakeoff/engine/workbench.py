"""What a study works on, made ready once: base, data, methods, schedules."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

import numpy as np

from bakeoff.base.choice import BaseChoice
from bakeoff.base.model import Base
from bakeoff.base.precision import Precision
from bakeoff.data.batches import BatchPlan
from bakeoff.data.taskdata import SplitData, TaskData
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.entrants import Entrant
from bakeoff.engine.generation.generate import GenerationOptions
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.engine.slots import auto_slots, joined_rows, useful_slots
from bakeoff.methods.contract import Method
from bakeoff.methods.entries import MethodEntry
from bakeoff.metrics.contract import Ask, Metric
from bakeoff.ranks import ranks
from bakeoff.tasks.contract import Baseline, Task
from bakeoff.tasks.preparation.shots import ShotData
from bakeoff.types import SPLITS, Split

_ALSO: Final = "test set "
"""Before the name of a further test set, where its content is named."""


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """A further test set, on which candidates are tested and nothing else.

    Attributes:
        task: how its rows are laid out and scored. data: its rows. plan: their schedule.
        generation: how texts are written for it.
        max_drop: by metric what a recommended method may lose against the untuned base.
        methods: that are tested on it, besides the untuned base; None tests all.
        warnings: sentences for the user about its rows.
    """

    __test__ = False  # no class of tests, whatever its name begins with

    task: Task
    data: SplitData
    plan: BatchPlan
    generation: GenerationOptions
    max_drop: Mapping[str, float] = field(default_factory=dict)
    methods: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()

    def asks(self, method: str) -> bool:
        """Whether a method of the study is tested on it."""
        return self.methods is None or method in self.methods


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Subsets of the training rows on which the chosen settings are trained besides.

    Attributes:
        sizes: ascending, each below the number of training rows; none where nothing is asked.
        metrics: what is scored of them: the one that decides, first, and all that need no more.
    """

    sizes: tuple[int, ...] = ()
    metrics: tuple[Metric, ...] = ()

    @property
    def asks(self) -> frozenset[Ask]:
        """What the model is asked for."""
        return frozenset(metric.asks for metric in self.metrics)


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """A study with everything loaded.

    Attributes:
        name: the study's. base: that baselines and methods without a choice of their own use.
        bases: all held ones by choice; empty where there is but one.
        entries: its methods, in order, and ``methods`` the same on the base, by
            name, then by variant.
        slots: candidates in one training pass, or ``auto``.
        precision: what the study asks the base to compute in.
        baselines: what takes part without training. shots: the held-out sets with training rows
            before each prompt, where a baseline wants them.
        also: further test sets, by name. curve: the learning curve.
        entrants: from elsewhere, tested beside the methods.
        plans: the schedule of each split.
    """

    name: str
    base: Base
    data: TaskData
    entries: tuple[MethodEntry, ...]
    methods: Mapping[str, Mapping[str, Method]]
    task: Task
    protocol: ProtocolOptions
    generation: GenerationOptions
    engine: EngineOptions
    slots: int | Literal["auto"]
    precision: Precision
    baselines: tuple[Baseline, ...] = ()
    shots: ShotData | None = None
    also: Mapping[str, TestSet] = field(default_factory=dict)
    curve: LearningCurve = field(default_factory=LearningCurve)
    bases: Mapping[BaseChoice, Base] = field(default_factory=dict)
    entrants: tuple[Entrant, ...] = ()

    def base_of(self, choice: BaseChoice) -> Base:
        """The held base of a choice."""
        return self.bases.get(choice, self.base)

    @property
    def held_bases(self) -> tuple[Base, ...]:
        """All bases that are in memory, the study's own first."""
        return tuple(dict.fromkeys([self.base, *self.bases.values()]))

    @cached_property
    def plans(self) -> dict[Split, BatchPlan]:
        """One schedule per split, the same for all methods."""
        length = self.task.max_length
        return {split: self.plan_of(self.data.splits[split], length) for split in SPLITS}

    def plan_of(self, part: SplitData, max_length: int) -> BatchPlan:
        """The schedule of a split's rows, which have at most so many tokens."""
        return plan_of(part, max_length, self.task, self.base, self.protocol)

    @property
    def longest_answer(self) -> int:
        """Tokens that are written for one row at most; 1 where none is, but prompts are read."""
        return self.generation.max_new_tokens if Ask.TEXT in self.task.asks else 1

    def fingerprints(self) -> dict[str, str]:
        """What a resumed run must find as it was: base, tokenised data, device and precision."""
        held = [f"{self.base.device.type}, {self.base.compute_dtype}", self.base.choice.label]
        return {
            "base": self.base.source.fingerprint,
            "data": digest_of_data(self.data),
            "device and precision": ", ".join(filter(None, held)),
        }

    def also_fingerprints(self) -> dict[str, str]:
        """Of each further test set, what its scores rest on."""
        return {f"{_ALSO}{name}": _digest([found.data]) for name, found in self.also.items()}

    def num_slots(self, candidates: Sequence[Candidate]) -> int:
        """Slots of the cohort that trains these candidates, all of one execution path."""
        wanted = self.slots
        methods = [candidate.method for candidate in candidates]
        if wanted == "auto" or not methods[0].execution_path.shares_base:
            extra = max(m.extra_positions for m in methods)
            rows = self.protocol.micro_batch_size
            longest = rows * (self.task.max_length + extra)
            wanted = auto_slots(self.base, methods, longest, self._pass_tokens(extra))
        return min(len(candidates), wanted)

    def rows_of_pass(
        self,
        candidates: Sequence[Candidate],
        num_slots: int,
        protocol: ProtocolOptions | None = None,
    ) -> int:
        """Rows of each slot in the training passes of one group.

        Args:
            candidates: of one execution path. num_slots: of its widest pass, so that a narrower one
                has no other rows.
            protocol: that they train by; the study's without.
        """
        protocol = protocol or self.protocol
        # Memory is not forecast where several processes share a base.
        if not self.engine.join_micro_batches or ranks().count > 1:
            return protocol.micro_batch_size
        extra = max(candidate.method.extra_positions for candidate in candidates)
        return joined_rows(
            self.base.device,
            num_slots=num_slots,
            row_tokens=self.task.max_length + extra,
            micro_batch_size=protocol.micro_batch_size,
            grad_accum_steps=protocol.grad_accum_steps,
            num_rows=len(self.data.splits["train"]),
        )

    def useful_slots(self) -> int:
        """Slots that ``slots: auto`` gives at most, whatever memory there is."""
        return useful_slots(self.base.device, self._pass_tokens(0))

    def _pass_tokens(self, extra: int) -> float:
        """Tokens of one slot in one pass on average, with ``extra`` positions in each row."""
        plan = self.plans["train"]
        rows = min(self.protocol.micro_batch_size, plan.num_rows)
        return rows * (plan.tokens_padded / max(1, plan.num_rows) + extra)


def plan_of(
    part: SplitData, max_length: int, task: Task, base: Base, protocol: ProtocolOptions
) -> BatchPlan:
    """The schedule of a task's rows, which have at most ``max_length`` tokens."""
    return BatchPlan(
        part.tokens,
        part.is_target,
        rows_per_step=protocol.rows_per_step,
        max_length=max_length,
        pad_id=int(base.tokenizer.pad_token_id),
        fine_widths=task.fine_widths,
    )


def digest_of_data(data: TaskData) -> str:
    """Of all splits: what a run's folder keeps, and a later call must find."""
    return _digest(data.splits[split] for split in SPLITS)


def _digest(parts: Iterable[SplitData]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for ragged in (part.tokens, part.prompts):
            digest.update(np.ascontiguousarray(ragged.offsets).data)
            digest.update(np.ascontiguousarray(ragged.values).data)
        for array in (part.is_target, part.gold, part.choice_set):
            digest.update(np.ascontiguousarray(array).data)
        for choices in part.choice_sets:
            for ids in choices.tokens:
                digest.update(np.ascontiguousarray(ids).data)
    return digest.hexdigest()

"""What a study works on, made ready once: base, data, methods, schedules."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from bakeoff.base.model import Base
from bakeoff.base.precision import Precision
from bakeoff.data.batches import BatchPlan
from bakeoff.data.taskdata import SplitData, TaskData
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.generation.generate import GenerationOptions
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.engine.slots import auto_slots, useful_slots
from bakeoff.methods.contract import Method
from bakeoff.methods.entries import MethodEntry
from bakeoff.metrics.contract import Ask
from bakeoff.tasks.contract import Baseline, Task
from bakeoff.tasks.shots import ShotData
from bakeoff.types import SPLITS, Split


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """A study with everything loaded.

    Attributes:
        name: the study's. entries: its methods, in order, and ``methods`` the same on the base, by
            name, then by variant.
        slots: candidates in one training pass, or ``auto``.
        precision: what the study asks the base to compute in.
        baselines: what takes part without training. shots: the held-out sets with training rows
            before each prompt, where a baseline wants them.
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

    @cached_property
    def plans(self) -> dict[Split, BatchPlan]:
        """One schedule per split, the same for all methods."""
        length = self.task.options.max_length
        return {split: self.plan_of(self.data.splits[split], length) for split in SPLITS}

    def plan_of(self, part: SplitData, max_length: int) -> BatchPlan:
        """The schedule of a split's rows, which have at most so many tokens."""
        return BatchPlan(
            part.tokens,
            part.is_target,
            rows_per_step=self.protocol.rows_per_step,
            max_length=max_length,
            pad_id=int(self.base.tokenizer.pad_token_id),
            fine_widths=self.task.fine_widths,
        )

    @property
    def longest_answer(self) -> int:
        """Tokens that are written for one row at most; 1 where none is, but prompts are read."""
        return self.generation.max_new_tokens if Ask.TEXT in self.task.asks else 1

    def fingerprints(self) -> dict[str, str]:
        """What a resumed run must find as it was: base, tokenised data, device and precision."""
        digest = hashlib.sha256()
        for split in SPLITS:
            part = self.data.splits[split]
            for ragged in (part.tokens, part.prompts):
                digest.update(np.ascontiguousarray(ragged.offsets).data)
                digest.update(np.ascontiguousarray(ragged.values).data)
            for array in (part.is_target, part.gold, part.choice_set):
                digest.update(np.ascontiguousarray(array).data)
            for choices in part.choice_sets:
                for ids in choices.tokens:
                    digest.update(np.ascontiguousarray(ids).data)
        return {
            "base": self.base.source.fingerprint,
            "data": digest.hexdigest(),
            "device and precision": f"{self.base.device.type}, {self.base.compute_dtype}",
        }

    def num_slots(self, candidates: Sequence[Candidate]) -> int:
        """Slots of the cohort that trains these candidates, all of one execution path."""
        wanted = self.slots
        methods = [candidate.method for candidate in candidates]
        if wanted == "auto" or not methods[0].execution_path.shares_base:
            extra = max(m.extra_positions for m in methods)
            rows = self.protocol.micro_batch_size
            longest = rows * (self.task.options.max_length + extra)
            wanted = auto_slots(self.base, methods, longest, self._pass_tokens(extra))
        return min(len(candidates), wanted)

    def useful_slots(self) -> int:
        """Slots that ``slots: auto`` gives at most, whatever memory there is."""
        return useful_slots(self.base.device, self._pass_tokens(0))

    def _pass_tokens(self, extra: int) -> float:
        """Tokens of one slot in one pass on average, with ``extra`` positions in each row."""
        plan = self.plans["train"]
        rows = min(self.protocol.micro_batch_size, plan.num_rows)
        return rows * (plan.tokens_padded / max(1, plan.num_rows) + extra)

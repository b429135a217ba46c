"""What a study works on, made ready once: base, data, methods, schedules."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from bakeoff.base.model import Base
from bakeoff.base.precision import choose_device, choose_dtype
from bakeoff.base.weights.sources import load_source
from bakeoff.data.batches import BatchPlan
from bakeoff.data.prepare import prepare
from bakeoff.data.taskdata import TaskData
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.determinism import choose_algorithms
from bakeoff.engine.slots import auto_slots, useful_slots
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import Ground, Method
from bakeoff.search.schedule import MethodSearch, StudySchedule
from bakeoff.study.options import Study
from bakeoff.types import SPLITS, Split


def cache_folder() -> Path:
    """Where prepared data and converted bases are kept: ``BAKEOFF_CACHE``, else the user's."""
    named = os.environ.get("BAKEOFF_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bakeoff"


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """A study with everything loaded.

    Attributes:
        methods: by the study's names, then by variant. plans: the schedule of each split.
    """

    study: Study
    base: Base
    data: TaskData
    methods: Mapping[str, Mapping[str, Method]]

    @cached_property
    def plans(self) -> dict[Split, BatchPlan]:
        """One schedule a split, the same for all methods."""
        task, protocol = self.study.options.task, self.study.options.protocol
        return {
            split: BatchPlan(
                self.data.splits[split].prompts,
                self.data.splits[split].completions,
                rows_per_step=protocol.rows_per_step,
                max_length=task.max_length,
                pad_id=int(self.base.tokenizer.pad_token_id),
            )
            for split in SPLITS
        }

    def fingerprints(self) -> dict[str, str]:
        """What a resumed run must find as it was: base, tokenised data, device and precision."""
        digest = hashlib.sha256()
        for split in SPLITS:
            part = self.data.splits[split]
            for ragged in (part.prompts, part.completions, part.generation_prompts):
                digest.update(np.ascontiguousarray(ragged.offsets).data)
                digest.update(np.ascontiguousarray(ragged.values).data)
        return {
            "base": self.base.source.fingerprint,
            "data": digest.hexdigest(),
            "device and precision": f"{self.base.device.type}, {self.base.compute_dtype}",
        }

    def schedule(self) -> StudySchedule:
        """The study's first candidates, in its order; nothing is written down yet."""
        search, protocol = self.study.options.search, self.study.options.protocol
        return StudySchedule(
            [
                MethodSearch(
                    name=entry.name,
                    variants=dict(self.methods[entry.name]),
                    rates=entry.grid(search) if search else (entry.learning_rate,),
                    centre=None if entry.rates else entry.method_type.default_learning_rate,
                )
                for entry in self.study.entries
            ],
            protocol.seeds,
            protocol.epochs,
            search,
        )

    def num_slots(self, candidates: Sequence[Candidate]) -> int:
        """Slots of the cohort that trains these candidates, all of one ground."""
        wanted = self.study.options.slots
        methods = [candidate.method for candidate in candidates]
        if wanted == "auto" or methods[0].ground is Ground.OWN_BASE:
            extra = max(m.extra_positions for m in methods)
            rows = self.study.options.protocol.micro_batch_size
            longest = rows * (self.study.options.task.max_length + extra)
            wanted = auto_slots(self.base, methods, longest, self._pass_tokens(extra))
        return min(len(candidates), wanted)

    def useful_slots(self) -> int:
        """Slots that ``slots: auto`` gives at most, whatever memory there is."""
        return useful_slots(self.base.device, self._pass_tokens(0))

    def _pass_tokens(self, extra: int) -> float:
        """Tokens of one slot in one pass on average, with ``extra`` positions in each row."""
        plan = self.plans["train"]
        rows = min(self.study.options.protocol.micro_batch_size, len(plan.completions))
        return rows * (plan.tokens_padded / max(1, len(plan.completions)) + extra)


def load_base(study: Study, device: str, *, hollow: bool = False) -> Base:
    """Loads and prepares the study's base on a device; ``hollow`` takes its shapes alone."""
    options = study.options
    choose_algorithms(deterministic=options.engine.deterministic)
    source = load_source(
        options.base,
        root=study.root,
        cache_dir=cache_folder(),
        trust_remote_code=options.trust_remote_code,
        revision=options.revision,
        hollow=hollow,
    )
    if hollow:
        return Base(source, device=torch.device("cpu"), dtype=torch.float32, probe=False)
    place = choose_device(device)
    base = Base(source, device=place, dtype=choose_dtype(options.precision, place))
    base.may_capture = options.engine.cuda_graph is not False
    return base


def check_positions(study: Study, base: Base, methods: Mapping[str, Mapping[str, Method]]) -> None:
    """Holds lengths against the base's positions before anything is read.

    Raises:
        ConfigError: naming the option that asks for too many.
    """
    limit = base.max_positions
    if limit is None:
        return
    task, generation = study.options.task, study.options.generation
    if task.max_length > limit:
        raise ConfigError(
            f"task.max_length: {task.max_length} is more than the {limit} positions of "
            f"{study.options.base}; give at most {limit}"
        )
    prompt_room = task.max_length - task.max_summary_tokens + generation.max_new_tokens
    if prompt_room > limit:
        raise ConfigError(
            f"generation.max_new_tokens: {generation.max_new_tokens} after a prompt of up to "
            f"{task.max_length - task.max_summary_tokens} tokens needs {prompt_room} positions, "
            f"but {study.options.base} has {limit}; shorten it or lower task.max_length"
        )
    for name, method in ((n, m) for n, variants in methods.items() for m in variants.values()):
        needed = max(task.max_length, prompt_room) + method.extra_positions
        if needed > limit:
            raise ConfigError(
                f"methods.{name}.{method.length_option}: {method.extra_positions} positions before "
                f"{needed - method.extra_positions} tokens need {needed} positions, but "
                f"{study.options.base} has {limit}; shorten it or lower task.max_length"
            )


def prepare_data(study: Study, base: Base) -> TaskData:
    """Reads, cleans, cuts and tokenises the study's data, or takes them from the cache."""
    return prepare(
        study.options.task,
        base.tokenizer,
        root=study.root,
        cache_dir=cache_folder() / "data",
        tokenizer_id=study.options.base,
    )


def open_workbench(study: Study, device: str, *, hollow: bool = False) -> Workbench:
    """Loads everything; all errors of the study come before the first step of training.

    Args:
        study: what is loaded. device: where to.
        hollow: takes the base's shapes alone, which can be traced and not run.
    """
    base = load_base(study, device, hollow=hollow)
    methods = {entry.name: entry.build(base) for entry in study.entries}
    check_positions(study, base, methods)
    data = prepare_data(study, base)
    return Workbench(study=study, base=base, data=data, methods=methods)

"""bakeoff's side of the benchmarks: the engine, run as a study runs it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.base.weights.sources import Source, load_source
from bakeoff.data.batches import BatchPlan
from bakeoff.engine.acceleration import accelerated
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.engine.score import example_nlls, mean_nll
from bakeoff.engine.train import train_step
from bakeoff.execution.training_worker import open_batch_source
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.registry import method_type
from bakeoff.study.opening import cache_folder
from bakeoff.types import Quantization
from engines.measuring import Engine
from engines.memory import synchronize, taken_bytes
from engines.workload import LEARNING_RATE, SEED, Workload

METHODS: dict[str, dict[str, Any]] = {
    "head": {"kind": "head"},
    "head-tied": {"kind": "head", "tied": True},
    "lora": {"kind": "lora", "rank": 8, "alpha": 8, "target_modules": None},
    "lora-all": {"kind": "lora", "rank": 8, "alpha": 8, "target_modules": "all-linear"},
    "soft_prompt": {"kind": "soft_prompt", "prompt_length": 12},
    "full": {"kind": "full"},
}
"""The methods that have a plain rival, as a study writes them."""

Rows = list[list[int]]
Prompts = list[NDArray[np.int32]]


def load_source_of(reference: str) -> Source:
    """A base as it is loaded, which no engine has touched: its model is the rivals'."""
    return load_source(reference, root=Path.cwd(), cache_dir=cache_folder())


def load_base(reference: str, device: torch.device, dtype: torch.dtype) -> tuple[Base, int]:
    """The engine's base, and the bytes that came with it."""
    before = taken_bytes(device)
    base = Base(load_source_of(reference), device=device, dtype=dtype)
    return base, taken_bytes(device) - before


def held_base(
    folder: str, device: torch.device, dtype: torch.dtype, quantization: Quantization
) -> tuple[Base, int]:
    """A folder's base, read shard by shard as it is held, and the bytes that came with it."""
    source = load_source(folder, root=Path.cwd(), cache_dir=cache_folder(), lean=True)
    before = taken_bytes(device)
    base = Base(source, device=device, dtype=dtype, quantization=quantization)
    return base, taken_bytes(device) - before


def method_of(name: str, base: Base) -> Method:
    """One of ``METHODS`` on a base."""
    options = dict(METHODS[name])
    kind = method_type(options.pop("kind"), where="--method")
    return kind(kind.options_type(**options), base, where="--method")


def initial_tensors(method: Method, slot: int = 0) -> Tensors:
    """What a slot's candidate begins with; the first one's rivals begin with the same."""
    return method.initial(torch.Generator().manual_seed(SEED + slot))


class OurTraining(Engine):
    """Some slots of one method; on a GPU compiled and captured, as in a study, on a CPU as asked.

    Args:
        base: the base. base_bytes: what came with it.
        method: one of ``METHODS`` by its name, or any method on the base.
        slots: candidates in a pass, all with the same start and data.
        work: what they learn from.
        options: of the engine.
        rate: of learning.
        note: called if updates turn out not to be capturable.

    Attributes:
        method: the method on the base. graphs: what captures its updates; None where nothing does.
        trains_on_hidden_states: whether they are computed once. hidden_seconds: what that takes.
    """

    def __init__(
        self,
        base: Base,
        base_bytes: int,
        method: str | Method,
        slots: int,
        work: Workload,
        options: EngineOptions | None = None,
        rate: float = LEARNING_RATE,
        note: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(base.device)
        self.method = method_of(method, base) if isinstance(method, str) else method
        self.work, self.share, self.standing_bytes = work, slots, base_bytes
        plans = [plan for plan in (work.plan, work.validation) if plan is not None]
        self.trains_on_hidden_states = self.method.execution_path is ExecutionPath.HIDDEN_STATES
        if self.trains_on_hidden_states:
            self._warm_up(base)
        started = time.perf_counter()
        self.batch_source = open_batch_source(base, self.method.execution_path, plans, self._open)
        synchronize(base.device)
        self.hidden_seconds = time.perf_counter() - started
        protocol = ProtocolOptions(micro_batch_size=work.rows, weight_decay=0.01)
        self.cohort = Cohort(base, [self.method], slots, protocol)
        for slot in range(slots):
            self.cohort.seat(slot, self.method, initial_tensors(self.method))
        self._open.enter_context(self.cohort)
        longest = max(width for plan in plans for width in plan.widths)
        self.graphs = self._open.enter_context(
            accelerated(self.cohort, longest, options or EngineOptions(), note)
        )
        self._rates_K = torch.full((slots,), rate, dtype=torch.float64, device=base.device)

    def _warm_up(self, base: Base) -> None:
        """One pass, so that the hidden states' time is not that of a library's first call."""
        batch = self.work.plan.micro_batches(self.work.plan.epoch(SEED, 0)[0], 1)[0]
        with torch.no_grad(), Cohort(base, [], 1) as empty:
            empty.hidden_states(torch.from_numpy(batch.input_ids[None]).to(base.device))

    def step(self, index: int) -> float:
        """One update of all slots; returns the first slot's mean NLL."""
        return float(self.update(index)[0])

    def update(self, index: int) -> Tensor:
        """One update of all slots; returns their [K] mean NLLs, which nothing has waited for."""
        plan = self.work.plan
        steps = [plan.epoch(SEED, 0)[index]] * self.share
        nll_K, tokens_K = train_step(
            self.cohort, self.batch_source, plan, steps, self._rates_K, self.work.rows, self.graphs
        )
        return nll_K / tokens_K

    def evaluate(self, rows: int) -> float:
        """The first slot's mean NLL over the validation examples, in batches of ``rows``."""
        plan = self.work.validation
        assert plan is not None, "nothing to validate on"
        return mean_nll(example_nlls(self.cohort, 0, self.batch_source, plan, rows=rows), plan)


class OurWriter(Engine):
    """Greedy continuations by some slots of one method, or by the untuned base.

    Args:
        base: the base. base_bytes: what came with it.
        method: the slots' method; None is the untuned base.
        starts: each slot's tensors; one slot for the untuned base.
        prompts: what they continue.
        new_tokens: of each row, at most.
        rows: of each slot in a batch.
    """

    def __init__(
        self,
        base: Base,
        base_bytes: int,
        method: Method | None,
        starts: list[Tensors],
        prompts: Prompts,
        *,
        new_tokens: int,
        rows: int,
    ) -> None:
        super().__init__(base.device)
        self.share, self.standing_bytes, self.prompts = max(1, len(starts)), base_bytes, prompts
        self.cohort = Cohort(base, [] if method is None else [method], self.share)
        for slot, start in enumerate(starts):
            assert method is not None, "the untuned base has no tensors"
            self.cohort.seat(slot, method, start)
        self._open.enter_context(self.cohort)
        self._rows = rows
        self._options = GenerationOptions(
            max_new_tokens=new_tokens,
            no_repeat_ngram=0,
            batch_rows=rows * self.share,
        )

    def step(self, index: int) -> Rows:
        """The first slot's rows: of all prompts; step 0 writes the first batch alone."""
        prompts = self.prompts if index else self.prompts[: self._rows]
        return generate(self.cohort, list(range(self.share)), prompts, self._options)[0]

    def nll(self, plan: BatchPlan) -> float:
        """The first slot's mean NLL of a plan's completions."""
        sums = example_nlls(self.cohort, 0, TokenSource(self.device), plan)
        return mean_nll(sums, plan)

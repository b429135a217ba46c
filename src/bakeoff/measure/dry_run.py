"""One method alone through one pass of each kind, at the largest shapes that its study has.

The same passes are run for costs, where their memory is measured, and traced for a plan,
where it is predicted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from bakeoff.data.batches import BatchPlan, MicroBatch, Step
from bakeoff.engine.acceleration import accelerated
from bakeoff.engine.batch_source import BatchSource, HiddenStateSource, TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.generation.rows import power_of_two
from bakeoff.engine.step import train_step
from bakeoff.engine.workbench import Workbench
from bakeoff.methods.contract import ExecutionPath, Method, Tensors

Stage = Literal["seated", "training", "validation"]
_RATE = 1e-6


def dry_run(
    bench: Workbench,
    method: Method,
    rows: int,
    *,
    num_slots: int = 1,
    tensors: Tensors | None = None,
    done: Callable[[Stage], None] = lambda stage: None,
) -> bool:
    """Seats candidates of one method, makes their largest update and their largest validation.

    Args:
        bench: base and data. method: one of its methods.
        rows: of one micro-batch of one slot, and of one pass of validation.
        num_slots: candidates in the pass. tensors: see ``seated``.
        done: called after each stage.

    Returns:
        Whether updates run over buffers that stay, as they do where they are captured.
    """
    protocol, device = bench.protocol, bench.base.device
    batch_source = stand_in_batch_source(bench, method.execution_path)
    cohort = seated(bench, method, num_slots=num_slots, trains=True, tensors=tensors)
    done("seated")
    rates = torch.full((num_slots,), _RATE, dtype=torch.float64, device=device)
    plan = bench.plans["train"]
    step = widest_step(plan, protocol.seed_list[0], rows)
    longest = max(*plan.widths, *bench.plans["validation"].widths)
    with cohort, accelerated(cohort, longest, bench.engine) as graphs:
        train_step(cohort, batch_source, plan, [step] * num_slots, rates, rows, graphs)
        done("training")
        validation = bench.plans["validation"]
        with torch.no_grad(), cohort.only([0]):
            batch_source.losses(
                cohort, batch_source.pack(validation, [widest_batch(validation, rows)])
            )
        done("validation")
    return graphs is not None


def write_summaries(bench: Workbench, cohort: Cohort, rows: int, num_tokens: int) -> None:
    """Writes ``num_tokens`` tokens of summaries of the longest test documents.

    Args:
        bench: base and data. cohort: entered, of one slot.
        rows: documents in the one batch.
        num_tokens: of each summary, at most.
    """
    prompts = bench.data.splits["test"].prompts
    longest = np.argsort(prompts.lengths, kind="stable")[::-1][:rows]
    # Where rows are filled up to a power of two, all are still one batch.
    batch_rows = power_of_two(max(1, len(longest)))
    options = replace(bench.generation, max_new_tokens=num_tokens, batch_rows=batch_rows)
    generate(cohort, [0], [prompts[int(i)] for i in longest], options)


def seated(
    bench: Workbench,
    method: Method,
    *,
    num_slots: int = 1,
    trains: bool = False,
    tensors: Tensors | None = None,
) -> Cohort:
    """A cohort of candidates of one method; enter it to use it.

    Args:
        bench: base and data. method: one of its methods. num_slots: candidates.
        trains: whether they are to be trained.
        tensors: what an adapter keeps, which every candidate starts from; None draws fresh ones.
            What trains by more than its adapter keeps, such as a prompt's network, is drawn fresh
            where it trains.
    """
    protocol = bench.protocol
    cohort = Cohort(method.base, [method], num_slots, protocol if trains else None)
    if tensors is not None and trains and set(tensors) != set(method.shapes):
        tensors = None
    for slot in range(num_slots):
        generator = torch.Generator().manual_seed(protocol.seed_list[0])
        cohort.seat(slot, method, method.initial(generator) if tensors is None else tensors)
    return cohort


def stand_in_batch_source(bench: Workbench, execution_path: ExecutionPath) -> BatchSource:
    """The batch source of an execution path; hidden states are there, without meaning.

    Time and memory do not depend on them.
    """
    base = bench.base
    if not execution_path.reads_hidden_states:
        return TokenSource(base.device)
    plans = [bench.plans["train"], bench.plans["validation"]]
    kept = {
        plan: torch.full(
            (plan.num_targets, base.width),
            0.5,
            dtype=base.compute_dtype,
            device=base.device,
        )
        for plan in plans
    }
    return HiddenStateSource(kept, base.device)


def widest_step(plan: BatchPlan, seed: int, rows: int) -> Step:
    """One micro-batch of the first epoch's widest step."""
    step = max(plan.epoch(seed, 0), key=lambda step: (step.width, len(step.examples)))
    return Step(examples=step.examples[:rows], width=step.width)


def widest_batch(plan: BatchPlan, rows: int) -> MicroBatch:
    """The evaluation batch with the most tokens."""
    return max(plan.in_length_order(rows), key=lambda batch: batch.input_ids.size)

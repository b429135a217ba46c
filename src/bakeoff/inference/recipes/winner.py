"""Whose run a recipe is made of, and what it was trained with."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bakeoff.base.model import Base
from bakeoff.data.taskdata import SplitData
from bakeoff.decide.representative import representative
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.workbench import plan_of
from bakeoff.errors import ConfigError
from bakeoff.inference.finished import FinishedRun
from bakeoff.methods.contract import Method, Tensors
from bakeoff.runs.records import CandidateRecord
from bakeoff.study.crossing import BITS_PER_BYTE
from bakeoff.study.opening import prepare_data
from bakeoff.tasks.contract import NLL
from bakeoff.tasks.preparation.prepare import with_found


@dataclass(frozen=True, kw_only=True)
class Winner:
    """A candidate as another trainer would train it again.

    Attributes:
        id: its own. why: why it is this one, in a sentence.
        record: what came of it. method: with its options. protocol: with its searched options.
        train, validation: its rows. steps: of all its updates, the rows of each.
        updates: up to the epoch that was kept. schedule_updates: that the rate is laid over.
        max_length: of a row, in tokens.
    """

    id: str
    why: str
    record: CandidateRecord
    method: Method
    protocol: ProtocolOptions
    train: SplitData
    validation: SplitData
    steps: list[list[int]]
    updates: int
    schedule_updates: int
    max_length: int

    @property
    def base(self) -> Base:
        """What it was trained over."""
        return self.method.base

    def start(self) -> Tensors:
        """The tensors that its training began with."""
        return self.method.initial(torch.Generator().manual_seed(self.record.seed))


def winner_of(run: FinishedRun, candidate_id: str | None = None) -> Winner:
    """The run of the recommended method; without one, of the best on validation.

    Args:
        run: the study's. candidate_id: another candidate, by its id.

    Raises:
        ConfigError: there is no such candidate, or none that was trained here.
    """
    results = run.results
    why = f"{candidate_id} was named."
    if candidate_id is None:
        name, why = _chosen(run)
        candidate_id = representative(results, name, list(results.candidates))
    kept = run.candidate(candidate_id)
    run = run.of([kept.id])
    record = results.candidates[kept.id]
    protocol = run.study.options.protocol.under(record.options)
    task = with_found(run.study.task, run.results.task.found)
    methods = {entry.name: entry.build(run.base) for entry in run.study.entries}
    data = prepare_data(run.study, run.base, methods)
    train = data.splits["train"]
    plan = plan_of(train, task.max_length, task, run.base, protocol)
    steps = [
        step.examples.tolist()
        for epoch in range(protocol.epochs)
        for step in plan.epoch(record.seed, epoch)
    ]
    return Winner(
        id=kept.id,
        why=why,
        record=record,
        method=kept.method,
        protocol=protocol,
        train=train,
        validation=data.splits["validation"],
        steps=steps,
        updates=plan.num_steps * (record.best_epoch or protocol.epochs),
        schedule_updates=protocol.epochs * plan.num_steps,
        max_length=task.max_length,
    )


def _chosen(run: FinishedRun) -> tuple[str, str]:
    """(a method's name, why it is that one)."""
    results = run.results
    recommended = results.recommendation.method
    if recommended is not None and results.methods[recommended].external is None:
        return recommended, f"{recommended} is what the study recommends."
    metric = results.primary
    by, values = metric.name, _validation(run, metric.name)
    # Texts are not written for validation; and bases of different tokenizers have bytes alone.
    for other in (NLL, BITS_PER_BYTE):
        if len(found := _validation(run, other)) > len(values):
            by, values = other, found
    if not values:
        advice = (
            "name one with --candidate"
            if results.status == "complete"
            else "finish the study with `bakeoff run`"
        )
        raise ConfigError(
            f"{run.path}: no method that was trained here has a validation value; {advice}"
        )
    sign = -1.0 if by == metric.name and metric.higher_is_better else 1.0
    best = min(values, key=lambda name: sign * values[name])
    title = next((m.title for m in results.task.metrics if m.name == by), "NLL")
    missing = (
        "The study recommends no method"
        if recommended is None
        else f"The study recommends {recommended}, which was made elsewhere"
    )
    return best, f"{missing}; {best} is the best on validation, by {title}."


def _validation(run: FinishedRun, metric: str) -> dict[str, float]:
    """By method that was trained here and ended well, its mean on validation."""
    return {
        name: method.validation[metric].mean
        for name, method in run.results.methods.items()
        if method.external is None and method.state.is_eligible and metric in method.validation
    }

"""What a study will cost, said before anything is trained."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import torch

from bakeoff.base.devices import standing_for
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import ConfigError
from bakeoff.measure.cards import (
    ARITHMETIC_EFFICIENCY,
    BANDWIDTH_EFFICIENCY,
    LAUNCH_SECONDS,
    Card,
)
from bakeoff.measure.costs import GENERATION_ROWS
from bakeoff.measure.fit import Fit, available_for, fitted
from bakeoff.measure.held import HeldPlan, held_plans
from bakeoff.measure.needs import Need
from bakeoff.measure.power import PowerPlan
from bakeoff.measure.simulation import Simulation, simulate
from bakeoff.measure.time_estimate import (
    CurveWork,
    MethodSeconds,
    curve_work,
    epochs_at_most,
    wall_seconds,
)
from bakeoff.measure.timing import Budget, time_epoch, time_writing, token_latency
from bakeoff.measure.traced import Predictor, Writing, largest_batch
from bakeoff.runs.records import DataLengths
from bakeoff.search.schedule import StudySchedule

SAMPLE: Final = Budget(train=2.0, evaluation=0.7)

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class MethodPlan:
    """One method's costs; seconds are None where they are not known.

    Attributes:
        variant: of a method with searched options the one that trains most, which is planned for.
        peak_memory_bytes: of one candidate alone, the base included, as the results report it.
        slot_memory_bytes: what each candidate in a pass adds to the base.
        generation_memory_bytes: of one batch of summaries; a batch that is too large is halved.
        candidates: that the study begins with, and the seeds of what will be chosen.
        epochs: of all its candidates together, at most.
        slots: candidates that the study would seat in one pass. slots_that_fit: that memory holds.
        study_memory_bytes: with that many slots.
        fits_alone: with what one candidate of it fits, as a clause of a sentence.
        largest_micro_batch_size: that one candidate fits with, with all else as the study has it;
            None where not even one row does.
    """

    kind: str
    variant: str
    trainable_parameters: int
    adapter_bytes: int
    peak_memory_bytes: int
    slot_memory_bytes: int
    generation_memory_bytes: int
    epoch_seconds: Mapping[str, Any] | None
    generation_rows_per_second: float | None
    token_latency_seconds: float | None
    candidates: int
    epochs: int
    slots: int
    slots_that_fit: int
    study_memory_bytes: int
    fits: bool
    fits_alone: str
    largest_micro_batch_size: int | None


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Workers to plan for.

    Attributes:
        workers: how many. price: of one's hour. loss_rate: losses of one an hour.
    """

    workers: int
    price: float | None = None
    loss_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"--workers {self.workers}: is below 1; give how many there are")
        for name, value in (("--price", self.price), ("--loss-rate", self.loss_rate)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} {value}: is not a number of 0 or more; give one, as 2.5")


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """A whole study's costs.

    Attributes:
        device: what it is planned for: ``name``, ``precision``, ``available_bytes`` and, of a card
            that is not here, where its figures come from.
        basis: ``timed here``, or ``estimated`` from traced arithmetic and bytes.
        wall_seconds: of each part, at most; candidates that share a pass take less.
        remedy: the smallest change with which it would fit, or None where it fits.
        remedies: all of them, the smallest first.
        learning_curve: what it trains besides; its time is in ``wall_seconds``. None without one.
        schedule: how it goes on many workers, where that was asked for.
        power: what the design can say of the methods; None where nothing is known of the metric.
        lengths: of the rows, in tokens; None where they are not known.
        held: what it takes with its base in 16, 8 and 4 bits.
        notes: what the data hide, and methods that cannot be planned, which no other figure counts.
    """

    study: str
    base: str
    device: Mapping[str, Any]
    basis: str
    methods: Mapping[str, MethodPlan]
    wall_seconds: Mapping[str, float] | None
    fits: bool
    remedy: str | None
    remedies: tuple[str, ...] = ()
    learning_curve: CurveWork | None = None
    schedule: Simulation | None = None
    power: PowerPlan | None = None
    lengths: DataLengths | None = None
    held: tuple[HeldPlan, ...] = ()
    notes: tuple[str, ...] = ()

    def as_mapping(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def make_plan(
    bench: Workbench,
    schedule: StudySchedule,
    card: Card | None = None,
    *,
    load_seconds: float = 0.0,
    report: Report = lambda text: None,
    fleet: Fleet | None = None,
    compare_held: bool = False,
) -> StudyPlan:
    """Plans a study for this device, or for a card that is not here.

    Args:
        bench: what is planned; its base without values where there is a card.
        schedule: the study's candidates.
        card: what to plan for instead of what is here.
        load_seconds: that loading took, a part of the study's wall clock.
        report: called with what is being done.
        fleet: workers whose schedule is simulated, or None.
        compare_held: whether it is also planned with the base held in other ways.
    """
    predictor = predictor_for(bench, card)
    if card is None:
        available, profile = available_for(bench, predictor), None
    else:
        available = card.usable_bytes
        profile = replace(
            card.profile(),
            free_bytes=available - predictor.base_bytes,
            compute_dtype=predictor.base.compute_dtype,
        )
    # How many candidates and rows the study would take depends on the card as well.
    with standing_for(profile):
        report("tracing one step of each method")
        bench, needs, fit = fitted(bench, predictor, schedule, available)
        plan = _planned(
            bench, schedule, predictor, needs, fit, available, card, load_seconds, report, fleet
        )
        if compare_held:
            report("tracing the base in 16, 8 and 4 bits")
            plan = replace(plan, held=held_plans(bench, predictor, needs, available))
    return plan


def _planned(
    bench: Workbench,
    schedule: StudySchedule,
    predictor: Predictor,
    needs: Sequence[Need],
    fit: Fit,
    available: int,
    card: Card | None,
    load_seconds: float,
    report: Report,
    fleet: Fleet | None,
) -> StudyPlan:
    methods: dict[str, MethodPlan] = {}
    seconds: dict[str, MethodSeconds | None] = {}
    for need in needs:
        name = need.entry.name
        writing = predictor.writing(need.entry, need.label, largest_batch(bench))
        fits = need.alone.reserved_bytes + need.other_bases <= available
        if card is not None:
            seconds[name] = _estimated(bench, need, writing)
        elif fits:
            report(f"timing a few steps of {name}")
            seconds[name] = _timed(bench, need)
        else:
            seconds[name] = None
        methods[name] = _method_plan(
            bench, predictor, schedule, need, writing, seconds[name], available, fit
        )
    wall = wall_seconds(bench, schedule, needs, seconds, load_seconds)
    simulated = None
    if fleet is not None and wall is not None:
        report("simulating the schedule")
        simulated = simulate(
            bench,
            schedule,
            seconds,
            {need.entry.name: need.slots for need in needs},
            wall,
            workers=fleet.workers,
            price=fleet.price,
            loss_rate=fleet.loss_rate,
            is_card=card is not None,
            cores=_cores_for(bench) if card is None else math.inf,
        )
    return StudyPlan(
        schedule=simulated,
        study=bench.name,
        base=bench.base.source.description,
        device=_device(bench, predictor, available, card),
        basis="estimated" if card else "timed here",
        methods=methods,
        wall_seconds=wall,
        fits=not fit.remedies,
        remedy=next(iter(fit.remedies), None),
        remedies=fit.remedies,
        learning_curve=curve_work(bench, schedule) if bench.curve.sizes else None,
        notes=_notes(bench)
        + tuple(
            f"{name}: cannot be planned, and is not counted ({reason})"
            for name, reason in predictor.untraced.items()
        ),
    )


def _notes(bench: Workbench) -> tuple[str, ...]:
    if not bench.engine.recomputes:
        return ()
    return ("activations are computed again in the backward pass, a third more time",)


def predictor_for(bench: Workbench, card: Card | None = None) -> Predictor:
    """What traces the study's methods, for the device that is here or for a card."""
    if card is None:
        return Predictor(bench)
    dtype = card.half_dtype
    if bench.precision != "auto":
        dtype = getattr(torch, bench.precision)
    return Predictor(bench, dtype=dtype, gpu=card.profile(), cost=card.cost())


def _method_plan(
    bench: Workbench,
    predictor: Predictor,
    schedule: StudySchedule,
    need: Need,
    writing: Writing,
    seconds: MethodSeconds | None,
    available: int,
    fit: Fit,
) -> MethodPlan:
    method = bench.methods[need.entry.name][need.label]
    candidates, epochs = epochs_at_most(schedule, need.entry.name)
    fitting = need.fitting_slots(available)
    return MethodPlan(
        kind=need.entry.kind,
        variant=need.label,
        trainable_parameters=method.num_trainable,
        adapter_bytes=predictor.adapter_bytes(need.entry, need.label),
        peak_memory_bytes=need.alone.peak_bytes,
        slot_memory_bytes=need.alone.slot_bytes,
        generation_memory_bytes=writing.peak_bytes,
        epoch_seconds=seconds.epoch if seconds else None,
        generation_rows_per_second=seconds.rows_per_second if seconds else None,
        token_latency_seconds=seconds.latency if seconds else None,
        candidates=candidates,
        epochs=epochs,
        slots=need.slots,
        slots_that_fit=min(1, fitting) if not method.execution_path.shares_base else fitting,
        study_memory_bytes=need.bytes,
        fits=need.bytes <= available,
        fits_alone=fit.methods[need.entry.name].says,
        largest_micro_batch_size=fit.methods[need.entry.name].rows,
    )


def _timed(bench: Workbench, need: Need) -> MethodSeconds:
    method = bench.methods[need.entry.name][need.label]
    return MethodSeconds(
        epoch=time_epoch(bench, method, need.alone.rows, SAMPLE),
        rows_per_second=time_writing(bench, method, GENERATION_ROWS),
        latency=token_latency(bench, method),
    )


def _estimated(bench: Workbench, need: Need, writing: Writing) -> MethodSeconds:
    """Seconds from the roofline of the card that the predictor was made for."""
    train, validation = bench.plans["train"], bench.plans["validation"]
    alone, protocol = need.alone, bench.protocol
    rounds = train.tokens_padded / alone.tokens
    checks = validation.tokens_padded / alone.validation_tokens
    extra = 0.0
    if bench.methods[need.entry.name][need.label].execution_path.reads_hidden_states:
        # Its hidden states cost what reading the documents costs.
        tokens = train.tokens_padded + validation.tokens_padded
        extra = writing.first.seconds * tokens / max(1, _prompt_tokens(bench))
    training, validating = rounds * alone.training.seconds, checks * alone.validation.seconds
    rows, wanted = largest_batch(bench), bench.longest_answer
    batch_seconds = writing.first.seconds + (wanted - 1) * writing.further.seconds
    return MethodSeconds(
        epoch={
            "max": training + validating + extra,
            "mean": training + validating + extra / protocol.epochs,
            "train": training,
            "validation": validating,
            "first_epoch_extra": extra,
        },
        rows_per_second=rows / batch_seconds,
        latency=writing.further.seconds if wanted > 1 else None,
    )


def _prompt_tokens(bench: Workbench) -> int:
    """Padded tokens of the traced batch of documents."""
    lengths = bench.data.splits["test"].prompts.lengths
    return largest_batch(bench) * int(lengths.max())


def _cores_for(bench: Workbench) -> float:
    """Of this machine's cores, in such as one worker computes on; a GPU is a worker's own."""
    if bench.base.device.type != "cpu":
        return math.inf
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # there is none on macOS and Windows
        cores = os.cpu_count() or 1
    return max(1.0, cores / torch.get_num_threads())


def _device(
    bench: Workbench, predictor: Predictor, available: int, card: Card | None
) -> dict[str, Any]:
    device = bench.base.device
    here = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    content: dict[str, Any] = {
        "name": card.name if card else here,
        "precision": str(predictor.base.compute_dtype).removeprefix("torch."),
        "available_bytes": available,
    }
    if card is not None:
        content |= {
            "source": card.source,
            "arithmetic_efficiency": ARITHMETIC_EFFICIENCY,
            "bandwidth_efficiency": BANDWIDTH_EFFICIENCY,
            "launch_seconds": LAUNCH_SECONDS,
        }
    return content

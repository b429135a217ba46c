"""Timing every method several times over, in turns.

A machine is faster at one time than at another: other work, heat, the page cache. So the methods
take turns, each round begins with another of them, and what is reported of each is the median of
its turns with an interval (``repeated.py``). Within a turn, what is done once per study is not
counted: seating, warming up, compiling and capturing.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from transformers import PreTrainedModel

from bakeoff.base.choice import BaseChoice
from bakeoff.base.model import Base
from bakeoff.engine.backends.memory import free_bytes, is_out_of_memory, release_memory
from bakeoff.engine.compiling import compiled_or_written
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.plain import PlainBase, time_plain_epoch, why_not_plain
from bakeoff.measure.repeated import FEWEST, median_interval
from bakeoff.measure.timing import Budget, time_epoch, time_generation, token_latency
from bakeoff.methods.contract import Method, Tensors

GENERATION_ROWS: Final = 8
SAMPLE: Final = Budget()
"""Seconds that the samples of one method may take in all rounds together, at most."""
_NO_MODEL: Final = "the plain loop was not asked for"
_NO_ROOM: Final = "the card has no room for a second base beside the engine's"
_ROOM: Final = 1.1
"""Of what is needed: memory in pieces, and what is taken for a moment."""
_PARTS: Final = ("mean", "train", "validation", "first_epoch_extra")


@dataclass
class _Turns:
    """One kind of turn of one method: by the engine, or in a plain loop.

    Attributes:
        take: a turn, given a budget and where in the epoch it begins.
        startup: seconds of the last turn that were no samples. error: what ended them.
    """

    take: Callable[[Budget, float], None]
    startup: float = 0.0
    error: Exception | None = None


@dataclass
class _Method:
    """What is known of one method so far.

    Attributes:
        rows: of a micro-batch; halved where memory runs out.
        tensors: of its trained adapter, None for fresh ones.
        epochs, latencies, plain: of each turn. no_plain: why there is no plain loop.
    """

    method: Method
    rows: int
    adapter: Path | None
    tensors: Tensors | None
    no_plain: str | None
    epochs: list[dict[str, Any]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    rows_per_second: float | None = None
    plain: list[float] = field(default_factory=list)


def time_methods(
    bench: Workbench,
    names: Sequence[str],
    *,
    adapters: Mapping[str, Path] | None = None,
    plain_model: Callable[[], PreTrainedModel] | None = None,
    rows: Mapping[str, int] | None = None,
    peaks: Mapping[str, int] | None = None,
    seconds: float = math.inf,
    rounds: int = FEWEST,
    sample: Budget = SAMPLE,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, dict[str, Any]]:
    """Times methods in turns.

    Args:
        bench: the study, every method by its chosen setting.
        names: of the methods.
        adapters: folders of trained adapters; a method without one is timed with fresh tensors.
        plain_model: loads the base as Transformers has it; None measures no plain loop.
        rows: of each method's micro-batch, where they are not the study's.
        peaks: bytes of each method's peak, its base included; a card that does not hold another
            base beside the largest measures no plain loop.
        seconds: that all of it should take. Samples become shorter to keep to it, down to one step
            and one batch in each turn; every method has all its turns even so.
        rounds: turns of each method. sample: seconds of a method's samples in all rounds.
        clock: by which the time is kept.

    Returns:
        By name the timed figures of a ``CostRecord``, or ``error`` and ``traceback``.
    """
    deadline = clock() + seconds
    known, turns = _prepared(bench, names, adapters or {}, plain_model, rows or {}, peaks or {})
    for number in range(rounds):
        first = number % max(1, len(names))
        for place, name in enumerate([*names[first:], *names[:first]]):
            for kind in turns[name]:
                if kind.error is not None:
                    continue
                # As if all the others took as long, which makes up for those that took less.
                left = sum(len(turns[n]) for n in names) * (rounds - number)
                left -= place * len(turns[name])
                share = (deadline - clock()) / max(1, left) - kind.startup
                budget = _bounded(sample, share, rounds)
                before = clock()
                _tried(kind, budget, number / rounds)
                kind.startup = max(0.0, clock() - before - budget.train - budget.evaluation)
    return {name: _figures(known[name], turns[name]) for name in names}


def _prepared(
    bench: Workbench,
    names: Sequence[str],
    adapters: Mapping[str, Path],
    plain_model: Callable[[], PreTrainedModel] | None,
    rows: Mapping[str, int],
    peaks: Mapping[str, int],
) -> tuple[dict[str, _Method], dict[str, list[_Turns]]]:
    """Every method with its kinds of turns, the engine's first."""
    each: dict[BaseChoice, PlainBase] = {}
    known: dict[str, _Method] = {}
    turns: dict[str, list[_Turns]] = {}
    # It stays there in all turns, and would be in the way of the largest.
    has_room = has_room_for_another(bench.base, max(peaks.values(), default=0))
    for name in names:
        method, adapter = bench.methods[name][""], adapters.get(name)
        base = method.base
        if plain_model is not None and base.choice not in each:
            kind = base.choice.quantization
            each[base.choice] = PlainBase(plain_model, base.device, base.compute_dtype, kind)
        plain = each.get(base.choice)
        own = known[name] = _Method(
            method=method,
            rows=rows.get(name, bench.protocol.micro_batch_size),
            adapter=adapter,
            tensors=None if adapter is None else method.load(adapter),
            no_plain=_NO_MODEL if plain is None else why_not_plain(method, adapter),
        )
        if own.no_plain is None and not has_room:
            own.no_plain = _NO_ROOM
        turns[name] = [_Turns(take=_Turn(bench, own))]
        if plain is not None and own.no_plain is None:
            turns[name].append(_Turns(take=_PlainTurn(bench, own, plain)))
    return known, turns


def has_room_for_another(base: Base, peak_bytes: int) -> bool:
    """Whether a second base stays on the device while a method trains, with nothing made smaller.

    Args:
        base: which is there, and nothing else. peak_bytes: of the method, the base included.
    """
    # Another base, and what the method takes beside its own: together its peak once more.
    return base.device.type != "cuda" or free_bytes(base.device) >= _ROOM * peak_bytes


class _Turn:
    """A turn by the engine: a sample of an epoch, the latency, and once the speed of writing."""

    def __init__(self, bench: Workbench, own: _Method) -> None:
        self.bench, self.own = bench, own

    def __call__(self, budget: Budget, start: float) -> None:
        bench, own = self.bench, self.own

        def timed(rows: int) -> dict[str, Any]:
            # What could not be compiled is not tried again in the next turn.
            self.bench, found = compiled_or_written(
                self.bench,
                lambda study: time_epoch(
                    study, own.method, rows, budget, tensors=own.tensors, start=start
                ),
            )
            return found

        epoch = _fitting(own, timed)
        if own.rows_per_second is None:
            own.rows_per_second = time_generation(bench, own.method, GENERATION_ROWS, own.tensors)
        latency = token_latency(bench, own.method, own.tensors, document=len(own.epochs))
        own.epochs.append(epoch)
        if latency is not None:
            own.latencies.append(latency)


class _PlainTurn:
    """A turn in the plain loop: a sample of an epoch."""

    def __init__(self, bench: Workbench, own: _Method, plain: PlainBase) -> None:
        self.bench, self.own, self.plain = bench, own, plain

    def __call__(self, budget: Budget, start: float) -> None:
        bench, own = self.bench, self.own
        assert own.adapter is not None  # else there is no such turn
        with self.plain.tuned(own.adapter) as model:
            own.plain.append(time_plain_epoch(bench, model, own.rows, budget, start=start))


def _fitting(own: _Method, work: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    """What ``work`` gives with as many rows as memory holds, halving them where it does not."""
    while True:
        try:
            return work(own.rows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or own.rows == 1:
                raise
        release_memory()
        own.rows //= 2


def _tried(kind: _Turns, budget: Budget, start: float) -> None:
    try:
        kind.take(budget, start)
    except Exception as error:  # whatever it is, the others go on
        kind.error = error
        release_memory()


def _bounded(sample: Budget, share: float, rounds: int) -> Budget:
    """A turn's part of the sample, or less where its share of the time is less."""
    whole = sample.train + sample.evaluation
    part = min(whole / rounds, max(0.0, share))
    if whole == 0.0:
        return sample
    return Budget(train=part * sample.train / whole, evaluation=part * sample.evaluation / whole)


def _figures(own: _Method, turns: Sequence[_Turns]) -> dict[str, Any]:
    """The timed figures of a ``CostRecord``."""
    error = turns[0].error
    if error is not None:
        shown = "".join(traceback.format_exception(error))
        return {"error": f"{type(error).__name__}: {error}", "traceback": shown}
    no_plain = own.no_plain
    if len(turns) > 1 and turns[1].error is not None:
        no_plain = f"{type(turns[1].error).__name__}: {turns[1].error}"
    means = median_interval([epoch["mean"] for epoch in own.epochs])
    epoch: dict[str, Any] = {key: median(e[key] for e in own.epochs) for key in _PARTS}
    steps = own.epochs[0]["epoch_steps"]
    return {
        "epoch_seconds": {
            **epoch,
            "mean": means[0],
            "low": means[1],
            "high": means[2],
            "max": max(e["train"] + e["validation"] + e["first_epoch_extra"] for e in own.epochs),
            "measured_steps": min(steps, sum(e["measured_steps"] for e in own.epochs)),
            "epoch_steps": steps,
        },
        "token_latency_seconds": _estimate(own.latencies),
        "generation_rows_per_second": own.rows_per_second,
        "plain_epoch_seconds": None if no_plain else _estimate(own.plain),
        "no_plain_reason": no_plain,
        "micro_batch_size": own.rows,
        "repeats": len(own.epochs),
    }


def _estimate(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    middle, low, high = median_interval(values)
    return {"mean": middle, "low": low, "high": high}

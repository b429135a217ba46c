"""What a study's base takes in 16, 8 and 4 bits, and which cards hold it so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bakeoff.engine.workbench import Workbench
from bakeoff.measure.cards import CARDS
from bakeoff.measure.needs import Need
from bakeoff.measure.quantizing import predictor_over
from bakeoff.measure.traced import Predictor
from bakeoff.types import Quantization

_ALL: Final[tuple[Quantization, ...]] = ("none", "int8", "nf4")


@dataclass(frozen=True, kw_only=True)
class HeldPlan:
    """One way to hold the base.

    Attributes:
        quantization: of the linear layers. precision: of everything else.
        base_bytes: of the weights.
        method: that takes most of those that can be trained so.
        peak_memory_bytes: of one candidate of it alone, in training, the base included.
        left: the share of the memory planned for that stays free; below zero where it does not fit.
        cards: known cards that hold it, by the same trace; none where no card is planned for.
    """

    quantization: Quantization
    precision: str
    base_bytes: int
    method: str
    peak_memory_bytes: int
    left: float
    cards: tuple[str, ...]


def held_plans(
    bench: Workbench, predictor: Predictor, needs: Sequence[Need], available: int
) -> tuple[HeldPlan, ...]:
    """Every way to hold the study's base, each traced with the method that takes most.

    Args:
        bench: the study; of its base the shapes alone are asked. predictor: of it.
        needs: of its methods. available: bytes that it is planned for.
    """
    found = []
    for kind in _ALL:
        able = [need for need in needs if kind == "none" or not need.entry.spec.whole_base]
        if able:
            found.append(_held(bench, predictor, kind, able, available))
    return tuple(found)


def _held(
    bench: Workbench,
    predictor: Predictor,
    kind: Quantization,
    able: Sequence[Need],
    available: int,
) -> HeldPlan:
    most = max(able, key=lambda need: need.alone.slot_bytes + need.alone.beside_bytes)
    alone = most.alone
    method = bench.methods[most.entry.name][most.label]
    if method.base.choice.quantization != kind:
        other = predictor_over(bench, predictor, kind)
        alone = other.training(most.entry, most.label, alone.rows)
    needed = alone.reserved_bytes
    fits = [card.name for card in CARDS.values() if card.usable_bytes >= needed]
    return HeldPlan(
        quantization=kind,
        precision=str(predictor.base.compute_dtype).removeprefix("torch."),
        base_bytes=alone.base_bytes,
        method=most.entry.name,
        peak_memory_bytes=alone.peak_bytes,
        left=1 - needed / available,
        cards=tuple(fits) if predictor.gpu is not None else (),
    )

"""What one method of a study needs of memory, and how many of its rows fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bakeoff.engine.workbench import Workbench
from bakeoff.measure.traced import Prediction
from bakeoff.methods.entries import MethodEntry


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one method of a study needs.

    Attributes:
        entry: the method. label: of the variant that trains most.
        alone: one candidate of it, alone.
        joined: the same with the micro-batches that share a pass in training; None where none do.
        slots: the candidates that the study would seat in one pass.
        other_bases: bytes of bases that the study holds for other methods.
        neighbour_bytes: what each slot holds besides, for the kinds of methods that share the pass.
    """

    entry: MethodEntry
    label: str
    alone: Prediction
    slots: int
    other_bases: int = 0
    neighbour_bytes: int = 0
    joined: Prediction | None = None

    @property
    def training(self) -> Prediction:
        """One candidate in a pass as training has it."""
        return self.joined or self.alone

    @property
    def bytes(self) -> int:
        """At the peak of training, all bases included."""
        slots = self.slots * (self.training.slot_bytes + self.neighbour_bytes)
        return self.bases_bytes + slots + self.training.beside_bytes

    @property
    def bases_bytes(self) -> int:
        """Of all bases that the study holds."""
        return self.alone.base_bytes + self.other_bases

    def fitting_slots(self, available: int) -> int:
        """Candidates of this method in one pass that the memory holds; zero where none fits."""
        room = available - self.bases_bytes - self.alone.beside_bytes
        if room < self.alone.slot_bytes:
            return 0
        # One candidate alone has no neighbours.
        return max(1, room // max(1, self.alone.slot_bytes + self.neighbour_bytes))


def neighbours_of(together: Sequence[Need], *, is_eager: bool) -> dict[str, int]:
    """What each slot of a pass holds for kinds of methods that it does not seat.

    Every slot has room for a candidate of every kind of its pass. Where that is compiled or
    captured, each kind also acts on every slot, and keeps what its gradients need.

    Args:
        together: the methods of one pass. is_eager: whether each acts on its own slots alone.

    Returns:
        Bytes by the method's name.
    """
    held: dict[str, int] = {}
    acting: dict[str, int] = {}
    for need in together:
        kind, one = need.entry.kind, need.training
        held[kind] = max(held.get(kind, 0), one.held_bytes)
        acting[kind] = max(acting.get(kind, 0), one.slot_bytes - one.held_bytes)
    shared = 0 if is_eager else min(acting.values(), default=0)
    found = {}
    for need in together:
        others = [kind for kind in held if kind != need.entry.kind]
        found[need.entry.name] = sum(held[kind] for kind in others)
        if not is_eager:
            found[need.entry.name] += sum(acting[kind] - shared for kind in others)
    return found


def most_rows(reserved: Callable[[int], int], size: int, available: int) -> int | None:
    """Rows of the largest micro-batch that fits: the study's, or the half, or its half, ...

    One row and all are traced; memory grows evenly with rows, so that what lies between is first
    guessed and then traced until it fits.

    Args:
        reserved: bytes that so many rows take, traced. size: rows that the study has.

    Returns:
        None where not even one fits.
    """
    one = reserved(1)
    if one > available:
        return None
    if size == 1:
        return 1
    whole = reserved(size)
    if whole <= available:
        return size
    a_row = max(1.0, (whole - one) / (size - 1))
    rows = size // 2
    while rows > 1 and one + a_row * (rows - 1) > available:
        rows //= 2
    while rows > 1 and reserved(rows) > available:
        rows //= 2
    return max(1, rows)


def recomputing_of(bench: Workbench) -> Workbench:
    """The study with recomputed activations."""
    return _with_engine(bench, gradient_checkpointing=True)


def compiled(bench: Workbench) -> Workbench:
    """The study with compiled layers."""
    return _with_engine(bench, compile=True)


def unjoined(bench: Workbench) -> Workbench:
    """The study with one micro-batch in a pass."""
    return _with_engine(bench, join_micro_batches=False)


def _with_engine(bench: Workbench, **options: bool) -> Workbench:
    changed = replace(bench, engine=replace(bench.engine, **options))
    changed.__dict__["plans"] = bench.plans
    return changed

"""What one method of a study needs of memory."""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.measure.traced import Prediction
from bakeoff.methods.entries import MethodEntry


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one method of a study needs.

    Attributes:
        entry: the method. label: of the variant that trains most.
        alone: one candidate of it, alone.
        slots: the candidates that the study would seat in one pass.
        other_bases: bytes of bases that the study holds for other methods.
    """

    entry: MethodEntry
    label: str
    alone: Prediction
    slots: int
    other_bases: int = 0

    @property
    def bytes(self) -> int:
        """At the peak of training, all bases included."""
        alone = self.alone
        return self.bases_bytes + self.slots * alone.slot_bytes + alone.beside_bytes

    @property
    def bases_bytes(self) -> int:
        """Of all bases that the study holds."""
        return self.alone.base_bytes + self.other_bases

    def fitting_slots(self, available: int) -> int:
        """Candidates of this method in one pass that the memory holds; zero where none fits."""
        room = available - self.bases_bytes - self.alone.beside_bytes
        return max(0, room // max(1, self.alone.slot_bytes))

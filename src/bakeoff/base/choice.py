"""Which held base a candidate trains on.

A study may hold more than one: its base in 16 bits and in 4, say. Candidates of one choice may
share a pass, and nothing else about a base decides that, so that packing and workers go by this
value alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bakeoff.types import Quantization


@dataclass(frozen=True, kw_only=True)
class BaseChoice:
    """One of a study's held bases.

    Attributes:
        quantization: in what its linear layers are held.
    """

    quantization: Quantization = "none"

    @property
    def label(self) -> str:
        """Its part of a group's name in what is saved; empty for the base as it is."""
        return "" if self.quantization == "none" else f"quantization={self.quantization}"


THE_BASE: Final = BaseChoice()
"""The base as it is."""

"""AdamW's two moments of K slots: in float32, or in blocks of 8 bits.

Eight bits are block-wise dynamic quantisation as bitsandbytes' ``AdamW8bit`` has it: blocks of 256
numbers share a scale, which is their largest magnitude, and each number is the nearest of 256
values between -1 and 1 (0 and 1 for the second moment), which lie closer near zero.

Source: Dettmers et al. 2022, arXiv:2110.02861, sections 2.1 and 2.2; the values are those of
bitsandbytes' ``create_dynamic_map``.

Axis letters: ``K`` slots, ``n`` numbers of a slot, ``m`` of a part of them, ``b`` blocks.
"""

from __future__ import annotations

from functools import cache
from typing import Final, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

BLOCK: Final = 256
_EXPONENT_BITS: Final = 7


class Moment(Protocol):
    """One moment of all slots."""

    def read(self, slots: slice, numbers: slice, scratch: Tensor) -> Tensor:
        """[K, m] float32 of some numbers of some slots; ``scratch`` is [K, m] of any content."""

    def write(self, slots: slice, numbers: slice, value_Km: Tensor, updates_K: Tensor) -> None:
        """Takes up what ``read`` gave once it is changed, of the slots that update ([K] bool)."""

    def reset(self, slot: int) -> None:
        """Zeros of one slot."""

    def rows(self, slot: int) -> dict[str, Tensor]:
        """What is held of one slot, as rows of [n] by what they are; may be copies."""

    def set_rows(self, slot: int, rows: dict[str, Tensor]) -> None:
        """Takes up what ``rows`` gave."""


class WholeMoment:
    """Float32.

    Attributes:
        values_Kn: [K, n].
    """

    def __init__(self, num_slots: int, num_values: int, device: torch.device) -> None:
        self.values_Kn = torch.zeros((num_slots, num_values), device=device)

    def read(self, slots: slice, numbers: slice, scratch: Tensor) -> Tensor:
        """A view, which is changed in place."""
        return self.values_Kn[slots, numbers]

    def write(self, slots: slice, numbers: slice, value_Km: Tensor, updates_K: Tensor) -> None:
        """Nothing is left to do."""

    def reset(self, slot: int) -> None:
        """See ``Moment``."""
        self.values_Kn[slot] = 0

    def rows(self, slot: int) -> dict[str, Tensor]:
        """See ``Moment``."""
        return {"": self.values_Kn[slot]}

    def set_rows(self, slot: int, rows: dict[str, Tensor]) -> None:
        """See ``Moment``."""
        if rows[""].data_ptr() != self.values_Kn[slot].data_ptr():
            self.values_Kn[slot].copy_(rows[""])


class EightBitMoment:
    """A byte a number and a float32 scale a block.

    A byte counts from the value zero on, so that zeros are what an empty slot has.
    """

    def __init__(
        self, num_slots: int, num_values: int, device: torch.device, *, is_signed: bool
    ) -> None:
        self._num_values = num_values
        blocks = -(-num_values // BLOCK)
        self._codes_Kn = torch.zeros((num_slots, blocks * BLOCK), dtype=torch.uint8, device=device)
        self._scale_Kb = torch.zeros((num_slots, blocks), device=device)
        values = dynamic_values(is_signed=is_signed)
        with _disable_current_modes():
            between = (values[1:] + values[:-1]) / 2
            self._zero = values.tolist().index(0.0)
        self._values, self._between = values.to(device), between.to(device)

    def read(self, slots: slice, numbers: slice, scratch: Tensor) -> Tensor:
        """See ``Moment``; the numbers start where a block starts."""
        codes_Km, scale_Kb = self._blocks_of(slots, numbers)
        return scratch.copy_(self._unpacked(codes_Km, scale_Kb)[:, : scratch.shape[1]])

    def _blocks_of(self, slots: slice, numbers: slice) -> tuple[Tensor, Tensor]:
        """The codes, to the end of the last block, and the scales, as views."""
        blocks = slice(numbers.start // BLOCK, -(-numbers.stop // BLOCK))
        codes = slice(numbers.start, blocks.stop * BLOCK)
        return self._codes_Kn[slots, codes], self._scale_Kb[slots, blocks]

    def _unpacked(self, codes_Km: Tensor, scale_Kb: Tensor) -> Tensor:
        index_Km = (codes_Km.int() + self._zero).remainder(256)
        parts_KbB = self._values[index_Km].unflatten(1, (-1, BLOCK)) * scale_Kb[..., None]
        whole_Km: Tensor = parts_KbB.flatten(1)
        return whole_Km

    def write(self, slots: slice, numbers: slice, value_Km: Tensor, updates_K: Tensor) -> None:
        """See ``Moment``: packing again what was unpacked would move the others."""
        own_Km, own_Kb = self._blocks_of(slots, numbers)
        missing = own_Km.shape[1] - value_Km.shape[1]
        codes_Km, scale_Kb = self._packed(torch.nn.functional.pad(value_Km, (0, missing)))
        updates_K1 = updates_K[:, None]
        own_Km.copy_(torch.where(updates_K1, codes_Km, own_Km))
        own_Kb.copy_(torch.where(updates_K1, scale_Kb, own_Kb))

    def _packed(self, value_Km: Tensor) -> tuple[Tensor, Tensor]:
        parts_KbB = value_Km.unflatten(1, (-1, BLOCK))
        scale_Kb = parts_KbB.abs().amax(dim=-1)
        # A block of zeros has no scale, and its numbers are zeros.
        shares_KbB = parts_KbB / scale_Kb.clamp(min=torch.finfo(torch.float32).tiny)[..., None]
        index_KbB = torch.bucketize(shares_KbB, self._between, out_int32=True)
        # What is nearest to zero keeps its sign, as in bitsandbytes; and a second moment that would
        # become zero would divide the first by epsilon alone.
        is_lost = (index_KbB == self._zero) & (shares_KbB != 0)
        step = torch.where(shares_KbB > 0, 1, -1).int()
        index_KbB = torch.where(is_lost, index_KbB + step, index_KbB)
        codes_KbB = (index_KbB - self._zero).remainder(256).to(torch.uint8)
        return codes_KbB.flatten(1), scale_Kb

    def reset(self, slot: int) -> None:
        """See ``Moment``."""
        self._codes_Kn[slot] = 0
        self._scale_Kb[slot] = 0

    def rows(self, slot: int) -> dict[str, Tensor]:
        """Each number's byte, and the scale of its block: both have a place where a tensor is cut
        to its candidate's own size."""
        scale_n = self._scale_Kb[slot].repeat_interleave(BLOCK)[: self._num_values]
        return {"_codes": self._codes_Kn[slot, : self._num_values].clone(), "_scales": scale_n}

    def set_rows(self, slot: int, rows: dict[str, Tensor]) -> None:
        """See ``Moment``: to the bit where each block holds what it held, else packed again."""
        missing = self._codes_Kn.shape[1] - self._num_values
        pad = torch.nn.functional.pad
        codes_bB = pad(rows["_codes"], (0, missing)).unflatten(0, (-1, BLOCK))
        scale_bB = pad(rows["_scales"], (0, missing)).unflatten(0, (-1, BLOCK))
        top_b = scale_bB.amax(dim=1)
        low_b = scale_bB.masked_fill(scale_bB == 0, float("inf")).amin(dim=1)
        index_bB = (codes_bB.int() + self._zero).remainder(256)
        again_n, scale_b = self._packed((self._values[index_bB] * scale_bB).flatten()[None])
        is_same_b = (top_b == low_b) | (top_b == 0)
        self._scale_Kb[slot] = torch.where(is_same_b, top_b, scale_b[0])
        again_bB = again_n[0].unflatten(0, (-1, BLOCK))
        self._codes_Kn[slot] = torch.where(is_same_b[:, None], codes_bB, again_bB).flatten()


@cache
def dynamic_values(*, is_signed: bool) -> Tensor:
    """[256] float32, rising: the values that a byte of a moment can mean."""
    # Numbers in a trace too, whose tensors have none.
    with _disable_current_modes():
        found = [0.0, 1.0]
        for exponent in range(_EXPONENT_BITS):
            steps = 2 ** (exponent if is_signed else exponent + 1)
            edges = torch.linspace(0.1, 1, steps + 1, dtype=torch.float32)
            means = (edges[:-1] + edges[1:]) / 2.0
            scaled = (10 ** (exponent - _EXPONENT_BITS + 1) * means).tolist()
            found += scaled + ([-value for value in scaled] if is_signed else [])
        return torch.tensor(sorted(found), dtype=torch.float32)

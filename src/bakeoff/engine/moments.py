"""AdamW's two moments of K slots: in float32, or in blocks of 8 bits.

Eight bits are block-wise dynamic quantisation as bitsandbytes' ``AdamW8bit`` has it: blocks of 256
numbers share a scale, which is their largest magnitude, and each number is the nearest of 256
values between -1 and 1 (0 and 1 for the second moment), which lie closer near zero.

Source: Dettmers et al. 2022, arXiv:2110.02861, sections 2.1 and 2.2; the values are those of
bitsandbytes' ``create_dynamic_map``.

Axis letters: ``K`` slots, ``n`` numbers of a slot, ``m`` of a part of them, ``b`` blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

BLOCK: Final = 256
NUM_SPARE: Final = 3
"""Temporary tensors of the size of a block that packing takes."""
_EXPONENT_BITS: Final = 7


class Moment(Protocol):
    """One moment of all slots."""

    def read(self, slots: slice, numbers: slice, own: Tensor, spare: Sequence[Tensor]) -> Tensor:
        """[K, m] float32 of some numbers of some slots.

        Nothing is allocated, here and in ``write``: an update that has begun must come to its end.

        Args:
            slots, numbers: which.
            own: flat float32 of any content, for the numbers and what fills their last block up;
                left alone until ``write``.
            spare: ``NUM_SPARE`` more of it, for the call alone.
        """

    def write(
        self,
        slots: slice,
        numbers: slice,
        own: Tensor,
        updates_K: Tensor,
        spare: Sequence[Tensor],
    ) -> None:
        """Takes up what ``read`` gave once it is changed, of the slots that update ([K] bool).

        Args:
            slots, numbers, own, spare: as for ``read``.
        """

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

    def read(self, slots: slice, numbers: slice, own: Tensor, spare: Sequence[Tensor]) -> Tensor:
        """A view, which is changed in place."""
        return self.values_Kn[slots, numbers]

    def write(
        self,
        slots: slice,
        numbers: slice,
        own: Tensor,
        updates_K: Tensor,
        spare: Sequence[Tensor],
    ) -> None:
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

    def read(self, slots: slice, numbers: slice, own: Tensor, spare: Sequence[Tensor]) -> Tensor:
        """See ``Moment``; the numbers start where a block starts."""
        codes_Km, scale_Kb = self._blocks_of(slots, numbers)
        whole_Km = _shaped(own, codes_Km)
        index_Km = _shaped(spare[0].view(torch.int32), codes_Km).copy_(codes_Km)
        index_Km.add_(self._zero).remainder_(256)
        torch.index_select(self._values, 0, index_Km.flatten(), out=whole_Km.view(-1))
        whole_Km.unflatten(1, (-1, BLOCK)).mul_(scale_Kb[..., None])
        return whole_Km[:, : numbers.stop - numbers.start]

    def _blocks_of(self, slots: slice, numbers: slice) -> tuple[Tensor, Tensor]:
        """The codes, to the end of the last block, and the scales, as views."""
        blocks = slice(numbers.start // BLOCK, -(-numbers.stop // BLOCK))
        codes = slice(numbers.start, blocks.stop * BLOCK)
        return self._codes_Kn[slots, codes], self._scale_Kb[slots, blocks]

    def write(
        self,
        slots: slice,
        numbers: slice,
        own: Tensor,
        updates_K: Tensor,
        spare: Sequence[Tensor],
    ) -> None:
        """See ``Moment``: packing again what was unpacked would move the others."""
        codes_Km, own_Kb = self._blocks_of(slots, numbers)
        shares, index, other = spare
        parts_KbB = _shaped(own, codes_Km).unflatten(1, (-1, BLOCK))
        scale_Kb, least_Kb = (_shaped(flat, own_Kb) for flat in (other, other[own_Kb.numel() :]))
        torch.linalg.vector_norm(parts_KbB, torch.inf, dim=-1, out=scale_Kb)
        # A block of zeros has no scale, and its numbers are zeros.
        torch.clamp(scale_Kb, min=torch.finfo(torch.float32).tiny, out=least_Kb)
        shares_KbB = _shaped(shares, parts_KbB)
        torch.div(parts_KbB, least_Kb[..., None], out=shares_KbB)
        updates_K1 = updates_K[:, None]
        own_Kb.copy_(torch.where(updates_K1, scale_Kb, own_Kb, out=least_Kb))
        index_KbB = _shaped(index.view(torch.int32), parts_KbB)
        torch.bucketize(shares_KbB, self._between, out_int32=True, out=index_KbB)
        # What is nearest to zero keeps its sign, as in bitsandbytes; and a second moment that would
        # become zero would divide the first by epsilon alone.
        is_kept_KbB = _shaped(other.view(torch.bool), parts_KbB)
        torch.ne(index_KbB, self._zero, out=is_kept_KbB)
        step_KbB = shares_KbB.sign_().masked_fill_(is_kept_KbB, 0.0)
        index_KbB.add_(_shaped(other.view(torch.int32), parts_KbB).copy_(step_KbB))
        found_Km = index_KbB.sub_(self._zero).remainder_(256).flatten(1)
        kept_Km = _shaped(other.view(torch.int32), codes_Km).copy_(codes_Km)
        codes_Km.copy_(torch.where(updates_K1, found_Km, kept_Km, out=kept_Km))

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
        index_bB = (codes_bB.int() + self._zero).remainder(256)
        values_n = (self._values[index_bB] * scale_bB).flatten()
        spare = [torch.empty_like(values_n) for _ in range(NUM_SPARE)]
        updates_K = torch.ones(1, dtype=torch.bool, device=values_n.device)
        whole = slice(0, self._num_values)
        self.write(slice(slot, slot + 1), whole, values_n, updates_K, spare)
        top_b = scale_bB.amax(dim=1)
        low_b = scale_bB.masked_fill(scale_bB == 0, float("inf")).amin(dim=1)
        is_same_b = (top_b == low_b) | (top_b == 0)
        self._scale_Kb[slot] = torch.where(is_same_b, top_b, self._scale_Kb[slot])
        again_bB = self._codes_Kn[slot].unflatten(0, (-1, BLOCK))
        self._codes_Kn[slot] = torch.where(is_same_b[:, None], codes_bB, again_bB).flatten()


def _shaped(flat: Tensor, like: Tensor) -> Tensor:
    """The beginning of a flat tensor in another's shape."""
    return flat[: like.numel()].view(like.shape)


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

"""AdamW for all slots at once, each with its own rate, clip and step count.

Every trained tensor of a cohort is in one float32 matrix ``[K, n]``, a row per slot, and so are its
gradient and both moments: one fused update serves all slots and all methods. A slot's numbers
come from its own row alone; of a row, only the numbers of the slot's own kind of method are ever
other than zero, and ``limit_to`` says where they are.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2, in the operation order of
``torch.optim.AdamW`` (equal to the bit in float32 on CPU).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from bakeoff.base.devices import kind_of
from bakeoff.base.kernels.fused import fused_kernels
from bakeoff.engine.moments import BLOCK, NUM_SPARE, EightBitMoment, Moment, WholeMoment
from bakeoff.ranks import add_up
from bakeoff.types import OptimizerStates

_INITIAL_LOSS_SCALE = 2.0**14
_GROWTH_INTERVAL = 1000
_BLOCK_VALUES = {"cpu": 1 << 22, "cuda": 1 << 26}
_NUM_SCRATCH: Final[dict[OptimizerStates, int]] = {"32bit": 2, "8bit": 2 + NUM_SPARE}
"""Two for the update; in 8 bits two for the moments besides, and those that packing takes, of which
the update has its own."""
_EIGHT_BIT_PARTS: Final = 8
"""To pack a block takes temporary tensors of several times its size."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Neighbouring slots and the numbers of their rows that they train, as slices."""

    slots: slice
    numbers: slice


@dataclass(frozen=True, kw_only=True)
class _Factors:
    """What an update needs to know of its slots, [K, 1] each.

    Attributes:
        clip: of the gradient; None does not clip. updates: whether the slot does; else it keeps its
            values and moments, as its gradient is zeroed and the others here do nothing.
        weight: of the gradient in the first moment. decay: of the second moment.
        root: that corrects the second moment.
        rate: minus the corrected rate. kept: what decay leaves of a value.
        other: ``rate`` and ``kept`` of values with a ratio; None where there are none.
    """

    clip: Tensor | None
    updates: Tensor
    weight: Tensor
    decay: Tensor
    root: Tensor
    rate: Tensor
    kept: Tensor
    other: tuple[Tensor, Tensor] | None

    def of(self, slots: slice) -> _Factors:
        """Of some of the slots."""
        return _Factors(
            clip=None if self.clip is None else self.clip[slots],
            updates=self.updates[slots],
            weight=self.weight[slots],
            decay=self.decay[slots],
            root=self.root[slots],
            rate=self.rate[slots],
            kept=self.kept[slots],
            other=None if self.other is None else (self.other[0][slots], self.other[1][slots]),
        )


class SlotAdamW:
    """Optimizer state of K slots.

    Attributes:
        values_Kn: [K, n] float32 trained tensors, flat.
        grads_Kn: [K, n] their gradients, accumulated by autograd.
        num_updates_K: [K] float64, updates that each slot has made.
        alive_K: [K] bool, False once a slot's loss or gradient was not finite.
        parts: what an update reads and writes; ``limit_to`` changes it.
    """

    def __init__(
        self,
        num_slots: int,
        num_values: int,
        *,
        device: torch.device,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        max_grad_norm: float | None = 1.0,
        scales_loss: bool = False,
        has_ratio_n: Tensor | None = None,
        num_replicated: int | None = None,
        states: OptimizerStates = "32bit",
    ) -> None:
        """Allocates everything once.

        Args:
            num_slots: K. num_values: n, those that this process holds. device: of all tensors.
            betas, eps: AdamW's. max_grad_norm: of a slot's gradient, which is scaled down to it;
                None does not clip.
            scales_loss: for float16 compute.
            has_ratio_n: [n] bool, the values whose rate is a slot's ``rate_ratio`` times its own;
                None where no slot has another than 1.
            num_replicated: of the values that every process of the run holds, which come first;
                the others are its shards. None means all.
            states: in what the moments are held.
        """
        self._num_replicated = num_values if num_replicated is None else num_replicated
        shape = (num_slots, num_values)
        self.values_Kn = torch.zeros(shape, device=device)
        self.grads_Kn = torch.zeros(shape, device=device)
        self.states = states
        self._first, self._second = _moments(states, num_slots, num_values, device)
        self.betas, self.eps = betas, eps
        self._kernels = fused_kernels(self.values_Kn) if states == "32bit" else None
        self.max_grad_norm = max_grad_norm
        self.scales_loss = scales_loss
        self.num_updates_K = torch.zeros(num_slots, dtype=torch.float64, device=device)
        self.alive_K = torch.zeros(num_slots, dtype=torch.bool, device=device)
        self.weight_decay_K = torch.zeros(num_slots, dtype=torch.float64, device=device)
        self.rate_ratio_K = torch.ones(num_slots, dtype=torch.float64, device=device)
        self._has_ratio_n = None if has_ratio_n is None else has_ratio_n.to(device)
        self.loss_scale_K = torch.ones(num_slots, device=device)
        self._good_steps_K = torch.zeros(num_slots, device=device)
        self._whole = Part(slots=slice(0, num_slots), numbers=slice(0, num_values))
        self.parts: Sequence[Part] = (self._whole,)

    def limit_to(self, parts: Sequence[Part] | None) -> None:
        """Says which numbers may have a gradient: from now on AdamW reads and writes no others.

        With many kinds of methods in a cohort most of a row belongs to kinds that its slot does not
        hold. 8-bit moments, whose blocks cross the borders of kinds, are updated whole.

        Args:
            parts: no number twice; None means all.
        """
        if parts is None or self.states == "8bit":
            parts = (self._whole,)
        self.parts = parts

    def reset(self, slot: int, *, weight_decay: float = 0.01, rate_ratio: float = 1.0) -> None:
        """Gives the slot to a new candidate: moments, counts and loss scale start again.

        Args:
            slot: which. weight_decay, rate_ratio: the candidate's.
        """
        assert rate_ratio == 1.0 or self._has_ratio_n is not None, "made without such a slot"
        self.weight_decay_K[slot] = weight_decay
        self.rate_ratio_K[slot] = rate_ratio
        self.grads_Kn[slot] = self.num_updates_K[slot] = 0
        self._first.reset(slot)
        self._second.reset(slot)
        self._good_steps_K[slot] = 0
        self.loss_scale_K[slot] = _INITIAL_LOSS_SCALE if self.scales_loss else 1.0
        self.alive_K[slot] = True

    def moments(self, slot: int) -> dict[str, Tensor]:
        """What is held of one slot's first and second moments, rows of [n] by what they are."""
        both = {"first": self._first, "second": self._second}
        return {
            f"{name}{part}": row_n
            for name, moment in both.items()
            for part, row_n in moment.rows(slot).items()
        }

    def set_moments(self, slot: int, rows: Mapping[str, Tensor]) -> None:
        """Takes up what ``moments`` gave, which may be changed since."""
        for name, moment in {"first": self._first, "second": self._second}.items():
            own = {key.removeprefix(name): row for key, row in rows.items() if key.startswith(name)}
            moment.set_rows(slot, own)

    def counters(self, slot: int) -> Tensor:
        """[4] float64 on the CPU: updates, whether it lives, loss scale, updates at that scale."""
        found = (self.num_updates_K, self.alive_K, self.loss_scale_K, self._good_steps_K)
        return torch.stack([tensor[slot].double() for tensor in found]).cpu()

    def set_counters(self, slot: int, counters: Tensor) -> None:
        """Takes up what ``counters`` gave."""
        updates, alive, scale, good = counters.tolist()
        self.num_updates_K[slot], self.alive_K[slot] = updates, bool(alive)
        self.loss_scale_K[slot], self._good_steps_K[slot] = scale, good

    def vacate(self, slot: int) -> None:
        """Empties the slot: zero values, no updates."""
        self.values_Kn[slot] = 0
        self.alive_K[slot] = False

    @torch.no_grad()
    def step(self, rates_K: Tensor, loss_K: Tensor) -> Tensor:
        """One update of every living slot from the accumulated gradients.

        Args:
            rates_K: [K] float64 learning rates of this step.
            loss_K: [K] this step's loss, looked at for finiteness only.

        Returns:
            [K] the gradients' norms before clipping, float32.
        """
        grads = self.grads_Kn
        # Before anything changes: where memory runs out, the update is made again from the start.
        scratch = self._scratch()
        if self.scales_loss:
            grads.div_(self.loss_scale_K[:, None])
        norm_K = self._norms()
        finite_K = torch.isfinite(norm_K) & torch.isfinite(loss_K)
        updates_K = finite_K & self.alive_K
        if self.scales_loss:
            # Overflow of float16 is met by a smaller scale first; only a scale below one means
            # that the slot itself has diverged.
            overflow_K = self.alive_K & ~finite_K
            # In place: a captured update reads and writes the same memory in every replay.
            self.loss_scale_K.mul_(torch.where(overflow_K, 0.5, 1.0))
            self._good_steps_K.add_(1.0).masked_fill_(overflow_K, 0.0)
            grown_K = self._good_steps_K >= _GROWTH_INTERVAL
            self.loss_scale_K.mul_(torch.where(grown_K, 2.0, 1.0))
            self._good_steps_K.masked_fill_(grown_K, 0.0)
            self.alive_K &= finite_K | (self.loss_scale_K >= 1.0)
        else:
            self.alive_K &= finite_K
        clip_K = None
        if self.max_grad_norm is not None:
            clip_K = (self.max_grad_norm / (norm_K + 1e-6)).clamp(max=1.0)
        self.num_updates_K += updates_K
        self._update(torch.where(updates_K, rates_K, 0.0), updates_K, clip_K, scratch)
        return norm_K

    @property
    def replicated_grads(self) -> Tensor:
        """[K, m] the gradients of what every process holds, as a view."""
        return self.grads_Kn[:, : self._num_replicated]

    def _norms(self) -> Tensor:
        """[K] norms of the gradients, those of other processes' shards included."""
        start = self._num_replicated
        if start == self.grads_Kn.shape[1]:
            if self.parts == (self._whole,):  # two kernels less, and the same bits as ever
                all_K: Tensor = torch.linalg.vector_norm(self.grads_Kn, dim=1)
                return all_K
            norm_K = self.grads_Kn.new_zeros(len(self.grads_Kn))
            for part in self.parts:
                grads = self.grads_Kn[part.slots, part.numbers]
                norm_K[part.slots] = torch.linalg.vector_norm(grads, dim=1)
            return norm_K
        square_K = torch.linalg.vector_norm(self.grads_Kn[:, start:], dim=1).square()
        add_up([square_K])
        whole_K = torch.linalg.vector_norm(self.grads_Kn[:, :start], dim=1).square() + square_K
        root_K: Tensor = whole_K.sqrt()
        return root_K

    def _scratch(self) -> tuple[Tensor, ...]:
        """Flat tensors of any content, as large as the largest block of the update."""
        if self._kernels is not None:
            return ()
        step = 1 if self.states == "32bit" else BLOCK  # what fills a last block up counts
        most = 0
        for block in self._blocks():
            num_slots = block.slots.stop - block.slots.start
            width = block.numbers.stop - block.numbers.start
            most = max(most, num_slots * -(-width // step) * step)
        return tuple(self.values_Kn.new_empty(most) for _ in range(_NUM_SCRATCH[self.states]))

    def _blocks(self) -> Iterator[Part]:
        """The parts in pieces that stay in the cache on a CPU."""
        for part in self.parts:
            size = self._block_width(part.slots.stop - part.slots.start)
            for start in range(part.numbers.start, part.numbers.stop, size):
                stop = min(start + size, part.numbers.stop)
                yield Part(slots=part.slots, numbers=slice(start, stop))

    def _block_width(self, num_slots: int) -> int:
        width = max(1, _block_values(self.values_Kn.device) // num_slots)
        if self.states == "32bit":
            return width
        return max(1, width // _EIGHT_BIT_PARTS // BLOCK) * BLOCK

    def _update(
        self,
        rates_K: Tensor,
        updates_K: Tensor,
        clip_K: Tensor | None,
        scratch: tuple[Tensor, ...],
    ) -> None:
        """AdamW of the slots that update, with their gradients times ``clip_K``, block by block."""
        beta1, beta2 = self.betas
        count_K = self.num_updates_K.clamp(min=1.0)
        rate_K1, kept_K1 = self._rates(rates_K, count_K)
        other = None
        if self._has_ratio_n is not None:
            other = self._rates(rates_K * self.rate_ratio_K, count_K)
        factors = _Factors(
            clip=None if clip_K is None else clip_K[:, None],
            updates=updates_K[:, None],
            weight=torch.where(updates_K, 1 - beta1, 0.0)[:, None],
            decay=torch.where(updates_K, beta2, 1.0)[:, None],
            root=(1 - beta2**count_K).sqrt().float()[:, None],
            rate=rate_K1,
            kept=kept_K1,
            other=other,
        )
        if self._kernels is not None:
            self._in_one_pass(factors)
            return
        for block in self._blocks():
            self._update_block(block, factors.of(block.slots), scratch)

    def _update_block(self, block: Part, factors: _Factors, scratch: tuple[Tensor, ...]) -> None:
        """AdamW of one block, whose values stay in the cache on a CPU through all operations.

        Args:
            block: which. factors: of its slots. scratch: flat, for temporary tensors.
        """
        slots, numbers = block.slots, block.numbers
        values, grads = self.values_Kn[slots, numbers], self.grads_Kn[slots, numbers]
        own, spare = scratch[:2], scratch[2:]
        one, other = (flat[: values.numel()].view(values.shape) for flat in scratch[-2:])
        first = self._first.read(slots, numbers, own[0], spare)
        second = self._second.read(slots, numbers, own[1], spare)
        if factors.clip is not None:
            grads.mul_(factors.clip)
        grads.masked_fill_(~factors.updates, 0.0)
        rate: Tensor = factors.rate
        if factors.other is None:
            values.mul_(factors.kept)
        else:
            assert self._has_ratio_n is not None
            has_ratio_m = self._has_ratio_n[numbers]
            other_rate, other_kept = factors.other
            values.mul_(torch.where(has_ratio_m, other_kept, factors.kept, out=one))
            rate = torch.where(has_ratio_m, other_rate, factors.rate, out=other)
        first.lerp_(grads, factors.weight)
        second.mul_(factors.decay)
        second.addcmul_(grads, grads, value=1 - self.betas[1])
        denominator = torch.sqrt(second, out=one).div_(factors.root).add_(self.eps)
        values.addcdiv_(torch.mul(first, rate, out=other), denominator)
        updates = factors.updates[:, 0]
        self._first.write(slots, numbers, own[0], updates, spare)
        self._second.write(slots, numbers, own[1], updates, spare)

    def _in_one_pass(self, factors: _Factors) -> None:
        """The update by a kernel, which takes the factors side by side."""
        assert self._kernels is not None
        assert isinstance(self._first, WholeMoment) and isinstance(self._second, WholeMoment)
        clip_K1 = torch.ones_like(factors.root) if factors.clip is None else factors.clip
        own = (clip_K1, factors.updates, factors.weight, factors.decay, factors.root)
        numbers = (
            *own,
            factors.rate,
            factors.kept,
            *(factors.other or (factors.rate, factors.kept)),
        )
        self._kernels.update(
            *(self.values_Kn, self.grads_Kn, self._first.values_Kn, self._second.values_Kn),
            torch.cat([number.float() for number in numbers], dim=1),
            self._has_ratio_n,
            eps=self.eps,
            beta2=self.betas[1],
        )

    def _rates(self, rates_K: Tensor, count_K: Tensor) -> tuple[Tensor, Tensor]:
        """([K, 1] minus the corrected rate, [K, 1] what decay leaves of a value), float32."""
        rate_K = -(rates_K / (1 - self.betas[0] ** count_K))
        return rate_K.float()[:, None], (1 - rates_K * self.weight_decay_K).float()[:, None]

    def zero_grad(self) -> None:
        """Clears the gradients in place: autograd accumulates into these very tensors."""
        for part in self.parts:
            self.grads_Kn[part.slots, part.numbers] = 0


def _block_values(device: torch.device) -> int:
    """Values of all slots together in a block."""
    return _BLOCK_VALUES.get(kind_of(device), _BLOCK_VALUES["cuda"])


def _moments(
    states: OptimizerStates, num_slots: int, num_values: int, device: torch.device
) -> tuple[Moment, Moment]:
    """The first and the second moment of all slots, zero."""
    if states == "32bit":
        return WholeMoment(num_slots, num_values, device), WholeMoment(
            num_slots, num_values, device
        )
    return (
        EightBitMoment(num_slots, num_values, device, is_signed=True),
        EightBitMoment(num_slots, num_values, device, is_signed=False),
    )

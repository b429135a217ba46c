"""Causal attention on a CPU in bfloat16, by products over blocks of queries.

PyTorch's fused kernel for CPUs saves memory, and pays for it where the processor multiplies
bfloat16: its backward pass leaves those instructions unused. For rows of some hundred positions the
probabilities of a layer are smaller than what its linear layers keep, so here they are kept, and
every product is oneDNN's (``docs/decisions/0019-attention-on-a-cpu.md``).

A block of queries meets the keys that some of them see, and no others; a sliding window shortens
that range at its other end. Scores are computed and kept in float32, as models without a scale
(GPT-Neo) need it; everything else is in bfloat16.

Axis letters: ``B`` rows, ``H`` heads, ``G`` heads of keys, ``h`` heads that share one of them,
``T`` positions, ``C`` head width; ``N`` rows and heads of keys in one, ``Q`` queries of a block and
their ``h`` heads in one, ``S`` keys that a block sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from bakeoff.base.devices import kind_of
from bakeoff.base.precision import cpu_multiplies_bfloat16

SHORTEST, LONGEST = 32, 512
"""Positions of a row below which calls cost more than they save, and beyond which the probabilities
would be the largest thing that a layer keeps."""
_BLOCK = 128
_SCORES = 800_000
"""Scores of the rows that are computed together: they are read several times, from the cache."""


def serves(query: Tensor, key: Tensor) -> bool:
    """Whether this is the way for a pass over whole rows."""
    # Compiled code is asked first: what it compares is compiled in.
    return (
        not torch.compiler.is_compiling()
        and kind_of(query.device) == "cpu"
        and query.dtype == key.dtype == torch.bfloat16
        and SHORTEST <= query.shape[2] == key.shape[2] <= LONGEST
        and _multiplies_bfloat16()
    )


@cache
def _multiplies_bfloat16() -> bool:
    return cpu_multiplies_bfloat16()


def blockwise_attention(
    query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None, window: int | None
) -> Tensor:
    """Attention of each query to itself and what is before it; arguments as for ``attend``.

    Returns:
        [B, H, T, C], laid out as [B, T, H, C].
    """
    factor = query.shape[3] ** -0.5 if scaling is None else scaling
    output: Tensor = _Blockwise.apply(query, key, value, factor, window)  # type: ignore[no-untyped-call]
    return output


class _Blockwise(Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, factor: float, window: int | None
    ) -> Tensor:
        keeps = any(ctx.needs_input_grad[:3])
        rows, heads, positions, _ = query.shape
        output = query.new_empty(rows, positions, heads, value.shape[3]).transpose(1, 2)
        blocks = [(q, s, _mask(q, s, window)) for q, s in _blocks(positions, window)]
        kept: list[Tensor] = []
        room = _Room()
        for group in _groups(query):
            keys, values = _flat(key[group]).float(), _flat(value[group])
            for queries, seen, mask in blocks:
                asked = _by_key_head(query[group, :, queries].float() * factor, key.shape[1])
                shares = _shares(asked, keys[:, seen], mask, room).to(query.dtype, copy=True)
                part = output[group, :, queries]
                part.copy_(torch.bmm(shares, values[:, seen]).view(part.shape))
                if keeps:
                    kept.append(shares)
        if keeps:
            ctx.save_for_backward(query, key, value, *kept)
            ctx.factor, ctx.window = factor, window
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        slope = grad_outputs[0]
        positions, key_heads = query.shape[2], key.shape[1]
        blocks = list(_blocks(positions, ctx.window))
        of_query, of_key, of_value = (torch.empty_like(part) for part in (query, key, value))
        for number, group in enumerate(_groups(query)):
            keys, values = _flat(key[group]), _flat(value[group])
            sums = _Sums(keys), _Sums(values)
            found = kept[number * len(blocks) : (number + 1) * len(blocks)]
            # The last block sees the most keys: where it sees all, its products start the sums.
            for (queries, seen), shares in zip(reversed(blocks), reversed(found), strict=True):
                asked = _by_key_head(query[group, :, queries], key_heads)
                slopes = _by_key_head(slope[group, :, queries], key_heads)
                sums[1].add(seen, shares.transpose(1, 2), slopes)
                of_shares = torch.bmm(slopes, values[:, seen].transpose(1, 2))
                of_scores = torch._softmax_backward_data(of_shares, shares, -1, shares.dtype)
                sums[0].add(seen, of_scores.transpose(1, 2), asked)
                of_asked = torch.bmm(of_scores, keys[:, seen]).mul_(ctx.factor)
                part = of_query[group, :, queries]
                part.copy_(of_asked.view(part.shape))
            of_key[group] = sums[0].total.mul_(ctx.factor).view(key[group].shape)
            of_value[group] = sums[1].total.view(value[group].shape)
        return of_query, of_key, of_value, None, None


class _Sums:
    """Sums of products over blocks, each for some of the keys."""

    def __init__(self, like_NTC: Tensor) -> None:
        self._like = like_NTC
        self._total: Tensor | None = None

    def add(self, seen: slice, left_NSQ: Tensor, right_NQC: Tensor) -> None:
        """Adds the product to the keys that the block saw."""
        if self._total is None and seen == slice(0, self._like.shape[1]):
            self._total = torch.bmm(left_NSQ, right_NQC)
            return
        if self._total is None:
            self._total = torch.zeros_like(self._like)
        self._total[:, seen].baddbmm_(left_NSQ, right_NQC)

    @property
    def total(self) -> Tensor:
        """[N, T, C]."""
        assert self._total is not None, "every block adds"
        return self._total


def _groups(query: Tensor) -> Iterator[slice]:
    """Rows that are computed together; never a part of one, so that none depends on another."""
    rows, heads, positions, _ = query.shape
    size = max(1, _SCORES // (heads * positions * min(positions, _BLOCK)))
    return (slice(start, min(rows, start + size)) for start in range(0, rows, size))


def _blocks(positions: int, window: int | None) -> Iterator[tuple[slice, slice]]:
    """Queries of each block, and the keys that some of them see."""
    for start in range(0, positions, _BLOCK):
        stop = min(positions, start + _BLOCK)
        first = 0 if window is None else max(0, start - window + 1)
        yield slice(start, stop), slice(first, stop)


def _mask(queries: slice, seen: slice, window: int | None) -> Tensor:
    """[queries, S] float32: minus infinity where a query does not see a key, else zero."""
    ahead = torch.arange(seen.start, seen.stop) - torch.arange(queries.start, queries.stop)[:, None]
    hidden = ahead > 0 if window is None else (ahead > 0) | (ahead <= -window)
    return torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))


class _Room:
    """Memory for what lives for one block alone: new memory would be touched for the first time
    again and again."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def __call__(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A float32 tensor of any content; one name is the same memory each time."""
        count = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < count:
            buffer = self._buffers[name] = torch.empty(count)
        return buffer[:count].view(shape)


def _shares(asked_NQC: Tensor, keys_NSC: Tensor, mask: Tensor, room: _Room) -> Tensor:
    """[N, Q, S] float32 probabilities, in memory that the next block takes."""
    rows, queries, _ = asked_NQC.shape
    shape = (rows, queries, keys_NSC.shape[1])
    mask_QS = mask.repeat(queries // len(mask), 1)
    scores = torch.baddbmm(mask_QS, asked_NQC, keys_NSC.transpose(1, 2), out=room("scores", shape))
    return torch.softmax(scores, dim=-1, out=room("shares", shape))


def _flat(part_BGTC: Tensor) -> Tensor:
    """[N, T, C]."""
    return part_BGTC.flatten(0, 1)


def _by_key_head(part_BHTC: Tensor, key_heads: int) -> Tensor:
    """[N, Q, C]: the queries of all heads that read the same keys side by side."""
    rows, heads, count, width = part_BHTC.shape
    return part_BHTC.reshape(rows * key_heads, heads // key_heads * count, width)

"""Keys and values before the tokens' own in every layer's attention.

A prefix of length L takes the positions 0 to L - 1, and the first token has position L, as PEFT and
Transformers have it when the prefix is in the cache: a sliding window that has moved on no longer
sees the prefix. Slots may have prefixes of different lengths, or none: the keys beyond a slot's
length are masked, and its arithmetic is that of a pass without them.

Rows of a block have their prefix by their place in it, and others name theirs (``slot_R``).

Axis letters: ``K`` slots, ``R`` rows of all slots, ``H`` key heads, ``P`` prefix positions,
``C`` head width, ``T`` query positions, ``S`` key positions, prefix and tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from bakeoff.base.attention.decoding import CacheStorage, DecodingState
from bakeoff.base.attention.interface import LENT_ATTENTION_NAME, decoding, extended
from bakeoff.base.model import Base
from bakeoff.errors import BaseModelError

Layer = tuple[Tensor, Tensor]
_ALIGNED: Final = 8
"""Numbers of 16 bits in 16 bytes."""


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The prefixes of K slots.

    Attributes:
        layers: of each layer, [K, H, P, C] keys and values.
        lengths_K: [K] how many of the P positions count.
        slot_R: [R] which of the K is each row's; None where each of the K has as many rows, one's
            after the other's.
    """

    layers: tuple[Layer, ...]
    lengths_K: Tensor
    slot_R: Tensor | None = None

    @property
    def num_positions(self) -> int:
        """P, of the longest."""
        return int(self.layers[0][0].shape[2])

    def to(self, dtype: torch.dtype) -> Prefix:
        """The same in another format."""
        layers = tuple((keys.to(dtype), values.to(dtype)) for keys, values in self.layers)
        return replace(self, layers=layers)

    def by_row(self, tensor_K: Tensor, num_rows: int) -> Tensor:
        """[R, ...] of [K, ...]: each row's."""
        if self.slot_R is not None:
            return tensor_K.index_select(0, self.slot_R)
        return tensor_K.repeat_interleave(num_rows // len(tensor_K), dim=0)

    def of_rows(self, module: nn.Module, key_RHTC: Tensor, value_RHTC: Tensor) -> Layer:
        """One layer's prefix for each row: ([R, H, P, C], the same of values).

        Raises:
            BaseModelError: if the layer's keys have another shape.
        """
        number = _layer_number(module)
        layer = self.layers[number] if number < len(self.layers) else None
        found = [(t.shape[1], t.shape[3]) for t in (key_RHTC, value_RHTC)]
        if layer is None or found != [(t.shape[1], t.shape[3]) for t in layer]:
            raise BaseModelError(
                f"{type(module).__name__} {number} has keys and values of (heads, width) {found}, "
                "which are not those of the base's configuration; prefix tuning needs the same in "
                "every layer. Choose another method"
            )
        keys, values = (self.by_row(tensor, len(key_RHTC)) for tensor in layer)
        return keys, values

    def before(self, module: nn.Module, key_RHTC: Tensor, value_RHTC: Tensor) -> Layer:
        """([R, H, P + T, C] keys, the same of values): the prefix and then what was given."""
        keys, values = self.of_rows(module, key_RHTC, value_RHTC)
        return torch.cat([keys, key_RHTC], dim=2), torch.cat([values, value_RHTC], dim=2)

    def visible(self, token_KT: Tensor, window: int | None) -> Tensor:
        """Boolean [K, T, P]: which prefix positions the tokens of these numbers may see."""
        position_P = torch.arange(self.num_positions, device=token_KT.device)
        lengths_K11 = self.lengths_K[:, None, None]
        visible_KTP = (position_P < lengths_K11).expand(*token_KT.shape, -1)
        if window is not None:
            distance_KTP = lengths_K11 + token_KT[..., None] - position_P
            visible_KTP = visible_KTP & (distance_KTP < window)
        return visible_KTP


def _layer_number(module: nn.Module) -> int:
    number: Any = getattr(module, "layer_idx", getattr(module, "layer_id", None))
    if not isinstance(number, int):
        raise BaseModelError(
            f"{type(module).__name__} does not say which layer it is, so no prefix can be put "
            "before its keys; choose another method"
        )
    return number


class _InTraining:
    """Puts the prefix before the keys of passes over right-padded rows."""

    def __init__(self, prefix: Prefix) -> None:
        self._prefix = prefix
        self._masks: dict[tuple[int, int, int | None], Tensor] = {}
        self._added: dict[tuple[int, int, int | None, torch.dtype], Tensor] = {}

    def __call__(
        self,
        module: nn.Module,
        key: Tensor,
        value: Tensor,
        window: int | None,
        mask: Tensor | None,
        *,
        as_bias: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """([R, H, S, C] keys, values, [R or 1, 1, T, S] what each query may see, boolean or as
        zeros and minus infinity)."""
        assert mask is None, "in training causality is the only mask"
        keys, values = self._prefix.before(module, key, value)
        which = (key.shape[0], key.shape[2], window)
        if as_bias:
            return keys, values, self._mask_to_add(*which, keys.dtype)
        return keys, values, self._mask(*which)

    def _mask_to_add(
        self, num_rows: int, num_tokens: int, window: int | None, dtype: torch.dtype
    ) -> Tensor:
        """The mask as kernels want it, made once for all layers of a pass."""
        key = (num_rows, num_tokens, window, dtype)
        if key not in self._added:
            seen = self._mask(num_rows, num_tokens, window)
            num_keys = seen.shape[3]
            # Its rows begin at multiples of 16 bytes: CUDA's kernel copies any other in each call.
            wide = F.pad(seen, (0, -num_keys % _ALIGNED))
            hidden = torch.zeros_like(wide, dtype=dtype).masked_fill_(~wide, float("-inf"))
            self._added[key] = hidden[..., :num_keys]
        return self._added[key]

    def _mask(self, num_rows: int, num_tokens: int, window: int | None) -> Tensor:
        key = (num_rows, num_tokens, window)
        if key not in self._masks:
            lengths_K = self._prefix.lengths_K
            token_T = torch.arange(num_tokens, device=lengths_K.device)
            distance_TT = token_T[:, None] - token_T
            causal_TT = distance_TT >= 0
            if window is not None:
                causal_TT = causal_TT & (distance_TT < window)
            token_KT = token_T.expand(len(lengths_K), -1)
            mask_KTS = torch.cat(
                [self._prefix.visible(token_KT, window), causal_TT.expand(len(lengths_K), -1, -1)],
                dim=2,
            )
            if len(lengths_K) > 1:
                mask_KTS = self._prefix.by_row(mask_KTS, num_rows)
            self._masks[key] = mask_KTS[:, None]
        return self._masks[key]


@contextmanager
def prefixed(prefix: Prefix | None) -> Iterator[None]:
    """Lets every attention call inside, over whole right-padded rows, see the prefix."""
    with nullcontext() if prefix is None else extended(_InTraining(prefix)):
        yield


class _InTransformers:
    """Puts one slot's prefix before the keys while Transformers drives the model."""

    def __init__(self, prefix: Prefix) -> None:
        assert len(prefix.lengths_K) == 1, "Transformers generates for one slot at a time"
        self._prefix = prefix
        self._token_RT = torch.zeros((1, 1), dtype=torch.int64)

    def shift(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A hook before the decoder: the tokens' positions begin after the prefix."""
        token_RT = kwargs.get("position_ids")
        if not isinstance(token_RT, Tensor) or token_RT.dim() != 2:
            raise BaseModelError(
                f"{type(module).__name__} is not given one position a token when it generates, so "
                "no prefix can be put before them; choose the strategy greedy"
            )
        self._token_RT = token_RT
        return args, kwargs | {"position_ids": token_RT + self._prefix.lengths_K}

    def __call__(
        self,
        module: nn.Module,
        key: Tensor,
        value: Tensor,
        window: int | None,
        mask: Tensor | None,
        *,
        as_bias: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See ``_InTraining``; here the mask is Transformers', and stays boolean."""
        assert mask is not None, "asked for in `full_mask`"
        keys, values = self._prefix.before(module, key, value)
        rows, _, num_queries, num_keys = mask.shape
        one_slot = self._token_RT.reshape(1, -1)
        visible_RTP = self._prefix.visible(one_slot, window).view(*self._token_RT.shape, -1)
        shape = (max(rows, len(visible_RTP)), 1, num_queries)
        both = [visible_RTP[:, None].expand(*shape, -1), mask.expand(*shape, num_keys)]
        return keys, values, torch.cat(both, dim=3)


@contextmanager
def lent(base: Base, prefix: Prefix | None) -> Iterator[PreTrainedModel]:
    """The model for Transformers' ``generate``, one slot's prefix before whatever it is given."""
    if prefix is None:
        with base.transformers_attention() as model:
            yield model
        return
    state = _InTransformers(prefix)
    hook = base.decoder.register_forward_pre_hook(state.shift, with_kwargs=True)
    try:
        with extended(state), base.transformers_attention(LENT_ATTENTION_NAME) as model:
            yield model
    finally:
        hook.remove()


class PrefixedDecodingState(DecodingState):
    """A cache that begins with each row's prefix; left-padded prompts follow."""

    def __init__(
        self,
        num_padding_R: Tensor,
        capacity: int,
        prefix: Prefix,
        storage: CacheStorage | None = None,
    ) -> None:
        """Starts with the prefix alone.

        Args:
            num_padding_R: [R] how many of the first positions of each row are padding, the prefix
                not counted.
            capacity: the most positions, prompt and continuation together, without the prefix.
            prefix: of the slots whose rows these are, in order.
            storage: see ``DecodingState``; its positions include the prefix.
        """
        super().__init__(num_padding_R, capacity, storage)
        self._prefix = prefix
        self.before = prefix.num_positions
        number_K = torch.arange(len(prefix.lengths_K), device=num_padding_R.device)
        self._rows_of_slots_R = prefix.by_row(number_K, len(num_padding_R))

    def _room(self, module: nn.Module, key: Tensor, value: Tensor) -> Layer:
        """Room that begins with the prefix."""
        keys, values = super()._room(module, key, value)
        first = self._prefix.of_rows(module, key, value)
        for room, prefix in zip((keys, values), first, strict=True):
            room[:, :, : self.before] = prefix
        return keys, values

    def keep_rows(self, rows: Tensor) -> None:
        """See ``DecodingState``."""
        super().keep_rows(rows)
        self._rows_of_slots_R = self._rows_of_slots_R[rows]

    def _mask(self, num_queries: int, window: int | None) -> Tensor:
        """Boolean ``[R, 1, T, S]``, S with the prefix."""
        own_R1TS = super()._mask(num_queries, window)
        column_T, _ = self._columns(num_queries)
        by_row = Prefix(
            layers=self._prefix.layers,
            lengths_K=self._prefix.lengths_K[self._rows_of_slots_R],
        )
        visible_RTP = by_row.visible(column_T - self.num_padding_B[:, None], window)
        return torch.cat([visible_RTP[:, None], own_R1TS], dim=3)


@torch.no_grad()
def prefix_of_embeddings(base: Base, embeds_PD: Tensor) -> Prefix:
    """The keys and values that the untuned base computes for P embedded tokens, for one slot.

    Put before other tokens they act as the embeddings themselves would, put before the tokens'.
    """
    num_positions = embeds_PD.shape[0]
    device = base.device
    positions_1P = torch.arange(num_positions, device=device)[None]
    cache = DecodingState(torch.zeros(1, dtype=torch.int64, device=device), num_positions)
    with base.untuned(), decoding(cache):
        base.hidden_states(embeds_PD[None].to(base.compute_dtype), positions_1P)
    return Prefix(
        layers=tuple(cache.layers()),
        lengths_K=torch.full((1,), num_positions, device=device),
    )

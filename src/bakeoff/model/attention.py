"""One attention function for every base, in training, prefill and decoding.

It is registered in Transformers' ``ALL_ATTENTION_FUNCTIONS`` alone. A name that the mask registry
does not know makes Transformers build no mask: causality, padding and sliding windows are decided
here, from a few integers instead of a ``[B, 1, T, T]`` tensor.

* Training pads on the right, so causality alone keeps padding out of every supervised position.
* Generation pads on the left and keeps keys and values in a cache that this module owns
  (``DecodingState``); Transformers' own cache is never used.

Axis letters: ``B`` rows, ``H`` heads, ``T`` query positions, ``S`` key positions, ``C`` head width.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from bakeoff.errors import BaseModelError

ATTENTION_NAME: Final = "bakeoff"
LENT_ATTENTION_NAME: Final = "bakeoff_lent"
"""While Transformers drives the model with its own masks and cache, and a prefix is before them."""


class DecodingState:
    """Keys and values of every layer while a batch of left-padded prompts is continued.

    All rows share one write position, since prompts are padded on the left to one length.
    """

    def __init__(self, num_padding_B: Tensor, capacity: int) -> None:
        """Starts empty.

        Args:
            num_padding_B: [B] how many of the first positions of each row are padding.
            capacity: the most positions, prompt and continuation together.
        """
        self.num_padding_B = num_padding_B
        self.capacity = capacity
        self.length = 0
        self._layers: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    def append(self, module: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Adds one layer's ``[B, H, T, C]`` keys and values; returns all that are there so far."""
        end = self.length + key.shape[2]
        if module not in self._layers:
            # Some models have values of another width than keys.
            empty = [t.new_empty((*t.shape[:2], self.capacity, t.shape[3])) for t in (key, value)]
            self._layers[module] = (empty[0], empty[1])
        keys, values = self._layers[module]
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """All layers' keys and values in the order in which they came, each for all positions."""
        return list(self._layers.values())

    def advance(self, num_positions: int) -> None:
        """Moves the write position after all layers have seen ``num_positions`` more."""
        self.length += num_positions
        self._masks.clear()

    def keep_rows(self, rows: Tensor) -> None:
        """Keeps only ``rows`` (indices), so that finished rows cost nothing more."""
        self.num_padding_B = self.num_padding_B[rows]
        self._layers = {m: (k[rows], v[rows]) for m, (k, v) in self._layers.items()}
        self._masks.clear()

    def mask(self, num_queries: int, window: int | None) -> Tensor:
        """Boolean ``[B, 1, T, S]``: which keys each query of the present call may see."""
        cached = self._masks.get((num_queries, window))
        if cached is not None:
            return cached
        end = self.length + num_queries
        device = self.num_padding_B.device
        query_T1 = torch.arange(self.length, end, device=device)[:, None]
        key_S = torch.arange(end, device=device)[None, :]
        visible_TS = key_S <= query_T1
        if window is not None:
            visible_TS = visible_TS & (key_S > query_T1 - window)
        real_B1S = key_S[None] >= self.num_padding_B[:, None, None]
        # A padding query must see something, or its softmax is NaN: let it see itself.
        mask = ((visible_TS[None] & real_B1S) | (key_S == query_T1)[None])[:, None]
        self._masks[(num_queries, window)] = mask
        return mask


Extension = Callable[
    [nn.Module, Tensor, Tensor, int | None, Tensor | None], tuple[Tensor, Tensor, Tensor]
]
"""Maps (layer, keys, values, window, mask) to (keys with more before them, values, mask)."""

_decoding: DecodingState | None = None
# Of each thread its own: passes go side by side.
_present = threading.local()
_band_masks: dict[tuple[int, int, torch.device], Tensor] = {}


@contextmanager
def decoding(state: DecodingState) -> Iterator[DecodingState]:
    """Makes every attention call inside read from and write to ``state``."""
    global _decoding
    if _decoding is not None:
        raise RuntimeError("decoding states do not nest")
    _decoding = state
    try:
        yield state
    finally:
        _decoding = None


@contextmanager
def extended(extension: Extension) -> Iterator[None]:
    """Lets attention inside, where no ``DecodingState`` is, see what the extension adds."""
    if _extension() is not None:
        raise RuntimeError("extensions of attention do not nest")
    _present.extension = extension
    try:
        yield
    finally:
        _present.extension = None


def _extension() -> Extension | None:
    return getattr(_present, "extension", None)


def _band_mask(num_positions: int, window: int, device: torch.device) -> Tensor:
    """Boolean ``[T, T]``: causal, and at most ``window`` positions back, the query included."""
    key = (num_positions, window, device)
    if key not in _band_masks:
        if len(_band_masks) > 32:
            _band_masks.clear()
        full = torch.ones(num_positions, num_positions, dtype=torch.bool, device=device)
        _band_masks[key] = full.tril().triu(1 - window)
    return _band_masks[key]


@contextmanager
def masks_apart() -> Iterator[None]:
    """Keeps masks that are made inside from those who come after, and theirs from the inside.

    A tensor without values must not be found where a real one is looked for.
    """
    global _band_masks
    before, _band_masks = _band_masks, {}
    try:
        yield
    finally:
        _band_masks = before


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    module: nn.Module,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """Scaled dot-product attention, causal, with our masks.

    Args:
        query: [B, H, T, C].
        key: [B, H or fewer, T, C] (grouped-query attention repeats them).
        value: like ``key``.
        module: the layer, by which the cache is kept.
        scaling: factor on the scores; None means ``C ** -0.5``.
        window: how many positions a query sees, itself included; None means all before it.

    Returns:
        [B, H, T, C].
    """
    grouped = query.shape[1] != key.shape[1]
    if _decoding is not None:
        keys, values = _decoding.append(module, key, value)
        mask: Tensor | None = _decoding.mask(query.shape[2], window)
        return F.scaled_dot_product_attention(
            query, keys, values, attn_mask=mask, scale=scaling, enable_gqa=grouped
        )
    extension = _extension()
    if extension is not None:
        keys, values, mask = extension(module, key, value, window, None)
        return F.scaled_dot_product_attention(
            query, keys, values, attn_mask=mask, scale=scaling, enable_gqa=grouped
        )
    num_positions = query.shape[2]
    if window is not None and num_positions > window:
        mask = _band_mask(num_positions, window, query.device)
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scaling, enable_gqa=grouped
        )
    return F.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped
    )


def attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What Transformers' ``AttentionInterface`` calls; shapes as in ``attend``.

    Returns:
        ([B, T, H, C], None): the output transposed as the interface asks, and no weights.

    Raises:
        BaseModelError: for what this function does not compute (soft-capping, attention sinks).
    """
    for name in ("softcap", "s_aux"):
        if kwargs.get(name) is not None:
            raise BaseModelError(
                f"the base's attention ({type(module).__name__}) uses '{name}', which bakeoff's "
                "attention does not compute; choose a base without it"
            )
    if attention_mask is not None:
        raise BaseModelError(
            f"{type(module).__name__} brought an attention mask of its own, shape "
            f"{tuple(attention_mask.shape)}; only causal decoders without one are supported"
        )
    output = attend(query, key, value, module=module, scaling=scaling, window=sliding_window)
    return output.transpose(1, 2), None


def extend(
    module: nn.Module, key: Tensor, value: Tensor, window: int | None, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys, values and mask of a pass with Transformers' own cache, with what is before them."""
    extension = _extension()
    return (key, value, mask) if extension is None else extension(module, key, value, window, mask)


def lent_attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """As ``attention_forward``, under Transformers' own mask and cache, while something extends."""
    key, value, mask = extend(module, key, value, sliding_window, attention_mask)
    output = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return output.transpose(1, 2), None


def register_attention() -> None:
    """Makes the functions known to Transformers under their names; may be called again."""
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION_NAME, attention_forward)
    ALL_ATTENTION_FUNCTIONS.register(LENT_ATTENTION_NAME, lent_attention_forward)
    ALL_MASK_ATTENTION_FUNCTIONS.register(LENT_ATTENTION_NAME, full_mask)


def full_mask(*args: Any, **kwargs: Any) -> Tensor:
    """Transformers' boolean mask, never left out: keys are put before it."""
    mask = sdpa_mask(*args, **(kwargs | {"allow_is_causal_skip": False}))
    assert isinstance(mask, Tensor)
    return mask

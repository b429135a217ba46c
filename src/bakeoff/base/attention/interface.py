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
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from bakeoff.base.attention.compiled_cpu import compiled_attention
from bakeoff.base.attention.cpu import blockwise_attention, serves
from bakeoff.base.attention.decoding import DecodingState
from bakeoff.base.attention.fused import fused_attention
from bakeoff.base.attention.terms import Terms, attend_with_terms
from bakeoff.base.attention.windows import band_mask, windowed_attention
from bakeoff.base.devices import kind_of
from bakeoff.base.wide_products import wide_product
from bakeoff.errors import BaseModelError

ATTENTION_NAME: Final = "bakeoff"
LENT_ATTENTION_NAME: Final = "bakeoff_lent"
"""While Transformers drives the model with its own masks and cache, and a prefix is before them."""


class Extension(Protocol):
    """What puts keys and values before those of a layer."""

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
        """(keys with more before them, values, mask).

        The mask is boolean, or where ``as_bias`` is true it may be what is added to the scores, in
        the format of the keys: kernels make that of a boolean one, in every layer again.
        """


class _Present(threading.local):
    """What attention works with in this thread.

    Set in every thread: compiled code asks whether they are there.
    """

    def __init__(self) -> None:
        self.decoding: DecodingState | None = None
        self.extension: Extension | None = None
        self.windows_always = False
        self.scores_whole = False


_present = _Present()


@contextmanager
def decoding(state: DecodingState) -> Iterator[DecodingState]:
    """Makes every attention call inside, in this thread, read from and write to ``state``."""
    if _present.decoding is not None:
        raise RuntimeError("decoding states do not nest")
    _present.decoding = state
    try:
        yield state
    finally:
        _present.decoding = None


@contextmanager
def extended(extension: Extension) -> Iterator[None]:
    """Lets attention inside, where no ``DecodingState`` masks it, see what the extension adds."""
    if _present.extension is not None:
        raise RuntimeError("extensions of attention do not nest")
    _present.extension = extension
    try:
        yield
    finally:
        _present.extension = None


@contextmanager
def windows_always(enabled: bool) -> Iterator[None]:
    """Lets attention inside ask for its window even where a row is no longer than it.

    Compiled code is then the same for both.
    """
    before, _present.windows_always = _present.windows_always, enabled
    try:
        yield
    finally:
        _present.windows_always = before


@contextmanager
def scores_whole(enabled: bool) -> Iterator[None]:
    """Lets the backward pass of compiled attention hold the scores of whole rows at a time."""
    before, _present.scores_whole = _present.scores_whole, enabled
    try:
        yield
    finally:
        _present.scores_whole = before


def asks_windows_always() -> bool:
    """Whether this thread is inside of ``windows_always``."""
    return _present.windows_always


def is_decoding() -> bool:
    """Whether this thread continues what a ``DecodingState`` keeps."""
    return _present.decoding is not None


def present_extension() -> Extension | None:
    """The extension that this thread is in."""
    return _present.extension


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    module: nn.Module,
    scaling: float | None,
    window: int | None,
    terms: Terms | None = None,
) -> Tensor:
    """Scaled dot-product attention, causal, with our masks.

    Args:
        query: [B, H, T, C].
        key: [B, H or fewer, T, C] (grouped-query attention repeats them).
        value: like ``key``.
        module: the layer, by which the cache is kept.
        scaling: factor on the scores; None means ``C ** -0.5``.
        window: how many positions a query sees, itself included; None means all before it.
        terms: what the layer does to its scores beyond scaling them.

    Returns:
        [B, H, T, C].
    """
    if terms is not None:
        return attend_with_terms(
            query, *visible(module, key, value, query.shape[2], window), scaling, terms
        )
    seen: Tensor | None
    if _present.decoding is not None:
        keys, values = _present.decoding.append(module, key, value)
        seen = _present.decoding.mask(query.shape[2], window)
        if seen is not None:
            query = _present.decoding.in_cache_order(query)
            if query.shape[2] == 1 and (
                kind_of(query.device) != "cpu" or query.dtype != torch.float32
            ):
                found = attend_one(query, keys, values, seen, scaling)
            else:
                found = fused_attention(query, keys, values, mask=seen, scaling=scaling)
            return _present.decoding.in_row_order(found)
    if _present.extension is not None:
        keys, values, mask = _extend_whole_rows(module, key, value, window, as_bias=True)
        return fused_attention(query, keys, values, mask=mask, scaling=scaling)
    if serves(query, key):
        return blockwise_attention(query, key, value, scaling=scaling, window=window)
    if window is not None and (_present.windows_always or query.shape[2] > window):
        return windowed_attention(query, key, value, scaling=scaling, window=window)
    if torch.compiler.is_compiling() and _present.scores_whole and query.shape[3] == value.shape[3]:
        return compiled_attention(query, key, value, scaling=scaling)
    return fused_attention(query, key, value, is_causal=True, scaling=scaling)


def visible(
    module: nn.Module, key: Tensor, value: Tensor, num_queries: int, window: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """(keys, values, boolean mask) of a pass, whatever it is over, for what no kernel masks.

    Args:
        module: the layer. key: [B, H, T, C]. value: likewise.
        num_queries: T. window: as for ``attend``.

    Returns:
        ([B, H, S, C], likewise, [B or 1, 1, T, S] or [T, S]).
    """
    if _present.decoding is not None:
        state = _present.decoding
        keys, values = state.append(module, key, value)
        seen = state.mask(num_queries, window)
        if seen is not None:
            return state.in_row_order(keys), state.in_row_order(values), state.in_row_order(seen)
    if _present.extension is not None:
        keys, values, seen = _extend_whole_rows(module, key, value, window)
        return keys, values, seen
    return key, value, band_mask(num_queries, window or num_queries, key.device)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _extend_whole_rows(
    module: nn.Module, key: Tensor, value: Tensor, window: int | None, *, as_bias: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """What the extension makes of a pass over whole rows.

    It finds what is a layer's by the layer's number. Layers are compiled around it: with it they
    would be compiled one by one.
    """
    assert _present.extension is not None, "asked before"
    return _present.extension(module, key, value, window, None, as_bias=as_bias)


def attend_one(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float | None
) -> Tensor:
    """Attention of one query position a row, by plain batched products.

    The fused kernels work on blocks of queries and leave all but one row of each empty.

    Args:
        query: [B, H, 1, C]. keys: [B, H or fewer, S, C]. values: likewise.
        mask: boolean [B, 1, 1, S]. scaling: as for ``attend``.

    Returns:
        [B, H, 1, C].
    """
    rows, heads, _, width = query.shape
    groups = keys.shape[1]
    factor = width**-0.5 if scaling is None else scaling
    query_NhC = query.reshape(rows * groups, heads // groups, width)
    # Not rounded to the format of queries and keys: GPT-Neo does not scale its scores, and one of a
    # hundred, rounded to bfloat16, is half a nat off.
    scores_BGhS = wide_product(query_NhC, keys.flatten(0, 1).transpose(1, 2)).mul_(factor)
    scores_BGhS = scores_BGhS.view(rows, groups, heads // groups, -1)
    shares_BGhS = scores_BGhS.masked_fill_(~mask, float("-inf")).softmax(dim=-1)
    found_BGhC = torch.matmul(shares_BGhS.to(values.dtype), values)
    return found_BGhC.reshape(rows, heads, 1, values.shape[3])


def attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What Transformers' ``AttentionInterface`` calls; shapes as in ``attend``.

    Returns:
        ([B, T, H, C], None): the output transposed as the interface asks, and no weights.

    Raises:
        BaseModelError: for a mask of the layer's own.
    """
    if attention_mask is not None:
        raise BaseModelError(
            f"{type(module).__name__} brought an attention mask of its own, shape "
            f"{tuple(attention_mask.shape)}; only causal decoders without one are supported"
        )
    output = attend(
        query,
        key,
        value,
        module=module,
        scaling=scaling,
        window=sliding_window,
        terms=_terms(softcap, s_aux),
    )
    return output.transpose(1, 2), None


def _terms(softcap: float | None, sinks_H: Tensor | None) -> Terms | None:
    """What layers hand to Transformers' interface beside a scale and a window."""
    if softcap is None and sinks_H is None:
        return None
    return Terms(softcap=softcap, sinks_H=sinks_H)


def extend(
    module: nn.Module, key: Tensor, value: Tensor, window: int | None, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys, values and mask of a pass with Transformers' own cache, with what is before them."""
    if _present.extension is None:
        return key, value, mask
    return _present.extension(module, key, value, window, mask)


def lent_attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """As ``attention_forward``, under Transformers' own mask and cache, while something extends."""
    key, value, mask = extend(module, key, value, sliding_window, attention_mask)
    terms = _terms(softcap, s_aux)
    if terms is not None:
        assert mask is not None, "asked for in `full_mask`"
        output = attend_with_terms(query, key, value, mask, scaling, terms)
        return output.transpose(1, 2), None
    output = fused_attention(query, key, value, mask=mask, scaling=scaling)
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

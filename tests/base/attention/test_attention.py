"""The attention function against its definition, and what it keeps while decoding.

Axis letters as in the module: ``B`` rows, ``H`` heads, ``T`` queries, ``S`` keys, ``C`` width.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward as gemma2_attention
from transformers.models.gpt_oss.modeling_gpt_oss import (
    eager_attention_forward as gpt_oss_attention,
)

from bakeoff.base.attention.decoding import DecodingState
from bakeoff.base.attention.interface import (
    ATTENTION_NAME,
    attend,
    attend_one,
    attention_forward,
    decoding,
    register_attention,
)
from bakeoff.errors import BaseModelError

LAYER = nn.Identity()
PADDING = torch.tensor([0, 3, 1])

# Rows, heads, heads of keys, positions, key width, value width, scaling, window.
SHAPES = [
    pytest.param(3, 4, 4, 7, 8, 8, None, None, id="plain"),
    pytest.param(3, 4, 2, 7, 8, 8, 1.0, None, id="grouped, GPT-Neo's scale"),
    pytest.param(3, 6, 1, 9, 5, 5, 0.3, 4, id="one head of keys, window"),
    pytest.param(3, 2, 2, 6, 4, 4, None, 1, id="window of one"),
    pytest.param(3, 2, 2, 6, 4, 4, None, 6, id="window as long as the row"),
    pytest.param(3, 2, 2, 5, 6, 3, None, None, id="narrower values"),
]


def tensors(
    rows: int, heads: int, key_heads: int, positions: int, width: int, value_width: int
) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(4)
    return (
        torch.randn(rows, heads, positions, width, generator=g),
        torch.randn(rows, key_heads, positions, width, generator=g),
        torch.randn(rows, key_heads, positions, value_width, generator=g),
    )


def by_definition(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    window: int | None,
    padding: Tensor | None = None,
) -> Tensor:
    """One query at a time, over the keys that it may see."""
    rows, heads, positions, width = query.shape
    repeats = heads // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    output = query.new_zeros(rows, heads, positions, value.shape[3])
    for b in range(rows):
        first = 0 if padding is None else int(padding[b])
        for t in range(first, positions):
            low = first if window is None else max(first, t - window + 1)
            scores = torch.einsum("hc,hsc->hs", query[b, :, t], key[b, :, low : t + 1])
            weights = (scores * (width**-0.5 if scaling is None else scaling)).softmax(dim=-1)
            output[b, :, t] = torch.einsum("hs,hsc->hc", weights, value[b, :, low : t + 1])
    return output


@pytest.mark.parametrize(("b", "h", "g", "t", "c", "d", "scaling", "window"), SHAPES)
def test_it_computes_the_definition_and_its_gradient(
    b: int, h: int, g: int, t: int, c: int, d: int, scaling: float | None, window: int | None
) -> None:
    leaves = [x.requires_grad_() for x in tensors(b, h, g, t, c, d)]
    query, key, value = leaves
    found = attend(query, key, value, module=LAYER, scaling=scaling, window=window)
    expected = by_definition(query, key, value, scaling, window)
    assert (found - expected).abs().max() <= 1e-5
    weights = torch.randn_like(expected)
    ours = torch.autograd.grad((found * weights).sum(), leaves)
    reference = torch.autograd.grad((expected * weights).sum(), leaves)
    for mine, theirs in zip(ours, reference, strict=True):
        assert (mine - theirs).abs().max() <= 1e-4 * max(1.0, theirs.abs().max().item())


def decode(
    query: Tensor, key: Tensor, value: Tensor, pieces: list[int], **options: Any
) -> tuple[Tensor, DecodingState]:
    """All positions of left-padded rows, in pieces of these lengths."""
    outputs = []
    start = 0
    with decoding(DecodingState(PADDING, query.shape[2] + 2)) as state:
        for size in pieces:
            part = [x[:, :, start : start + size] for x in (query, key, value)]
            outputs.append(attend(part[0], part[1], part[2], module=LAYER, **options))
            state.advance(size)
            start += size
    return torch.cat(outputs, dim=2), state


@pytest.mark.parametrize(("b", "h", "g", "t", "c", "d", "scaling", "window"), SHAPES)
@pytest.mark.parametrize("prefill", [1, 4, 5])
def test_decoding_left_padded_rows_computes_the_definition(
    b: int,
    h: int,
    g: int,
    t: int,
    c: int,
    d: int,
    scaling: float | None,
    window: int | None,
    prefill: int,
) -> None:
    query, key, value = tensors(b, h, g, t, c, d)
    pieces = [prefill] + [1] * (t - prefill)
    found, state = decode(query, key, value, pieces, scaling=scaling, window=window)
    expected = by_definition(query, key, value, scaling, window, PADDING)
    assert state.length == t
    assert torch.isfinite(found).all(), "padding queries must not become NaN"
    for row, first in enumerate(PADDING.tolist()):
        assert (found[row, :, first:] - expected[row, :, first:]).abs().max() <= 1e-5


def test_what_padding_holds_does_not_matter() -> None:
    query, key, value = tensors(3, 2, 2, 7, 4, 4)
    options: dict[str, Any] = {"scaling": None, "window": 5}
    found, _ = decode(query, key, value, [4, 1, 1, 1], **options)
    for row, first in enumerate(PADDING.tolist()):
        key[row, :, :first] = 50.0
        value[row, :, :first] = -9.0
    again, _ = decode(query, key, value, [4, 1, 1, 1], **options)
    for row, first in enumerate(PADDING.tolist()):
        assert torch.equal(found[row, :, first:], again[row, :, first:])


@pytest.mark.parametrize("window", [None, 1, 3, 100])
def test_the_mask_is_the_rule(window: int | None) -> None:
    state = DecodingState(PADDING, 9)
    for num_queries in (4, 1, 2):
        mask = state.mask(num_queries, window)
        assert mask is not None
        end = state.length + num_queries
        assert mask.shape == (3, 1, num_queries, end)
        for b, first in enumerate(PADDING.tolist()):
            for i in range(num_queries):
                t = state.length + i
                for s in range(end):
                    near = window is None or s > t - window
                    visible = s == t or (first <= s <= t and near)
                    assert bool(mask[b, 0, i, s]) == visible, (b, t, s)
        state.advance(num_queries)


def test_rows_that_are_dropped_leave_the_others_as_they_were() -> None:
    query, key, value = tensors(3, 2, 2, 6, 4, 4)
    options: dict[str, Any] = {"module": LAYER, "scaling": None, "window": None}
    whole, _ = decode(query, key, value, [4, 1, 1], scaling=None, window=None)
    kept = torch.tensor([2, 1])
    with decoding(DecodingState(PADDING, 6)) as state:
        attend(query[:, :, :4], key[:, :, :4], value[:, :, :4], **options)
        state.advance(4)
        state.mask(1, None)
        state.keep_rows(kept)
        for t in (4, 5):
            part = [x[kept, :, t : t + 1] for x in (query, key, value)]
            found = attend(part[0], part[1], part[2], **options)
            state.advance(1)
            assert (found - whole[kept, :, t : t + 1]).abs().max() <= 1e-6


def test_layers_keep_their_own_keys() -> None:
    query, key, value = tensors(3, 2, 2, 4, 4, 4)
    options: dict[str, Any] = {"scaling": None, "window": None}
    other = nn.Identity()
    with decoding(DecodingState(torch.zeros(3, dtype=torch.int64), 4)) as state:
        for t in range(4):
            part = [x[:, :, t : t + 1] for x in (query, key, value)]
            attend(part[0], -part[1], part[2], module=other, **options)
            found = attend(part[0], part[1], part[2], module=LAYER, **options)
            state.advance(1)
    expected = by_definition(query, key, value, None, None)
    assert (found - expected[:, :, 3:]).abs().max() <= 1e-5


def test_decoding_ends_with_its_context_even_after_an_error() -> None:
    state = DecodingState(PADDING, 4)
    with pytest.raises(KeyError), decoding(state):
        raise KeyError
    query, key, value = tensors(3, 2, 2, 4, 4, 4)
    attend(query, key, value, module=LAYER, scaling=None, window=None)
    assert state._layers == {}


def test_decoding_does_not_nest() -> None:
    with decoding(DecodingState(PADDING, 4)) as outer:
        with (
            pytest.raises(RuntimeError, match="do not nest"),
            decoding(DecodingState(PADDING, 4)),
        ):
            pass
        query, key, value = tensors(3, 2, 2, 4, 4, 4)
        attend(query, key, value, module=LAYER, scaling=None, window=None)
        assert LAYER in outer._layers, "the refused state must not have taken over"


# What Transformers calls


def test_the_interface_hands_over_window_and_scale() -> None:
    query, key, value = tensors(3, 4, 2, 7, 8, 8)
    found, weights = attention_forward(
        LAYER, query, key, value, None, scaling=0.2, dropout=0.0, sliding_window=3, is_causal=True
    )
    assert weights is None
    expected = by_definition(query, key, value, 0.2, 3).transpose(1, 2)
    assert found.shape == (3, 7, 4, 8)
    assert (found - expected).abs().max() <= 1e-5


class Grouped(nn.Identity):
    """What Transformers' own functions ask a layer for."""

    num_key_value_groups = 2
    sinks = torch.tensor([-1.0, 0.5, 2.0, 0.0])


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("term", ["softcap", "s_aux"])
def test_caps_and_sinks_are_those_of_gemma_and_gpt_oss(term: str, window: int | None) -> None:
    query, key, value = (t.requires_grad_() for t in tensors(3, 4, 2, 7, 8, 8))
    ahead = torch.arange(7)[:, None] - torch.arange(7)
    hidden = (ahead < 0) if window is None else (ahead < 0) | (ahead >= window)
    mask = torch.zeros(7, 7).masked_fill(hidden, float("-inf"))[None, None]
    layer = Grouped()
    options: dict[str, Any] = {"scaling": 1.5, "sliding_window": window}
    if term == "softcap":
        theirs, _ = gemma2_attention(layer, query, key, value, mask, scaling=1.5, softcap=0.8)
        options["softcap"] = 0.8
    else:
        theirs, _ = gpt_oss_attention(layer, query, key, value, mask, scaling=1.5)
        options["s_aux"] = layer.sinks
    ours, _ = attention_forward(layer, query, key, value, None, **options)
    assert (ours - theirs).abs().max() <= 1e-5
    slope = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(2))
    mine, expected = (
        torch.autograd.grad(found, (query, key, value), slope, retain_graph=True)
        for found in (ours, theirs)
    )
    assert max((a - b).abs().max() for a, b in zip(mine, expected, strict=True)) <= 1e-5


def test_a_mask_that_somebody_built_is_refused() -> None:
    query, key, value = tensors(3, 4, 2, 7, 8, 8)
    with pytest.raises(BaseModelError, match=r"Identity brought an attention mask.*\(3, 1, 7, 7\)"):
        attention_forward(LAYER, query, key, value, torch.ones(3, 1, 7, 7))


def test_only_the_attention_registry_knows_the_name() -> None:
    register_attention()
    register_attention()
    assert AttentionInterface()[ATTENTION_NAME] is attention_forward
    assert ATTENTION_NAME not in AttentionMaskInterface()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("key_heads", [4, 2])
def test_one_querys_large_scores_are_not_rounded(dtype: torch.dtype, key_heads: int) -> None:
    """As GPT-Neo makes them, which does not scale: in generation, too."""
    draw = torch.Generator().manual_seed(6)
    query = (4 * torch.randn(3, 4, 1, 64, generator=draw)).to(dtype)
    keys, values = (torch.randn(3, key_heads, 50, 64, generator=draw).to(dtype) for _ in range(2))
    mask = torch.ones(3, 1, 1, 50, dtype=torch.bool)
    mask[1, ..., :7] = False
    found = attend_one(query, keys, values, mask, 1.0)
    groups = 4 // key_heads
    wide = [t.double().repeat_interleave(groups, 1) for t in (keys, values)]
    scores = (query.double() @ wide[0].transpose(2, 3)).masked_fill(~mask, float("-inf"))
    assert scores[scores.isfinite()].abs().max() > 100
    expected = scores.softmax(-1) @ wide[1]
    assert (found.double() - expected).abs().max() < 2e-2

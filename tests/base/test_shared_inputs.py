"""Layers that read the same tensor make one product of it; nothing of it outlives their turns."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bakeoff.base.injection import LinearSite
from bakeoff.base.model import Base
from bakeoff.base.shared_inputs import forget_shared, layers_that_share, turns
from bakeoff.base.weights.sources import load_source
from bakeoff.engine.recompute import recomputed_layers


def test_groups_are_in_the_order_of_calls() -> None:
    names = [
        "h.0.attn.k_proj",
        "h.0.attn.v_proj",
        "h.0.attn.q_proj",
        "h.0.attn.o_proj",
        "h.0.mlp.up_proj",
        "h.0.mlp.gate_proj",
        "h.1.attn.v_proj",
        "h.1.mlp.c_fc",
    ]
    assert layers_that_share(names) == [
        ("h.0.attn.q_proj", "h.0.attn.k_proj", "h.0.attn.v_proj"),
        ("h.0.mlp.gate_proj", "h.0.mlp.up_proj"),
    ]


def test_only_the_very_tensor_is_found_and_nothing_stays() -> None:
    first, second, last = turns(3)
    tensor, other = torch.ones(2), torch.ones(2)
    made = torch.zeros(3)
    assert first.leave(tensor, made) is made
    assert second.found(other) is None and second.found(tensor) is made
    reference = weakref.ref(tensor)
    assert last.found(tensor) is made
    del tensor
    gc.collect()
    assert reference() is None


def test_what_a_failed_pass_left_is_forgotten() -> None:
    first, last = turns(2)
    tensor = torch.ones(2)
    first.leave(tensor, tensor)
    forget_shared()
    assert last.found(tensor) is None


@pytest.mark.parametrize("acts", [True, False])
def test_sites_hand_on_one_view_of_what_they_read(acts: bool) -> None:
    """A layer on which nothing acts ends the turns all the same."""
    seen: list[Tensor] = []

    def hook(x_KND: Tensor, y_KNE: Tensor) -> Tensor:
        seen.append(x_KND)
        return y_KNE

    sites = [LinearSite(torch.nn.Linear(4, 4), name) for name in ("q_proj", "k_proj", "v_proj")]
    for site, turn in zip(sites, turns(3), strict=True):
        site.num_slots, site.turn, site.hooks = 2, turn, [hook]
    if not acts:
        sites[-1].hooks = []
    x = torch.randn(4, 3, 4)
    for site in sites:
        site(x)
    assert len({id(view) for view in seen}) == 1
    reference = weakref.ref(x)
    del x
    seen.clear()
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("when", ["forward", "recomputed"])
def test_a_pass_that_ends_between_two_turns_keeps_nothing(when: str, tmp_path: Path) -> None:
    """What was computed of the input holds all that was computed before it."""
    source = load_source("scratch:tiny-llama", root=tmp_path, cache_dir=tmp_path)
    base = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    names = [f"model.layers.0.self_attn.{end}" for end in ("q_proj", "k_proj", "v_proj")]
    read: list[weakref.ref[Tensor]] = []
    calls_before_failure = 0 if when == "forward" else 1

    def seen(x_KND: Tensor, y_KNE: Tensor) -> Tensor:
        read.append(weakref.ref(x_KND))
        return y_KNE

    def fails(x_KND: Tensor, y_KNE: Tensor) -> Tensor:
        if len(read) > calls_before_failure:
            raise MemoryError("out of memory")
        return y_KNE

    embeds = torch.randn(1, 3, base.width, requires_grad=True)
    positions = torch.arange(3)[None]
    around: Any = nullcontext() if when == "forward" else recomputed_layers(base)
    with base.sites(names, 1) as sites, around:
        for name, hook in zip(names, (seen, fails, seen), strict=True):
            vars(sites[name])["hooks"] = [hook]
        with pytest.raises(MemoryError):
            base.hidden_states(embeds, positions).sum().backward()
    gc.collect()
    assert [reference() for reference in read] == [None] * len(read)
    assert len(read) > calls_before_failure

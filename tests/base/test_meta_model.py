"""A base without values: the same shapes, the same ties, no memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from bakeoff.base.meta_model import MetaBase, model_bytes
from bakeoff.base.model import Base
from bakeoff.base.weights.sources import load_source

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    source = load_source(
        "scratch:tiny-llama", root=Path.cwd(), cache_dir=tmp_path_factory.mktemp("cache")
    )
    return Base(source, device=CPU, dtype=torch.float32)


def meta(base: Base, dtype: torch.dtype | None = None) -> MetaBase:
    with FakeTensorMode():
        return MetaBase(base, dtype=dtype)


def test_it_has_the_weights_shapes_and_no_values(base: Base) -> None:
    found = dict(meta(base).model.named_parameters())
    assert {n: p.shape for n, p in found.items()} == {
        n: p.shape for n, p in base.model.named_parameters()
    }
    assert all(isinstance(p, FakeTensor) and not p.requires_grad for p in found.values())


def test_the_original_keeps_its_own(base: Base) -> None:
    meta(base)
    assert not any(isinstance(p, FakeTensor) for p in base.model.parameters())


def test_the_head_stays_tied_to_the_embedding(base: Base) -> None:
    empty = meta(base)
    assert base.is_tied and empty.is_tied
    assert empty.head.weight is empty.embedding.weight


def test_bytes_count_shared_weights_once(base: Base) -> None:
    num_buffers = sum(b.numel() for b in base.model.buffers())
    expected = 4 * (base.model.num_parameters() + num_buffers)
    assert model_bytes(base.model) == expected
    empty = meta(base, torch.bfloat16)
    assert empty.source_bytes == expected
    # The buffers stay in float32.
    assert empty.held_bytes == 2 * base.model.num_parameters() + 4 * num_buffers
    assert empty.compute_dtype == torch.bfloat16


def test_a_private_copy_is_a_float32_model_of_its_own(base: Base) -> None:
    with FakeTensorMode():
        empty = MetaBase(base, dtype=torch.bfloat16)
        twin, _ = empty.private_copy()
    assert twin.head.weight.dtype == torch.float32
    assert empty.head.weight.dtype == torch.bfloat16
    assert twin.model is not empty.model
    assert twin.is_tied

"""The untrained bias of a router of experts is a buffer of the files, and outlives an export."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bakeoff.base.checkpoint import CHECKPOINT_WEIGHTS, write_checkpoint
from bakeoff.base.model import Base
from bakeoff.base.weights.folder import load_model
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import Source
from bakeoff.errors import CheckpointError
from bakeoff.methods.full import Full
from bakeoff.methods.specs.full import FullOptions
from tests.architectures.families import model_of

IDS = torch.arange(1, 21).view(2, 10)
BIAS = "e_score_correction_bias"


def biased(family: str) -> tuple[Base, torch.Tensor]:
    """(a base whose routers have a bias, Transformers' logits of it)."""
    model = model_of(family)
    generator = torch.Generator().manual_seed(3)
    for name, buffer in model.named_buffers():
        if name.endswith(BIAS):
            buffer.copy_(torch.randn(buffer.shape, generator=generator))
    with torch.no_grad():
        logits = model(input_ids=IDS).logits
    source = Source(
        reference=family,
        model=model,
        tokenizer=byte_tokenizer(64),
        fingerprint="",
        description="",
    )
    return Base(source, device=torch.device("cpu"), dtype=torch.float32), logits


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", ["deepseek_v3", "glm4_moe"])
def test_a_checkpoint_routes_as_its_base(
    family: str, dtype: torch.dtype | None, tmp_path: Path
) -> None:
    base, expected = biased(family)
    write_checkpoint(base, {}, tmp_path, dtype=dtype)
    stored = load_file(tmp_path / CHECKPOINT_WEIGHTS)
    buffers = dict(base.source_buffers())
    assert buffers and all(name.endswith(BIAS) for name in buffers)
    for name, buffer in buffers.items():
        assert buffer.any() and stored[name].dtype == torch.float32
        assert torch.equal(stored[name], buffer)
    if dtype is None:
        with torch.no_grad():
            found = load_model(tmp_path)(input_ids=IDS).logits
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_full_tuning_reads_its_checkpoints_back_also_without_it(tmp_path: Path) -> None:
    base, _ = biased("deepseek_v3")
    method = Full(FullOptions(), base, where="methods.full")
    tensors = method.initial(torch.Generator())
    method.save(tensors, tmp_path)
    file = tmp_path / CHECKPOINT_WEIGHTS
    for _ in range(2):
        found = method.load(tmp_path)
        assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
        # As an earlier version wrote it: the candidate's base has its buffers all the same.
        kept = {name: t for name, t in load_file(file).items() if not name.endswith(BIAS)}
        save_file(kept, file, metadata={"format": "pt"})
    # By itself such a folder is no whole model.
    with pytest.raises(CheckpointError, match=BIAS):
        load_model(tmp_path)

"""A weight quantised piece by piece is the weight quantised at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bakeoff.base.quantized import pieces

bitsandbytes: Any = pytest.importorskip("bitsandbytes", reason="the extra bakeoff[quantization]")


@pytest.mark.parametrize("shape", [(64, 96), (33, 70), (7, 4099)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_four_bits(
    shape: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    quantise = bitsandbytes.functional.quantize_4bit
    try:
        packed, state = quantise(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
    except RuntimeError:
        if weight.numel() % 2 == 0:
            raise
        pytest.skip("bitsandbytes before 0.50 packs no odd number of weights on a CPU")
    monkeypatch.setattr(pieces, "_NUMBERS", 1024)
    with pieces.InPieces():
        again, same = quantise(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
    assert torch.equal(packed, again) and torch.equal(state.absmax, same.absmax)
    assert torch.equal(state.offset, same.offset) and state.shape == same.shape


@pytest.mark.parametrize("shape", [(64, 96), (33, 70), (7, 4099)])
def test_eight_bits(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    quantise = bitsandbytes.functional.int8_vectorwise_quant
    packed, absmax, _ = quantise(weight)
    monkeypatch.setattr(pieces, "_NUMBERS", 1024)
    with pieces.InPieces():
        again, same, outliers = quantise(weight)
    assert torch.equal(packed, again) and torch.equal(absmax, same) and outliers is None

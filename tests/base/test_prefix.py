"""What a prefix gives to attention in training; its results are compared in tests/methods."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bakeoff.base.attention.interface import present_extension
from bakeoff.base.prefix import Prefix, prefixed


class _Layer(nn.Module):
    layer_idx = 0


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_mask_to_add_is_made_once_and_needs_no_copy(
    dtype: torch.dtype, window: int | None
) -> None:
    layer = (torch.ones(2, 1, 3, 4, dtype=dtype), torch.ones(2, 1, 3, 4, dtype=dtype))
    prefix = Prefix(layers=(layer, layer), lengths_K=torch.tensor([3, 1]))
    keys = torch.zeros(4, 1, 6, 4, dtype=dtype)
    with prefixed(prefix):
        extension = present_extension()
        assert extension is not None
        seen = extension(_Layer(), keys, keys, window, None)[2]
        added = extension(_Layer(), keys, keys, window, None, as_bias=True)[2]
        again = extension(_Layer(), keys, keys, window, None, as_bias=True)[2]
    assert seen.dtype == torch.bool and seen.shape == (4, 1, 6, 9)
    assert seen[:, 0, 0].sum(dim=1).tolist() == [4, 4, 2, 2], "each slot's own prefix, and itself"
    assert added is again and added.dtype == dtype
    assert torch.equal(added, torch.zeros_like(added).masked_fill(~seen, float("-inf")))
    # CUDA's kernel copies a mask whose rows do not begin at multiples of 16 bytes.
    assert all(stride * dtype.itemsize % 16 == 0 for stride in added.stride()[:-1])

"""How near attention in bfloat16 must come to its definition in float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def assert_near(found: Sequence[Tensor], exact: Sequence[Tensor]) -> None:
    """Output and gradients of query, key and value, as bfloat16 rounds them."""
    for name, right, ours in zip(("output", "query", "key", "value"), exact, found, strict=True):
        assert ours.dtype == torch.bfloat16 and ours.shape == right.shape, name
        scale = max(1e-3, float(right.detach().abs().max()))
        gap = float((ours.detach().double() - right.detach()).abs().max()) / scale
        assert gap < 1.5e-2, (name, gap)

"""Products of operands in few bits, summed up and written in float32.

A GPU multiplies bfloat16 and float16 many times as fast as float32, and its units sum in float32
anyway: only the format of what is written must be asked for. Without that, either the operands go
to float32 first, or the sums are rounded.

Axis letters: ``N`` batch, ``M`` rows, ``D`` summed over, ``E`` columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bakeoff.base.devices import kind_of

LOW = (torch.float16, torch.bfloat16)

_library = torch.library.Library("bakeoff", "FRAGMENT")
_library.define("add_wide_product(Tensor(a!) total, Tensor left, Tensor right) -> Tensor(a!)")
# PyTorch's own operator has no form for tensors without values (2.13: its arguments are mixed up).
_library.impl(
    "add_wide_product",
    lambda total, left, right: (
        torch.baddbmm(total, left, right, out_dtype=torch.float32, out=total)
        if left.dtype in LOW
        else total.baddbmm_(left, right)
    ),
    "CUDA",
)
_library.impl(
    "add_wide_product",
    lambda total, left, right: total.baddbmm_(left.float(), right.float()),
    "CPU",
)
torch.library.register_fake(
    "bakeoff::add_wide_product", lambda total, left, right: total, lib=_library
)


def wide_product(left_NMD: Tensor, right_NDE: Tensor) -> Tensor:
    """[N, M, E] float32 products, not rounded to the format of what they are products of."""
    if kind_of(left_NMD.device) == "cuda" and left_NMD.dtype in LOW:
        return torch.bmm(left_NMD, right_NDE, out_dtype=torch.float32)
    return torch.bmm(left_NMD.float(), right_NDE.float())


def add_wide_product(total_NME: Tensor, left_NMD: Tensor, right_NDE: Tensor) -> None:
    """Adds ``left @ right`` to a float32 tensor in place, without a second one of its size."""
    torch.ops.bakeoff.add_wide_product(total_NME, left_NMD, right_NDE)

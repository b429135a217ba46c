"""Which attention kernels run on the card, and which PyTorch takes by itself.

Axis letters: ``B`` rows, ``H`` heads, ``T`` query positions, ``S`` key positions, ``C`` head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from bakeoff.base.attention.windows import band_mask, knows_windows
from gpu.card import CUDA, DTYPES, require_card
from gpu.processes import Place
from gpu.records import Report

KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
HEADS, WIDTH, ROWS, POSITIONS, WINDOW = 8, 64, 2, 128, 48


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way in which the engine asks for attention.

    Attributes:
        name: of the mask. precision: of queries, keys and values.
        key_heads: heads of the keys. positions: T, of S = 128.
    """

    name: str
    precision: str
    key_heads: int
    positions: int = POSITIONS

    def arguments(self) -> tuple[list[Tensor], dict[str, Any]]:
        """Queries, keys and values, [B, H, T or S, C], and the other arguments."""
        heads = (HEADS, self.key_heads, self.key_heads)
        lengths = (self.positions, POSITIONS, POSITIONS)
        inputs = [
            torch.randn(ROWS, h, t, WIDTH, device=CUDA, dtype=DTYPES[self.precision])
            for h, t in zip(heads, lengths, strict=True)
        ]
        more: dict[str, Any] = {"enable_gqa": self.key_heads != HEADS}
        if self.name == "causal":
            more["is_causal"] = True
        elif self.name == "window mask":
            more["attn_mask"] = band_mask(POSITIONS, WINDOW, CUDA)
        elif self.name == "padding mask":
            seen = torch.ones(ROWS, 1, self.positions, POSITIONS, device=CUDA, dtype=torch.bool)
            more["attn_mask"] = seen.tril(POSITIONS - self.positions)
        return inputs, more


def cases() -> Iterator[Case]:
    """Every format, mask and grouping."""
    for precision in DTYPES:
        for key_heads in (HEADS, HEADS // 4):
            for name in ("causal", "no mask", "window mask", "padding mask"):
                yield Case(name=name, precision=precision, key_heads=key_heads)
            yield Case(name="padding mask", precision=precision, key_heads=key_heads, positions=1)


def run(report: Report, place: Place) -> None:
    """See the module."""
    require_card()
    for case in cases():
        grouped = "grouped heads" if case.key_heads != HEADS else "all heads"
        name = f"{case.precision} {case.name} {grouped} {case.positions} queries"
        with report.part(name) as found:
            for kernel, backend in KERNELS.items():
                found[kernel] = _outcome(case, backend)
            found["chosen"] = _chosen(case)
            runs = [kernel for kernel in KERNELS if found[kernel] == "runs"]
            found["says"] = f"takes {found['chosen']}; {', '.join(runs) or 'none'} can"
            assert runs, f"no kernel takes this case: {found}"
    for precision in ("bfloat16", "float16"):
        for width in (16, 64, 128):
            with report.part(f"{precision} flash kernel with a window, width {width}") as found:
                found["trusted"] = knows_windows(CUDA, DTYPES[precision], width)
                agrees = "agrees" if found["trusted"] else "DOES NOT AGREE"
                found["says"] = f"{agrees} with the mask, forward and backward"


def _outcome(case: Case, backend: SDPBackend) -> str:
    """``runs``, or why a kernel does not take a case, forward and backward."""
    inputs, more = case.arguments()
    query, key, value = leaves = [tensor.requires_grad_() for tensor in inputs]
    try:
        with sdpa_kernel(backend):
            output = F.scaled_dot_product_attention(query, key, value, **more)
            torch.autograd.grad(output.float().sum(), leaves)
        torch.cuda.synchronize()
    except (RuntimeError, NotImplementedError) as error:
        return str(error).strip().splitlines()[0][:160] if str(error) else type(error).__name__
    return "runs"


def _chosen(case: Case) -> str:
    """The kernel that PyTorch takes where it may take any."""
    (query, key, value), more = case.arguments()
    try:
        number = torch._fused_sdp_choice(query, key, value, **more)
    except (RuntimeError, NotImplementedError, TypeError) as error:
        return f"unknown ({type(error).__name__})"
    return next((k for k, b in KERNELS.items() if int(b.value) == int(number)), str(number))

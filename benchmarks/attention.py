"""Attention in bfloat16 on a CPU against PyTorch's fused kernel, in one run, interleaved.

    python benchmarks/attention.py

Prints one JSON object per line for each shape: milliseconds of both, forward alone and with the
backward pass, and the ratio (the fused kernel's time over ours).
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.base.attention.cpu import blockwise_attention
from bakeoff.memory import keep_freed
from common.clock import interleaved

SHAPES = [  # rows, heads, heads of keys, positions, width
    (4, 12, 12, 64, 64),
    (4, 12, 12, 256, 64),
    (16, 12, 12, 256, 64),
    (4, 9, 3, 256, 64),
    (8, 4, 4, 192, 32),
    (2, 12, 12, 512, 64),
]


def main() -> None:
    """Times every shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed()  # as the command line does
    for shape in SHAPES:
        print(json.dumps(_case(shape, arguments.repeats)), flush=True)


def _fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)


def _ours(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return blockwise_attention(query, key, value, scaling=None, window=None)


def _case(shape: tuple[int, int, int, int, int], repeats: int) -> dict[str, Any]:
    rows, heads, key_heads, positions, width = shape
    draw = torch.Generator().manual_seed(0)
    query, key, value, slope = (
        torch.randn(rows, positions, count, width, generator=draw).bfloat16().transpose(1, 2)
        for count in (heads, key_heads, key_heads, heads)
    )
    leaves = [tensor.requires_grad_() for tensor in (query, key, value)]

    def forward(attention: Any) -> Tensor:
        with torch.no_grad():
            output: Tensor = attention(*leaves)
        return output

    def both(attention: Any) -> tuple[Tensor, ...]:
        return torch.autograd.grad(attention(*leaves), leaves, slope)

    row: dict[str, Any] = {
        "rows": rows,
        "heads": heads,
        "key_heads": key_heads,
        "positions": positions,
        "width": width,
        "threads": torch.get_num_threads(),
    }
    for name, work in (("forward", forward), ("forward_backward", both)):
        fused, ours = interleaved([partial(work, _fused), partial(work, _ours)], 3, repeats)
        row[name] = {
            "fused_ms": round(fused / 1e3, 2),
            "ours_ms": round(ours / 1e3, 2),
            "ratio": round(fused / ours, 2),
        }
    return row


if __name__ == "__main__":
    main()

"""Products with a frozen weight against PyTorch's own, in one run, interleaved.

    python benchmarks/products.py

Prints one JSON object per line for each shape: microseconds of both, forward and backward, and the
ratio (PyTorch's time over ours). Shapes are those of GPT-Neo-125M and of the embedded base.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from bakeoff.base import products
from common.clock import interleaved

SHAPES = [(64, 64), (64, 192), (128, 512), (768, 768), (768, 3072), (3072, 768), (768, 50257)]
ROWS = [1, 16, 128, 1024]
LARGEST = 1 << 34
"""Multiply-adds of a product that would take too long to time."""


def main() -> None:
    """Times every shape in both directions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for dtype in (torch.float32, torch.bfloat16):
        for width, out in SHAPES:
            for rows in ROWS:
                if rows * width * out <= LARGEST:
                    print(json.dumps(_case(rows, width, out, dtype, arguments.repeats)), flush=True)


@torch.no_grad()
def _case(rows: int, width: int, out: int, dtype: torch.dtype, repeats: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    x, weight, slope = (
        torch.randn(shape, generator=draw).to(dtype)
        for shape in ((rows, width), (out, width), (rows, out))
    )
    calls = max(1, min(300, (1 << 28) // (rows * width * out)))
    row: dict[str, Any] = {
        "format": str(dtype).removeprefix("torch."),
        "rows": rows,
        "width": width,
        "out": out,
        "threads": torch.get_num_threads(),
    }
    # Beneath the threshold, too: that is where it comes from.
    for way, given, turned in (("forward", x, weight), ("backward", slope, weight.t())):
        usual, ours = interleaved(
            [
                partial(F.linear, given, turned),
                partial(products._onednn, given, turned, None),
            ],
            calls,
            repeats,
        )
        row[way] = {
            "usual_us": round(usual, 1),
            "onednn_us": round(ours, 1),
            "ratio": round(usual / ours, 2),
        }
    return row


if __name__ == "__main__":
    main()

"""Weights quantised piece by piece, so that the work takes little memory beside them."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_NUMBERS: Final = 1 << 20
"""Of one piece; a multiple of every block's size."""


class InPieces(TorchDispatchMode):
    """Inside it bitsandbytes quantises a weight on a CPU a million numbers at a time.

    It takes some sixteen bytes for each number of what it is given at once, which for one layer of
    a base in four bits can be a fifth of all that the base holds. Blocks and rows are quantised
    each by itself, so that the packed weight is the same.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = str(func)
        if name == "bitsandbytes.quantize_4bit.default" and _is_large(args[0]):
            weight, *options = args
            parts = [func(part, *options, **kwargs) for part in weight.reshape(-1).split(_NUMBERS)]
            packed, absmax = zip(*parts, strict=True)
            return torch.cat(packed), torch.cat(absmax)
        if name == "bitsandbytes.int8_vectorwise_quant.default" and _is_large(args[0]):
            weight, *options = args
            if not any(options) and not kwargs:  # outliers are found in whole columns
                rows = max(1, _NUMBERS // weight.shape[-1])
                parts = [func(part) for part in weight.split(rows)]
                packed, absmax, _ = zip(*parts, strict=True)
                return torch.cat(packed), torch.cat(absmax), None
        return func(*args, **kwargs)


def _is_large(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and weight.numel() > _NUMBERS

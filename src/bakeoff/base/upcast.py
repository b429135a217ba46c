"""A held model that computes in float32 for a moment, one module's weights at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def computing_in_float32(model: nn.Module) -> Iterator[None]:
    """Inside, each module sees its own weights in float32 while it runs.

    For checks of what a model computes, which rounding would hide: a float32 copy of the whole may
    not fit. A module's weights must be its own business: one that reads another's fails.
    """
    kept: dict[nn.Module, dict[str, Any]] = {}

    def widen(module: nn.Module, *_: object) -> None:
        found = module._parameters
        if module in kept or not any(_is_narrow(p) for p in found.values()):
            return
        kept[module] = dict(found)
        for name, parameter in kept[module].items():
            if _is_narrow(parameter):
                wide = parameter.detach().float()
                found[name] = nn.Parameter(wide, requires_grad=False)

    def narrow(module: nn.Module, *_: object) -> None:
        module._parameters.update(kept.pop(module, {}))

    handles = []
    for module in model.modules():
        if any(_is_narrow(p) for p in module._parameters.values()):
            handles.append(module.register_forward_pre_hook(widen))
            handles.append(module.register_forward_hook(narrow, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in list(kept):
            narrow(module)


def _is_narrow(parameter: object) -> bool:
    return (
        isinstance(parameter, nn.Parameter)
        and parameter.is_floating_point()
        and parameter.dtype != torch.float32
    )

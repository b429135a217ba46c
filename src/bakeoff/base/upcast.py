"""A held model that computes in float32 for a moment, one module's weights at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bakeoff.base.products import FrozenLinear

_LARGE: Final = 1 << 21
"""Numbers of a weight that is widened whole, at most."""
_LINEAR: Final = (nn.Linear, FrozenLinear)


@contextmanager
def computing_in_float32(model: nn.Module) -> Iterator[None]:
    """Inside, each module sees its own weights in float32 while it runs.

    For checks of what a model computes, which rounding would hide: a float32 copy of the whole may
    not fit. Of an embedding only what it gives is widened, and a large linear layer, such as a
    head, is widened a few rows at a time. A module's weights must be its own business: one that
    reads another's fails.
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

    handles: list[Any] = []
    replaced: list[nn.Module] = []
    for module in model.modules():
        if not any(_is_narrow(p) for p in module._parameters.values()):
            continue
        if isinstance(module, nn.Embedding):
            handles.append(module.register_forward_hook(lambda *a: a[2].float()))
        elif type(module) in _LINEAR and module.get_parameter("weight").numel() > _LARGE:
            setattr(module, "forward", partial(_by_rows, module))  # noqa: B010
            replaced.append(module)
        else:
            handles.append(module.register_forward_pre_hook(widen))
            handles.append(module.register_forward_hook(narrow, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in replaced:
            del module.forward  # the class's own again
        for module in list(kept):
            narrow(module)


def _by_rows(linear: Any, x: Tensor) -> Tensor:
    """The layer's output in float32."""
    bias = linear.bias
    rows = max(1, _LARGE // linear.in_features)
    parts = [F.linear(x.float(), part.float()) for part in linear.weight.detach().split(rows)]
    y = torch.cat(parts, dim=-1)
    return y if bias is None else y + bias.float()


def _is_narrow(parameter: object) -> bool:
    return (
        isinstance(parameter, nn.Parameter)
        and parameter.is_floating_point()
        and parameter.dtype != torch.float32
    )

"""Whole models with quantised linear layers."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any, Final, Literal

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bakeoff.base.products import FrozenConv1D, FrozenLinear
from bakeoff.base.quantized.linear import QuantizedLinear, quantized
from bakeoff.base.quantized.storage import Kind, Layout, of_state, packed_bytes
from bakeoff.types import Quantization

_LINEAR: Final = (nn.Linear, Conv1D, FrozenLinear, FrozenConv1D)
Held = Quantization | Literal["fp4"]


def quantized_copy(
    original: PreTrainedModel, device: torch.device, dtype: torch.dtype, kind: Kind
) -> PreTrainedModel:
    """A model of the same modules on a device, its linear layers quantised one after the other.

    Args:
        original: in float32; stays as it is. device: of the copy.
        dtype: of what is not quantised, and of a weight before it is.
        kind: the format.

    Raises:
        ConfigError: bitsandbytes is not installed.
    """
    memo: dict[int, Any] = {}
    for layer in linear_modules(original).values():
        # What a deep copy finds in its memo it takes from there: no weight is copied whole.
        alone = copy.copy(layer)
        alone._parameters = {
            name: None if p is None else nn.Parameter(p.detach().to(device, dtype), False)
            for name, p in layer._parameters.items()
        }
        memo[id(layer)] = quantized(alone, kind)
    model = copy.deepcopy(original, memo)
    return to_device(model, device, dtype)


def quantize(model: PreTrainedModel, kind: Kind) -> None:
    """Replaces the linear layers of a model, without the head, one after the other.

    Raises:
        ConfigError: bitsandbytes is not installed.
    """
    for name, layer in linear_modules(model).items():
        _replace(model, name, quantized(layer, kind))


def adopt_bitsandbytes(model: PreTrainedModel) -> None:
    """Replaces bitsandbytes' layers in a model by ours, over the same packed weights."""
    for name, module in list(model.named_modules()):
        kind = type(module).__name__
        if kind not in ("Linear4bit", "Linear8bitLt"):
            continue
        theirs: Any = module
        weight, bias = theirs.weight, theirs.bias
        if kind == "Linear4bit":
            layout, tensors = of_state(weight.data, weight.quant_state)
        else:
            packed = weight.data
            absmax = theirs.state.SCB if weight.SCB is None else weight.SCB
            num_out, num_in = packed.shape
            layout = Layout(kind="int8", num_out=num_out, num_in=num_in)
            tensors = {"packed": packed, "absmax": absmax.float()}
        was_transposed = getattr(module, "source_cls", None) is Conv1D
        _replace(
            model,
            name,
            QuantizedLinear(layout, tensors, bias, was_transposed=was_transposed),
        )


def quantized_bytes(model: PreTrainedModel, dtype: torch.dtype, kind: Kind) -> int:
    """Bytes of a model's weights if its linear layers were quantised, from its shapes alone."""
    layers = {id(layer.get_parameter("weight")): layer for layer in linear_modules(model).values()}
    total = 0
    for parameter in model.parameters():
        if id(parameter) in layers:
            total += packed_bytes(parameter.numel(), linear_shape_out(layers[id(parameter)]), kind)
        else:
            total += parameter.numel() * dtype.itemsize
    return total


def linear_shape_out(layer: nn.Module) -> int:
    """A linear layer's width out."""
    return int(layer.nf if isinstance(layer, Conv1D) else layer.out_features)  # type: ignore[arg-type]


def linear_modules(model: PreTrainedModel) -> dict[str, nn.Module]:
    """The layers that quantisation means: all linear ones without the head, by full name.

    A class of the model's own may do more than a product, as routers do that choose experts.
    """
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if module is not head and (type(module) in _LINEAR or isinstance(module, QuantizedLinear))
    }


def held_in(model: nn.Module) -> Held:
    """In what a model's linear layers are held."""
    found = {m.layout.kind for m in model.modules() if isinstance(m, QuantizedLinear)}
    return min(found) if found else "none"


def to_device(model: PreTrainedModel, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """The model on a device, its parameters in ``dtype``, in place.

    Buffers keep their formats: the angles of rotary positions need float32, and so do the scales of
    a packed weight.
    """
    places: dict[int, int] = Counter(
        id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False)
    )
    tied: dict[nn.Parameter, nn.Parameter] = {}  # the others are let go one after the other
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            found = tied.get(parameter)
            if found is None:
                values = parameter.detach().to(device, dtype)
                found = nn.Parameter(values, parameter.requires_grad)
            if places[id(parameter)] > 1:
                tied[parameter] = found
            module._parameters[name] = found
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(device)
    return model


def copied(model: PreTrainedModel, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """A copy of a model elsewhere; formats as of ``to_device``."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        own = parameter.detach().to(device, dtype, copy=True)
        memo[id(parameter)] = nn.Parameter(own, parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.to(device, copy=True)
    return copy.deepcopy(model, memo)


def unquantize(model: PreTrainedModel) -> None:
    """Replaces quantised layers by ordinary ones in float32, one after the other."""
    for name, module in list(model.named_modules()):
        if isinstance(module, QuantizedLinear):
            _replace(model, name, whole_linear(module, torch.float32))


def whole_linear(packed: QuantizedLinear, dtype: torch.dtype) -> nn.Module:
    """An ordinary layer of the unpacked weight, of the kind that the model had."""
    weight, bias = packed.unpacked(dtype), packed.bias
    whole: nn.Module
    with torch.device("meta"):
        if packed.was_transposed:
            whole = Conv1D(packed.out_features, packed.in_features)
            weight = weight.t().contiguous()
        else:
            whole = nn.Linear(packed.in_features, packed.out_features, bias=bias is not None)
    whole.register_parameter("weight", nn.Parameter(weight, requires_grad=False))
    own = None if bias is None else nn.Parameter(bias.detach().to(dtype, copy=True), False)
    whole.register_parameter("bias", own)
    return whole


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)

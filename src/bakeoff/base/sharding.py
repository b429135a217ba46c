"""A base whose layers are shared out among the processes of a run, by PyTorch's FSDP2.

Each process holds a part of every weight of every layer. ``fully_shard`` gathers a layer right
before its forward and its backward pass and drops what it gathered right after. Embedding and head,
which the engine reads itself, and the last norm are whole in every process.

Source: Zhao et al. 2023, arXiv:2304.11277; PyTorch's ``torch.distributed.fsdp.fully_shard``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Shard

from bakeoff.base.quantized.linear import QuantizedLinear
from bakeoff.errors import BaseModelError
from bakeoff.ranks import ranks

_SMALL = 256
"""Numbers up to which each process holds all of a packed weight's tensor: the table of codes, which
all weights share, has as many."""


def shard_layers(
    model: nn.Module, decoder: nn.Module, layers: Sequence[nn.Module], device: torch.device
) -> None:
    """Shards each layer in place and moves the model to the device, a layer at a time.

    Args:
        model: whole, on the CPU. decoder: the part of it that calls the layers.
        layers: the decoder's. device: this process's.

    Raises:
        BaseModelError: the layers cannot be told apart.
    """
    # Heavy, and of no use to a process that is alone.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if not layers:
        raise BaseModelError(
            f"{type(model).__name__}: its layers cannot be told apart, so that they cannot be "
            "shared out among processes; start one process, without torchrun"
        )
    mesh = init_device_mesh(device.type, (ranks().count,))
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, QuantizedLinear):
                _packed_as_parameters(module)
        sharded: Any = fully_shard(layer, mesh=mesh, reshard_after_forward=True)
        # Losses are divided by the tokens of all processes already. Gloo knows sums alone.
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None and not isinstance(parameter, DTensor):
                parameter.data = parameter.data.to(device)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(device)
    rest = {p for p in model.parameters() if not isinstance(p, DTensor)}
    fully_shard(decoder, mesh=mesh, ignored_params=rest)


def _packed_as_parameters(linear: QuantizedLinear) -> None:
    """Parameters are what is sharded; they are frozen, so that any format will do."""
    for name in linear.layout.names:
        tensor = getattr(linear, name)
        if tensor.dim() and tensor.numel() > _SMALL:
            delattr(linear, name)
            linear.register_parameter(name, nn.Parameter(tensor, requires_grad=False))


def whole(tensor: Tensor) -> Tensor:
    """A tensor as it is, or gathered where this process holds a part of it; all must ask for it."""
    if isinstance(tensor, DTensor):
        with torch.no_grad():
            gathered: Tensor = tensor.full_tensor()
        return gathered
    return tensor


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds, as a view."""
    if isinstance(tensor, DTensor):
        part: Tensor = tensor.to_local().detach()
        return part
    return tensor


def part_like(tensor: Tensor, sharded: Tensor) -> Tensor:
    """Of a whole tensor the part that this process holds of ``sharded``, which is of its shape."""
    if not isinstance(sharded, DTensor):
        return tensor
    parts = tensor.chunk(ranks().count, dim=0)
    rank = ranks().rank
    return parts[rank] if rank < len(parts) else tensor[:0]


def joined_like(part: Tensor, sharded: Tensor) -> Tensor:
    """The whole tensor of which each process has such a part as of ``sharded``, or ``part``."""
    if not isinstance(sharded, DTensor):
        return part
    return whole(as_sharded(part, sharded))


def as_sharded(part: Tensor, sharded: DTensor) -> DTensor:
    """This process's part as one of a tensor of the shape of ``sharded``; memory is shared."""
    return DTensor.from_local(
        part,
        sharded.device_mesh,
        [Shard(0)],
        run_check=False,
        shape=sharded.shape,
        stride=sharded.stride(),
    )

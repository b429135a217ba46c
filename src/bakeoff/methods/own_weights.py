"""A stack that gives each slot its own values of parameters that the base has.

Axis letters: ``K`` slots, ``N`` positions of all rows of a slot, ``D`` a layer's width in, ``E``
its width out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bakeoff.base.injection import unsited
from bakeoff.base.model import Base
from bakeoff.base.norms import normalise
from bakeoff.methods.contract import Method
from bakeoff.methods.padded import PaddedStack


def source_parameters(base: Base, layers: Mapping[str, tuple[str, ...]]) -> dict[str, Tensor]:
    """The base's float32 parameters as loaded, by name.

    Held by the caller, since sites rename what is below them while they are installed.

    Args:
        base: the base.
        layers: of each layer, by its full name, the parts that are wanted, such as ``bias``; those
            that it lacks are left out.
    """
    found: dict[str, Tensor] = {}
    for name, parts in layers.items():
        layer = unsited(base.model.get_submodule(name))
        for part in parts:
            # Not by its attribute: to look at a quantised layer's weight would unpack it.
            if layer._parameters.get(part) is not None:
                found[f"{name}.{part}"] = base.source_parameter(f"{name}.{part}")
    return found


class OwnWeightsStack(PaddedStack):
    """K slots' parameters; the base's own where a slot has none."""

    def __init__(
        self, base: Base, methods: Sequence[Method], num_slots: int, own: Mapping[str, Tensor]
    ) -> None:
        """As ``PaddedStack``; ``own`` holds the base's parameters of all the methods."""
        super().__init__(base, methods, num_slots)
        self._own = {
            name: own[name].detach().to(base.device, torch.float32) for name in self.shapes
        }
        self._norms = base.norm_layers()

    def value(self, name: str, slots: Sequence[int]) -> Tensor | None:
        """[K, ...] each slot's parameter in float32; None where no method has it."""
        return self.held_or(name, slots, self._own[name]) if name in self._own else None

    def renorm(self, layer: str, slots: Sequence[int], x_KND: Tensor, y_KND: Tensor) -> Tensor:
        """[K, N, D] what the norm computes with each slot's weight and bias.

        Args:
            layer: its full name. slots: which slots the rows belong to, in order.
            x_KND: [K, N, D] its input. y_KND: [K, N, D] its output with the base's own.
        """
        names = [n for n in (f"{layer}.weight", f"{layer}.bias") if n in self._own]
        weight_KD, bias_KD = (self.value(f"{layer}.{part}", slots) for part in ("weight", "bias"))
        assert weight_KD is not None
        # In float32 up to here: a weight near one would round to one in bfloat16.
        renormed_KND = normalise(self._norms[layer], x_KND, weight_KD, bias_KD).to(y_KND.dtype)
        held_K = torch.stack([self.held(name, slots) for name in names]).any(dim=0)
        return torch.where(held_K[:, None, None], renormed_KND, y_KND)

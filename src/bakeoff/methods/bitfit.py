"""BitFit: the biases that the base has are trained, and on request its norms' weights.

Axis letters: ``K`` slots, ``N`` positions of all rows of a slot, ``D`` a layer's width in, ``E``
its width out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from bakeoff.base.injection import LinearHook
from bakeoff.base.model import Base
from bakeoff.base.norms import check_normalise
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.files import (
    OWN_CONFIG,
    check_settings,
    read_tensors,
    write_json,
    write_tensors,
)
from bakeoff.methods.own_weights import OwnWeightsStack, source_parameters
from bakeoff.methods.specs.bitfit import SPEC, BitFitOptions
from bakeoff.methods.stack import StackHooks

_WEIGHTS = "bitfit.safetensors"


class BitFit(Method):
    """BitFit on one base. A head's own bias, where it has one, stays frozen."""

    spec = SPEC
    options: BitFitOptions

    def __init__(self, options: BitFitOptions, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        linear, norms = base.linear_layers(), base.norm_layers()
        both = ("weight", "bias") if options.norms else ("bias",)
        order = [name for name, _ in base.model.named_modules() if name in linear or name in norms]
        self.parameters = source_parameters(
            base, {name: both if name in norms else ("bias",) for name in order}
        )
        if not self.parameters:
            raise ConfigError(
                f"{where}: {base.source.reference} has no biases to train; set norms: true to "
                "train the weights of its norms"
            )
        for layer in {type(norm): norm for norm in norms.values()}.values():
            if options.norms and base.has_values:
                check_normalise(where, layer)

    @property
    def execution_path(self) -> ExecutionPath:
        """Through the shared base."""
        return ExecutionPath.BASE

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The trained parameters by their names in the model."""
        return {name: tuple(tensor.shape) for name, tensor in self.parameters.items()}

    def merged_weights(self, tensors: Tensors) -> Tensors:
        """They are parameters of the base."""
        return tensors

    def initial(self, generator: torch.Generator) -> Tensors:
        """The base's own; nothing is drawn."""
        return {
            name: tensor.detach().float().cpu().clone() for name, tensor in self.parameters.items()
        }

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes the parameters by their names in the model: PEFT has no such method."""
        write_json(
            {
                "kind": self.kind,
                "norms": self.options.norms,
                "base_model_name_or_path": self.base.source.reference,
            },
            folder / OWN_CONFIG,
        )
        write_tensors(tensors, folder / _WEIGHTS)

    def load(self, folder: Path) -> Tensors:
        """Reads back what ``save`` wrote."""
        check_settings(folder / OWN_CONFIG, {"kind": self.kind, "norms": self.options.norms})
        return read_tensors(folder / _WEIGHTS, self.shapes)


class BitFitStack(OwnWeightsStack):
    """K slots' biases and norm weights; the base's own where a slot has none."""

    def __init__(self, base: Base, methods: Sequence[BitFit], num_slots: int) -> None:
        own = {name: t for method in methods for name, t in method.parameters.items()}
        super().__init__(base, methods, num_slots, own)
        self._rescaled = [n.removesuffix(".weight") for n in self.shapes if n.endswith(".weight")]

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """One per linear layer with a bias, and one per norm of which something is trained."""
        shifted: dict[str, LinearHook] = {
            layer: partial(self.shift, layer, slots) for layer in self._biased()
        }
        rescaled: dict[str, LinearHook] = {
            layer: partial(self.renorm, layer, slots) for layer in self._rescaled
        }
        return StackHooks(
            linear={name: hook for name, hook in shifted.items() if name not in self._norms},
            norms={n: hook for n, hook in shifted.items() if n in self._norms} | rescaled,
        )

    def _biased(self) -> list[str]:
        return [name.removesuffix(".bias") for name in self.shapes if name.endswith(".bias")]

    def shift(self, layer: str, slots: Sequence[int], x_KND: Tensor, y_KNE: Tensor) -> Tensor:
        """Moves the frozen layer's output by what each slot's bias differs from the base's.

        Source: Ben Zaken et al. 2022, arXiv:2106.10199, section 3.

        Args:
            layer: its full name. slots: which slots the rows belong to, in order.
            x_KND: [K, N, D] its input. y_KNE: [K, N, E] its output.

        Returns:
            [K, N, E]. Equal to ``y_KNE`` until the first update.
        """
        name = f"{layer}.bias"
        own_E = self._own[name]
        return y_KNE + (self.held_or(name, slots, own_E) - own_E)[:, None].to(y_KNE.dtype)

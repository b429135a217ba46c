"""LayerNorm tuning: the norms' own parameters are trained, for each slot apart.

Axis letters: ``K`` slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import torch

from bakeoff.base.model import Base
from bakeoff.base.norms import check_normalise
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.files import (
    OWN_CONFIG,
    check_settings,
    read_tensors,
    write_json,
    write_tensors,
)
from bakeoff.methods.own_weights import OwnWeightsStack, source_parameters
from bakeoff.methods.stack import StackHooks
from bakeoff_extension.ln_tuning_spec import SPEC, LnTuningOptions

_WEIGHTS: Final = "ln_tuning.safetensors"


class LnTuning(Method):
    """LayerNorm tuning on one base."""

    spec = SPEC
    options: LnTuningOptions

    def __init__(self, options: LnTuningOptions, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        norms = base.norm_layers()
        parts = ("weight", "bias") if options.biases else ("weight",)
        self.parameters = source_parameters(base, dict.fromkeys(norms, parts))
        for layer in {type(norm): norm for norm in norms.values()}.values():
            if base.has_values:
                check_normalise(where, layer)

    @property
    def execution_path(self) -> ExecutionPath:
        """Through the shared base, beside candidates of other methods."""
        return ExecutionPath.BASE

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The trained parameters by their names in the model."""
        return {name: tuple(tensor.shape) for name, tensor in self.parameters.items()}

    def initial(self, generator: torch.Generator) -> Tensors:
        """The base's own; nothing is drawn."""
        return {
            name: tensor.detach().float().cpu().clone() for name, tensor in self.parameters.items()
        }

    def merged_weights(self, tensors: Tensors) -> Tensors:
        """They are parameters of the base."""
        return tensors

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes the parameters by their names in the model."""
        settings = {"kind": self.kind, "base_model_name_or_path": self.base.source.reference}
        write_json({**settings, "biases": self.options.biases}, folder / OWN_CONFIG)
        write_tensors(tensors, folder / _WEIGHTS)

    def load(self, folder: Path) -> Tensors:
        """Reads back what ``save`` wrote."""
        check_settings(folder / OWN_CONFIG, {"kind": self.kind, "biases": self.options.biases})
        return read_tensors(folder / _WEIGHTS, self.shapes)


class LnTuningStack(OwnWeightsStack):
    """K slots' norms; the base's own where a slot has none."""

    def __init__(self, base: Base, methods: Sequence[LnTuning], num_slots: int) -> None:
        own = {name: tensor for method in methods for name, tensor in method.parameters.items()}
        super().__init__(base, methods, num_slots, own)
        self._layers = dict.fromkeys(name.rpartition(".")[0] for name in self.shapes)

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """One per norm: what it computes with each slot's parameters."""
        return StackHooks(
            norms={layer: partial(self.renorm, layer, slots) for layer in self._layers}
        )

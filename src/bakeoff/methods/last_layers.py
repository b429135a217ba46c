"""Tuning of the last blocks with the final norm and the head; what comes before stays shared.

Axis letters: ``K`` slots, ``N`` positions of all rows of a slot, ``D`` a layer's width in, ``E``
its width out, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from bakeoff.base.blocks import blocks
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
from bakeoff.methods.specs.last_layers import SPEC, LastLayersOptions
from bakeoff.methods.stack import StackHooks

_WEIGHTS = "last_layers.safetensors"
_PARTS = ("weight", "bias")


class LastLayers(Method):
    """Tuning of one base's last layers. A head's own bias, where it has one, stays frozen."""

    spec = SPEC
    options: LastLayersOptions

    def __init__(self, options: LastLayersOptions, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        found = blocks(base)
        if not 1 <= options.num_layers <= len(found):
            raise ConfigError(
                f"{where}.num_layers: {options.num_layers} is not between 1 and the base's "
                f"{len(found)} blocks"
            )
        chosen = found[-options.num_layers :]
        inside = {layer for block in found for layer in (*block.layers, *block.norms)}
        final = [n for n in base.norm_layers() if n not in inside and "embed" not in n]
        names = [layer for block in chosen for layer in (*block.layers, *block.norms)] + final
        self.parameters = source_parameters(base, dict.fromkeys(names, _PARTS))
        self._check_covered([block.name for block in chosen])
        for layer in {type(m): m for n, m in base.norm_layers().items() if n in names}.values():
            if base.has_values:
                check_normalise(where, layer)
        self.head_name: str | None = None
        if options.head:
            self.head_name = f"{base.head_name}.weight"
            self.parameters[self.head_name] = base.source_head

    def _check_covered(self, names: list[str]) -> None:
        """Every parameter of the blocks must be one that can differ between slots."""
        for block in names:
            for name, _ in self.base.source.model.get_submodule(block).named_parameters():
                if f"{block}.{name}" not in self.parameters:
                    raise ConfigError(
                        f"{self.where}: {block}.{name} is neither of a linear layer nor of a norm, "
                        "so it cannot be trained in slots; choose another method"
                    )

    @property
    def execution_path(self) -> ExecutionPath:
        """Through the shared base, beside others that have last layers of their own."""
        return ExecutionPath.LAST_LAYERS

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The trained parameters by their names in the model."""
        return {name: tuple(tensor.shape) for name, tensor in self.parameters.items()}

    def initial(self, generator: torch.Generator) -> Tensors:
        """The base's own; nothing is drawn."""
        return {
            name: tensor.detach().float().cpu().clone() for name, tensor in self.parameters.items()
        }

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes the parameters by their names in the model: PEFT has no such method."""
        write_json(
            self._settings() | {"base_model_name_or_path": self.base.source.reference},
            folder / OWN_CONFIG,
        )
        write_tensors(tensors, folder / _WEIGHTS)

    def load(self, folder: Path) -> Tensors:
        """Reads back what ``save`` wrote."""
        check_settings(folder / OWN_CONFIG, self._settings())
        return read_tensors(folder / _WEIGHTS, self.shapes)

    def merged_weights(self, tensors: Tensors) -> Tensors:
        """They are parameters of the base; the head is one of its own."""
        return tensors

    def _settings(self) -> dict[str, object]:
        options = self.options
        return {"kind": self.kind, "num_layers": options.num_layers, "head": options.head}


class LastLayersStack(OwnWeightsStack):
    """K slots' last layers; in a slot with fewer of them the base's own."""

    def __init__(self, base: Base, methods: Sequence[LastLayers], num_slots: int) -> None:
        own = {name: t for method in methods for name, t in method.parameters.items()}
        super().__init__(base, methods, num_slots, own)
        heads = [method.head_name for method in methods if method.head_name is not None]
        self._head = heads[0] if heads else None
        self._linear = base.linear_layers()
        weights = [n.removesuffix(".weight") for n in self.shapes if n.endswith(".weight")]
        self._layers = [name for name in weights if name in self._linear]
        self._trained_norms = [name for name in weights if name in self._norms]

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """One per linear layer, whose frozen product is not computed at all, one per norm, and the
        head where any method trains it."""
        head = self._head
        return StackHooks(
            products={layer: partial(self.product, layer, slots) for layer in self._layers},
            norms={layer: partial(self.renorm, layer, slots) for layer in self._trained_norms},
            head_weight=None if head is None else partial(self._own_head, head, slots),
        )

    def _own_head(self, name: str, slots: Sequence[int]) -> Tensor:
        """[K, V, D] float32."""
        weight_KVD = self.value(name, slots)
        assert weight_KVD is not None
        return weight_KVD

    def product(self, layer: str, slots: Sequence[int], x_KND: Tensor) -> Tensor:
        """[K, N, E] the layer with each slot's own weight and bias on [K, N, D]."""
        weight_K, bias_KE = (self.value(f"{layer}.{part}", slots) for part in _PARTS)
        assert weight_K is not None
        weight_K = weight_K.to(x_KND.dtype)
        # Transformers' Conv1D keeps its weight as [in, out].
        is_linear = isinstance(self._linear[layer], nn.Linear)
        weight_KDE = weight_K.transpose(1, 2) if is_linear else weight_K
        if bias_KE is None:
            return torch.bmm(x_KND, weight_KDE)
        return torch.baddbmm(bias_KE[:, None].to(x_KND.dtype), x_KND, weight_KDE)

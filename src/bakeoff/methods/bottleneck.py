"""Bottleneck adapters: two small layers after, or beside, a block's parts.

The files are those of the library ``adapters``, whose three arrangements these are.

Axis letters: ``D`` the model's width, ``M`` the bottleneck's.
"""

from __future__ import annotations

from math import isfinite, sqrt
from pathlib import Path
from typing import Literal

import torch

from bakeoff.base.blocks import blocks, norms_before_mlps, stream_width
from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.methods import adapters_files
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.specs.bottleneck import SPEC, BottleneckOptions

Activation = Literal["relu", "gelu", "gelu_new", "silu", "tanh"]
ATTENTION, MLP = "attention_adapters", "output_adapters"
_DEFAULT_REDUCTION = 16.0


class Bottleneck(Method):
    """Bottleneck adapters on one base."""

    spec = SPEC
    options: BottleneckOptions

    def __init__(self, options: BottleneckOptions, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        self.blocks = blocks(base)
        self.width = stream_width(base)
        self._check_sizes()
        chosen = range(len(self.blocks)) if options.layers is None else options.layers
        if options.placement == "parallel" and options.variant == "houlsby":
            raise ConfigError(
                f"{where}.placement: parallel goes beside the MLP only; set variant: pfeiffer"
            )
        wrong = [n for n in chosen if not 0 <= n < len(self.blocks)]
        if wrong or not chosen or len(set(chosen)) < len(chosen):
            raise ConfigError(
                f"{where}.layers: {list(chosen)} must name blocks from 0 to "
                f"{len(self.blocks) - 1}, at least one, and none twice"
            )
        self.chosen = sorted(chosen)
        self.reads_stream = options.variant == "pfeiffer"
        self.stream_norms: dict[str, str] = {}
        if self.reads_stream:
            self.stream_norms = norms_before_mlps(base, [self.blocks[n] for n in self.chosen])
            self._check_norms()

    def _check_sizes(self) -> None:
        options, where = self.options, self.where
        if options.size is not None and options.reduction_factor is not None:
            raise ConfigError(
                f"{where}.size: {options.size} and a reduction_factor both set the bottleneck's "
                "width; leave one out"
            )
        if options.reduction_factor is not None and not options.reduction_factor > 0:
            raise ConfigError(
                f"{where}.reduction_factor: {options.reduction_factor} is not above 0; give one "
                "such as 16"
            )
        if not isfinite(options.scale) or options.scale == 0:
            raise ConfigError(
                f"{where}.scale: {options.scale} leaves nothing of the bottleneck; give a finite "
                "number other than 0"
            )
        if self.size < 1:
            given = "size" if options.size is not None else "reduction_factor"
            raise ConfigError(
                f"{where}.{given}: leaves a bottleneck of {self.size} features of {self.width}"
                "; it needs 1 or more"
            )

    def _check_norms(self) -> None:
        for number in self.chosen:
            name = self.blocks[number].name
            if name not in self.stream_norms:
                raise ConfigError(
                    f"{self.where}.variant: pfeiffer and parallel adapters read the residual "
                    f"stream before the MLP's norm, and {self.base.source.reference} has none in "
                    f"{name}; set variant: houlsby"
                )

    @property
    def execution_path(self) -> ExecutionPath:
        """Through the shared base."""
        return ExecutionPath.BASE

    @property
    def size(self) -> int:
        """M, as the library ``adapters`` rounds it."""
        if self.options.size is not None:
            return self.options.size
        return int(self.width // (self.options.reduction_factor or _DEFAULT_REDUCTION))

    @property
    def places(self) -> list[str]:
        """Where there is one, such as ``transformer.h.0.output_adapters``."""
        parts = (ATTENTION, MLP) if self.options.variant == "houlsby" else (MLP,)
        return [f"{self.blocks[n].name}.{part}" for n in self.chosen for part in parts]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of each place ``down`` [M, D] and ``up`` [D, M] with their biases."""
        size, width = self.size, self.width
        shapes: dict[str, tuple[int, ...]] = {}
        for place in self.places:
            shapes[f"{place}.down.weight"], shapes[f"{place}.down.bias"] = (size, width), (size,)
            shapes[f"{place}.up.weight"], shapes[f"{place}.up.bias"] = (width, size), (width,)
        return shapes

    def initial(self, generator: torch.Generator) -> Tensors:
        """``down`` uniform as in He et al. 2022, ``up`` zero: nothing is added at first."""
        tensors: Tensors = {}
        for name, shape in self.shapes.items():
            tensors[name] = torch.zeros(shape)
            if name.endswith("down.weight"):
                bound = 1 / sqrt(shape[1])
                tensors[name].uniform_(-bound, bound, generator=generator)
        return tensors

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes the library ``adapters``' ``adapter_config.json`` and ``adapter.safetensors``."""
        adapters_files.write(tensors, folder, self._settings(), self.base)

    def load(self, folder: Path) -> Tensors:
        """Reads the library's files back."""
        return adapters_files.read(folder, self._settings(), self.shapes)

    def _settings(self) -> dict[str, object]:
        """What the library's configuration says of this arrangement."""
        options = self.options
        return {
            "mh_adapter": options.variant == "houlsby",
            "output_adapter": True,
            "is_parallel": options.placement == "parallel",
            "original_ln_before": self.reads_stream and options.placement == "sequential",
            "reduction_factor": adapters_files.reduction_factor(self.width, self.size),
            "non_linearity": adapters_files.ACTIVATIONS[options.activation],
            "scaling": float(options.scale),
            "leave_out": [n for n in range(len(self.blocks)) if n not in self.chosen],
        }

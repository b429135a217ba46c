"""Bottleneck adapters: two small layers after, or beside, a block's parts.

The files are those of the library ``adapters``, whose three arrangements these are.

Axis letters: ``K`` slots, ``N`` positions of all rows of a slot, ``D`` the model's width, ``M`` the
bottleneck's.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from math import isfinite, sqrt
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.base.blocks import blocks, norms_before_mlps, stream_width
from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.methods import adapters_files
from bakeoff.methods.contract import Ground, Method, Tensors
from bakeoff.methods.padded import PaddedStack
from bakeoff.methods.specs.bottleneck import SPEC, BottleneckOptions
from bakeoff.methods.stack import StackHooks

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
                f"{where}.placement: parallel stands beside the MLP alone; set variant: pfeiffer"
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
    def ground(self) -> Ground:
        """Through the shared base."""
        return Ground.BASE

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


class BottleneckStack(PaddedStack):
    """K slots' bottlenecks; narrower ones are padded with zeros."""

    def __init__(self, base: Base, methods: Sequence[Bottleneck], num_slots: int) -> None:
        super().__init__(base, methods, num_slots)
        self._layers: dict[str, str] = {}
        self._norms: dict[str, str] = {}
        for method in methods:
            for place in method.places:
                block = next(b for b in method.blocks if place.startswith(f"{b.name}."))
                is_mlp = place.endswith(MLP)
                self._layers[place] = block.mlp_output if is_mlp else block.attention_output
            for block_name, norm in method.stream_norms.items():
                self._norms[f"{block_name}.{MLP}"] = norm
        self._activations = list(dict.fromkeys(method.options.activation for method in methods))

        def of_slots(dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(num_slots, 1, 1, dtype=dtype, device=base.device)

        self._scale_K11 = of_slots()
        # What the first layer reads is a sum of the part's output and the residual stream.
        self._reads_output_K11, self._reads_stream_K11 = of_slots(), of_slots()
        self._activation_K11 = of_slots(torch.int64)
        # Of each thread its own: passes go side by side.
        self._present = threading.local()

    def place(self, slot: int, method: Method, tensors: Mapping[str, Tensor]) -> None:
        """Seats a candidate with its own arrangement."""
        assert isinstance(method, Bottleneck)
        super().place(slot, method, tensors)
        options = method.options
        self._scale_K11[slot] = options.scale
        self._reads_output_K11[slot] = float(options.placement == "sequential")
        self._reads_stream_K11[slot] = float(method.reads_stream)
        self._activation_K11[slot] = self._activations.index(options.activation)

    def vacate(self, slot: int) -> None:
        """A scale of zero: nothing is added."""
        super().vacate(slot)
        self._scale_K11[slot] = 0.0

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """One per place, on the layer that ends the part, and one per norm before an MLP, to see
        the residual stream."""
        chosen = list(slots)
        return StackHooks(
            linear={
                layer: partial(self.apply, place, chosen) for place, layer in self._layers.items()
            },
            norms={norm: partial(self.see, place) for place, norm in self._norms.items()},
        )

    def see(self, place: str, x_KND: Tensor, y_KND: Tensor) -> Tensor:
        """Keeps the norm's input for the place that follows in the same block."""
        vars(self._present)[place] = x_KND
        return y_KND

    def apply(self, place: str, slots: list[int], x_KNE: Tensor, y_KND: Tensor) -> Tensor:
        """Adds each slot's scaled bottleneck to the output of a block's part.

        Source: Houlsby et al. 2019, arXiv:1902.00751, section 2.1; in parallel He et al. 2022,
        arXiv:2110.04366, section 3.3.

        Args:
            place: which. slots: which slots the rows belong to, in order.
            x_KNE: [K, N, E] the last layer's input, not used.
            y_KND: [K, N, D] its output.

        Returns:
            [K, N, D]. Equal to ``y_KND`` until the first update: ``up`` starts at zero.
        """
        dtype = y_KND.dtype
        read_KND = y_KND
        stream_KND = vars(self._present).pop(place, None)
        if stream_KND is not None:
            reads_output_K11, reads_stream_K11 = (
                self.narrowed(t, slots).to(dtype)
                for t in (self._reads_output_K11, self._reads_stream_K11)
            )
            read_KND = y_KND * reads_output_K11 + stream_KND * reads_stream_K11
        down_KMD, down_KM, up_KDM, up_KD = (
            self.of(f"{place}.{part}", slots).to(dtype)
            for part in ("down.weight", "down.bias", "up.weight", "up.bias")
        )
        hidden_KNM = torch.baddbmm(down_KM[:, None], read_KND, down_KMD.transpose(1, 2))
        added_KND = torch.baddbmm(
            up_KD[:, None], self._activate(hidden_KNM, slots), up_KDM.transpose(1, 2)
        )
        held_K11 = self.held(f"{place}.up.bias", slots)[:, None, None]
        scale_K11 = self.narrowed(self._scale_K11, slots) * held_K11
        return torch.addcmul(y_KND, added_KND, scale_K11.to(dtype))

    def _activate(self, hidden_KNM: Tensor, slots: list[int]) -> Tensor:
        """Each slot's own activation; all of them map zero to zero, so that padding stays zero."""
        chosen = _activate(self._activations[0], hidden_KNM)
        for number, name in enumerate(self._activations[1:], start=1):
            is_this_K11 = self.narrowed(self._activation_K11, slots) == number
            chosen = torch.where(is_this_K11, _activate(name, hidden_KNM), chosen)
        return chosen


def _activate(name: Activation, x: Tensor) -> Tensor:
    if name == "relu":
        return F.relu(x)
    if name == "silu":
        return F.silu(x)
    if name == "tanh":
        return torch.tanh(x)
    return F.gelu(x, approximate="tanh" if name == "gelu_new" else "none")

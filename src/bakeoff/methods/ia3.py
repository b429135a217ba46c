"""(IA)³: trained factors on what linear layers give, or on what feed-forward layers read.

Axis letters: ``K`` slots, ``N`` positions of all rows of a slot, ``D`` a layer's width in, ``E``
its width out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from bakeoff.base.injection import keeps_transposed, linear_shape, select_linear_layers
from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.files import (
    PEFT_CONFIG,
    PEFT_WEIGHTS,
    check_settings,
    read_tensors,
    write_peft_config,
    write_tensors,
)
from bakeoff.methods.low_rank.updates import oriented
from bakeoff.methods.padded import PaddedStack
from bakeoff.methods.specs.ia3 import SPEC, Ia3Options
from bakeoff.methods.stack import ByDtype, StackHooks

_OUTPUT, _INPUT = ".output_factors", ".input_factors"


class Ia3(Method):
    """(IA)³ on one base."""

    spec = SPEC
    options: Ia3Options

    def __init__(self, options: Ia3Options, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        layers = base.linear_layers()
        names = list(layers)
        self._given_targets = self._given("target_modules", options.target_modules, names)
        self.targets = select_linear_layers(
            names, self._given_targets, where=f"{where}.target_modules"
        )
        self._given_feedforward = self._given(
            "feedforward_modules", options.feedforward_modules, names
        )
        self.feedforward = self._feedforward(names)
        self._layers: dict[str, nn.Module] = {name: layers[name] for name in self.targets}

    def _given(
        self, option: str, value: str | tuple[str, ...] | None, names: list[str]
    ) -> str | tuple[str, ...]:
        """The option, or what PEFT takes for this architecture."""
        from peft.utils import constants

        if value is not None:
            return value
        known = {
            "target_modules": constants.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
            "feedforward_modules": constants.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
        }[option].get(self.base.model_type)
        if known is None:
            endings = sorted({name.rpartition(".")[2] for name in names})
            raise ConfigError(
                f"{self.where}.{option}: PEFT names no default for the architecture "
                f"{self.base.model_type!r}; name layers that end in {', '.join(endings)}"
            )
        return tuple(known)

    def _feedforward(self, names: list[str]) -> set[str]:
        given, path = self._given_feedforward, f"{self.where}.feedforward_modules"
        if not given:
            return set()
        chosen = set(select_linear_layers(names, given, where=path))
        if self.options.feedforward_modules is not None and not chosen & set(self.targets):
            raise ConfigError(
                f"{path}: {given!r} names no layer that target_modules names too, so no input "
                f"would be scaled; name some of {', '.join(self.targets[:3])} ..."
            )
        return chosen & set(self.targets)

    @property
    def execution_path(self) -> ExecutionPath:
        """Through the shared base."""
        return ExecutionPath.BASE

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """``NAME.output_factors`` [out] or ``NAME.input_factors`` [in] of each target layer."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, layer in self._layers.items():
            num_in, num_out = linear_shape(layer)
            is_input = name in self.feedforward
            shapes[name + (_INPUT if is_input else _OUTPUT)] = (num_in if is_input else num_out,)
        return shapes

    def initial(self, generator: torch.Generator) -> Tensors:
        """Ones; nothing is drawn."""
        return {name: torch.ones(shape) for name, shape in self.shapes.items()}

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes PEFT's ``adapter_config.json`` and ``adapter_model.safetensors``."""
        from peft import IA3Config

        config = IA3Config(
            task_type="CAUSAL_LM",
            target_modules=self._peft_targets(),
            feedforward_modules=self._peft_feedforward(),
            base_model_name_or_path=self.base.source.reference,
            inference_mode=True,
            fan_in_fan_out=all(keeps_transposed(layer) for layer in self._layers.values()),
        )
        write_peft_config(config, folder)
        write_tensors(
            {_peft_name(name): t.view(self._peft_shape(name)) for name, t in tensors.items()},
            folder / PEFT_WEIGHTS,
        )

    def load(self, folder: Path) -> Tensors:
        """Reads PEFT's files back."""
        check_settings(folder / PEFT_CONFIG, {"peft_type": "IA3"})
        shapes = {_peft_name(name): self._peft_shape(name) for name in self.shapes}
        found = read_tensors(folder / PEFT_WEIGHTS, shapes)
        return {name: found[_peft_name(name)].flatten() for name in self.shapes}

    def merged_weights(self, tensors: Tensors) -> Tensors:
        """Each target layer's weight times its factors; a scaled output's bias too."""
        merged: Tensors = {}
        for name, layer in self._layers.items():
            weight_DE = oriented(layer, self.base.source_parameter(f"{name}.weight"))
            if name in self.feedforward:
                weight_DE = weight_DE * tensors[name + _INPUT][:, None]
            else:
                factors_E = tensors[name + _OUTPUT]
                weight_DE = weight_DE * factors_E
                if layer.bias is not None:
                    bias_E = self.base.source_parameter(f"{name}.bias")
                    merged[f"{name}.bias"] = bias_E * factors_E
            merged[f"{name}.weight"] = oriented(layer, weight_DE).contiguous()
        return merged

    @property
    def _is_pattern(self) -> bool:
        given = self._given_targets
        return isinstance(given, str) and given != "all-linear"

    def _peft_targets(self) -> str | list[str]:
        """PEFT would take a regular expression for activations and whole blocks too."""
        given = self._given_targets
        if self._is_pattern:
            return self.targets
        return given if isinstance(given, str) else list(given)

    def _peft_feedforward(self) -> str | list[str]:
        """PEFT wants a subset of the targets' own words where both are lists."""
        given, targets = self._given_feedforward, self._given_targets
        names = sorted(self.feedforward)
        if self._is_pattern or not names:
            return names
        if not isinstance(given, str) and (isinstance(targets, str) or set(given) <= set(targets)):
            return list(given)
        return "|".join(name.replace(".", r"\.") for name in names)

    def _peft_shape(self, name: str) -> tuple[int, int]:
        (size,) = self.shapes[name]
        return (1, size) if name.endswith(_INPUT) else (size, 1)


class Ia3Stack(PaddedStack):
    """K slots' factors; one where a slot has none."""

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """One per layer, on its output or on its input."""
        return StackHooks(
            linear={
                name.removesuffix(_OUTPUT): partial(self.scale_output, name, slots)
                for name in self.shapes
                if name.endswith(_OUTPUT)
            },
            inputs={
                name.removesuffix(_INPUT): partial(self.scale, name, slots)
                for name in self.shapes
                if name.endswith(_INPUT)
            },
        )

    def settled_hooks(self, slot: int) -> StackHooks:
        """The same, of one slot outside of training."""
        slots = range(slot, slot + 1)

        def settled(name: str) -> Callable[[Tensor], Tensor]:
            beyond_one = ByDtype(lambda dtype: (self._beyond_one(name, slots).to(dtype),))

            def scale(x_1ND: Tensor) -> Tensor:
                (beyond_one_11D,) = beyond_one(x_1ND.dtype)
                return x_1ND.addcmul_(x_1ND, beyond_one_11D)

            return scale

        outputs = {n.removesuffix(_OUTPUT): settled(n) for n in self.shapes if n.endswith(_OUTPUT)}
        return StackHooks(
            linear={name: partial(_on_output, scale) for name, scale in outputs.items()},
            inputs={
                name.removesuffix(_INPUT): settled(name)
                for name in self.shapes
                if name.endswith(_INPUT)
            },
        )

    def scale_output(self, name: str, slots: Sequence[int], x_KND: Tensor, y_KNE: Tensor) -> Tensor:
        """[K, N, E] the frozen layer's output, each feature times its slot's factor."""
        return self.scale(name, slots, y_KNE)

    def scale(self, name: str, slots: Sequence[int], x_KND: Tensor) -> Tensor:
        """Each feature times its slot's factor.

        Source: Liu et al. 2022, arXiv:2205.05638, section 3.3.

        Args:
            name: of the factors. slots: which slots the rows belong to, in order.
            x_KND: [K, N, D] compute dtype.

        Returns:
            [K, N, D]. Equal to ``x_KND`` until the first update: the factors start at one.
        """
        return torch.addcmul(x_KND, x_KND, self._beyond_one(name, slots).to(x_KND.dtype))

    def _beyond_one(self, name: str, slots: Sequence[int]) -> Tensor:
        """[K, 1, D] l - 1 of each slot, as a factor near one would round to one in bfloat16."""
        return (self.held_or(name, slots, 1.0) - 1.0)[:, None]


def _on_output(scale: Callable[[Tensor], Tensor], x_1ND: Tensor, y_1NE: Tensor) -> Tensor:
    return scale(y_1NE)


def _peft_name(name: str) -> str:
    return f"base_model.model.{name.rpartition('.')[0]}.ia3_l"

"""LoRA: a low-rank update beside frozen linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from pathlib import Path

import torch
from torch import Tensor, nn

from bakeoff.errors import ConfigError
from bakeoff.methods.contract import Ground, Method, Stack, Tensors
from bakeoff.methods.files import (
    PEFT_CONFIG,
    PEFT_WEIGHTS,
    check_settings,
    read_tensors,
    write_tensors,
)
from bakeoff.model.base import Base
from bakeoff.model.sites import LinearHook, linear_shape, select_linear_layers

ALL_LINEAR = "all-linear"


@dataclass(frozen=True, kw_only=True)
class LoraOptions:
    """Options of LoRA."""

    rank: int = 8
    """Columns of ``lora_a`` and rows of ``lora_b``."""
    alpha: float | None = None
    """The update is scaled by ``alpha / rank``; null means ``alpha = rank``."""
    target_modules: str | tuple[str, ...] | None = None
    """Layer names or their ends, a regular expression, ``all-linear``, or null: what PEFT
    targets in this architecture by default."""


class Lora(Method):
    """LoRA on one base."""

    kind = "lora"
    title = "a low-rank update beside frozen linear layers"
    paper = "Hu et al. 2021, arXiv:2106.09685"
    formula = "sum over target layers of rank x (in + out)"
    options_type = LoraOptions
    default_learning_rate = 1e-3
    learning_rate_source = (
        "within the range of Hu et al. 2021, table 11 (2e-4 for GPT-2); 1e-3 for small bases"
    )
    options: LoraOptions

    def __init__(self, options: LoraOptions, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        if options.rank < 1:
            raise ConfigError(f"{where}.rank: {options.rank} is below 1; give a rank of 1 or more")
        layers = base.linear_layers()
        targets = options.target_modules
        path = f"{where}.target_modules"
        if targets is None:
            targets = _default_targets(base, layers, path)
        self.targets = select_linear_layers(list(layers), targets, where=path)
        self._layers: dict[str, nn.Module] = {name: layers[name] for name in self.targets}

    @property
    def ground(self) -> Ground:
        """Through the shared base."""
        return Ground.BASE

    @property
    def alpha(self) -> float:
        """The numerator of the update's scale."""
        return float(self.options.rank if self.options.alpha is None else self.options.alpha)

    @property
    def scaling(self) -> float:
        """Factor on the low-rank product."""
        return self.alpha / self.options.rank

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """``NAME.lora_a`` [in, rank] and ``NAME.lora_b`` [rank, out] of each target layer."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, layer in self._layers.items():
            num_in, num_out = linear_shape(layer)
            shapes[f"{name}.lora_a"] = (num_in, self.options.rank)
            shapes[f"{name}.lora_b"] = (self.options.rank, num_out)
        return shapes

    def initial(self, generator: torch.Generator) -> Tensors:
        """``lora_a`` from PEFT's uniform distribution (Kaiming, a = sqrt 5), ``lora_b`` zero."""
        tensors: Tensors = {}
        for name, shape in self.shapes.items():
            if name.endswith("lora_a"):
                bound = 1 / sqrt(shape[0])
                tensors[name] = torch.empty(shape).uniform_(-bound, bound, generator=generator)
            else:
                tensors[name] = torch.zeros(shape)
        return tensors

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes PEFT's ``adapter_config.json`` and ``adapter_model.safetensors``."""
        from peft import LoraConfig

        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=self.options.rank,
            lora_alpha=int(self.alpha) if self.alpha.is_integer() else self.alpha,  # type: ignore[arg-type]
            target_modules=self._peft_targets(),
            lora_dropout=0.0,
            bias="none",
            base_model_name_or_path=self.base.source.reference,
            inference_mode=True,
            fan_in_fan_out=self._fan_in_fan_out(),
        )
        folder.mkdir(parents=True, exist_ok=True)
        config.save_pretrained(str(folder))
        write_tensors(
            {_peft_name(name): tensor.t() for name, tensor in tensors.items()},
            folder / PEFT_WEIGHTS,
        )

    def load(self, folder: Path) -> Tensors:
        """Reads PEFT's files back."""
        settings = {
            "peft_type": "LORA",
            "r": self.options.rank,
            "lora_alpha": self.alpha,
            "rank_pattern": {},
            "alpha_pattern": {},
            "use_rslora": False,
        }
        check_settings(folder / PEFT_CONFIG, settings)
        shapes = {_peft_name(name): shape[::-1] for name, shape in self.shapes.items()}
        found = read_tensors(folder / PEFT_WEIGHTS, shapes)
        return {name: found[_peft_name(name)].t().contiguous() for name in self.shapes}

    def _peft_targets(self) -> list[str]:
        """The shortest ends of names that mean exactly the chosen layers, else full names."""
        endings = sorted({name.rpartition(".")[2] for name in self.targets})
        if (
            select_linear_layers(list(self.base.linear_layers()), endings, where=self.where)
            == self.targets
        ):
            return endings
        return self.targets

    def _fan_in_fan_out(self) -> bool:
        return not any(isinstance(layer, nn.Linear) for layer in self._layers.values())


class LoraStack(Stack):
    """K slots' low-rank updates; ranks that differ are padded with zeros to the largest."""

    kind = "lora"

    def __init__(self, base: Base, methods: Sequence[Lora], num_slots: int) -> None:
        super().__init__(base, methods, num_slots)
        self._shapes: dict[str, tuple[int, ...]] = {}
        for method in methods:
            for name, shape in method.shapes.items():
                known = self._shapes.get(name, shape)
                self._shapes[name] = tuple(max(a, b) for a, b in zip(known, shape, strict=True))
        order = [
            f"{layer}.{part}"
            for layer in base.linear_layers()
            for part in ("lora_a", "lora_b")
            if f"{layer}.{part}" in self._shapes
        ]
        self._shapes = {name: self._shapes[name] for name in order}
        self.layers = [n.removesuffix(".lora_a") for n in order if n.endswith(".lora_a")]
        self._scaling_K11 = torch.zeros(num_slots, 1, 1, device=base.device)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Padded shapes of one slot."""
        return self._shapes

    def place(self, slot: int, method: Method, tensors: dict[str, Tensor]) -> None:  # type: ignore[override]
        """Seats a candidate with its own scale."""
        assert isinstance(method, Lora)
        super().place(slot, method, tensors)
        self._scaling_K11[slot] = method.scaling

    def vacate(self, slot: int) -> None:
        """A scale of zero: no update."""
        self._scaling_K11[slot] = 0.0

    def linear_hooks(self, slots: Sequence[int]) -> dict[str, LinearHook]:
        """One hook a target layer."""
        return {layer: partial(self.apply, layer, list(slots)) for layer in self.layers}

    def apply(self, layer: str, slots: list[int], x_KND: Tensor, y_KNE: Tensor) -> Tensor:
        """Adds each slot's scaled low-rank update to the frozen layer's output.

        Source: Hu et al. 2021, arXiv:2106.09685, section 4.1.

        Args:
            layer: the target's full name.
            slots: which slots the rows belong to, in order.
            x_KND: [K, N, D] the layer's input, rows grouped by slot, compute dtype.
            y_KNE: [K, N, E] the frozen layer's output.

        Returns:
            [K, N, E]. Equal to ``y_KNE`` until the first update: ``lora_b`` starts at zero.
        """
        a_KDR, b_KRE = self.tensors[f"{layer}.lora_a"], self.tensors[f"{layer}.lora_b"]
        scaling_K11 = self._scaling_K11
        if len(slots) != self.num_slots:
            a_KDR, b_KRE, scaling_K11 = a_KDR[slots], b_KRE[slots], scaling_K11[slots]
        b_KRE = (b_KRE * scaling_K11).to(x_KND.dtype)
        return torch.baddbmm(y_KNE, torch.bmm(x_KND, a_KDR.to(x_KND.dtype)), b_KRE)


def _peft_name(name: str) -> str:
    layer, _, part = name.rpartition(".")
    return f"base_model.model.{layer}.lora_{part[-1].upper()}.weight"


def _default_targets(base: Base, layers: dict[str, nn.Module], where: str) -> tuple[str, ...]:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    names = KNOWN.get(base.model_type)
    if names is None:
        endings = sorted({name.rpartition(".")[2] for name in layers})
        raise ConfigError(
            f"{where}: PEFT names no default targets for the architecture {base.model_type!r}; "
            f"name layers that end in {', '.join(endings)}, or give all-linear"
        )
    return tuple(names)

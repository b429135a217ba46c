"""LoRA: a low-rank update beside frozen linear layers.

Axis letters: ``K`` slots, ``L`` layers, ``N`` positions of a slot, ``D`` a layer's input width,
``E`` its output width, ``R`` rank.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bakeoff.base.experts import ExpertsHook
from bakeoff.base.injection import LinearHook, linear_shape, select_linear_layers
from bakeoff.base.model import Base
from bakeoff.base.shared_inputs import layers_that_share, turns
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.low_rank.dropout import dropped, threshold
from bakeoff.methods.low_rank.experts import (
    ExpertsUpdate,
    ExpertWeight,
    draw_expert_factors,
    expert_scaling,
    expert_shapes,
    merged_experts,
    target_weights,
)
from bakeoff.methods.low_rank.hooks import LowRankHook, SettledHook, Together, side_by_side
from bakeoff.methods.low_rank.lora_files import read_low_rank, write_low_rank
from bakeoff.methods.low_rank.updates import (
    default_targets,
    draw_factors,
    oriented,
    plan_layers,
    principal_factors,
)
from bakeoff.methods.specs.lora import SPEC
from bakeoff.methods.specs.low_rank import LowRankOptions
from bakeoff.methods.stack import ByDtype, Stack, StackHooks


class Lora(Method):
    """LoRA on one base."""

    spec = SPEC
    uses_dora: ClassVar[bool] = False
    """What PEFT's settings say."""
    options: Any

    def __init__(self, options: LowRankOptions, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        layers = base.linear_layers()
        targets = options.target_modules
        path = f"{where}.target_modules"
        if targets is None:
            targets = default_targets(base, list(layers), path)
        self.targets = select_linear_layers(list(layers), targets, where=path)
        self.plan = plan_layers(self.targets, options, where=where)
        self.layers: dict[str, nn.Module] = {name: layers[name] for name in self.targets}
        self.expert_weights: dict[str, ExpertWeight] = target_weights(base, options, where=where)
        self._check_init()

    def _check_init(self) -> None:
        for name, plan in self.plan.items():
            if self.options.init == "orthogonal" and plan.rank % 2:
                raise ConfigError(
                    f"{self.where}.init: orthogonal halves the rank, but {name} has rank "
                    f"{plan.rank}; give an even rank"
                )
            if self.options.init == "pissa" and plan.scaling < 0:
                raise ConfigError(
                    f"{self.where}.init: pissa splits the weights into factors whose product is "
                    f"scaled by alpha, but {name} has an alpha of {plan.alpha:g}; give an alpha "
                    "above 0"
                )
            most = min(linear_shape(self.layers[name]))
            if self.options.init == "pissa" and plan.rank > most:
                raise ConfigError(
                    f"{self.where}.init: pissa takes {plan.rank} singular values, but {name} has "
                    f"{most}; give a rank of at most {most}"
                )

    @property
    def execution_path(self) -> ExecutionPath:
        """Through the shared base."""
        return ExecutionPath.BASE

    @property
    def rate_ratio(self) -> float:
        """LoRA+'s: ``lora_b`` has so many times the learning rate of ``lora_a``."""
        return float(self.options.loraplus_lr_ratio)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """``NAME.lora_a`` [in, rank] and ``NAME.lora_b`` [rank, out] of each target layer."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, layer in self.layers.items():
            num_in, num_out = linear_shape(layer)
            shapes[f"{name}.lora_a"] = (num_in, self.plan[name].rank)
            shapes[f"{name}.lora_b"] = (self.plan[name].rank, num_out)
        return shapes | expert_shapes(self.expert_weights, self.options.rank)

    def initial(self, generator: torch.Generator) -> Tensors:
        """As the option ``init`` says; ``pissa`` draws nothing from ``generator``."""
        tensors: Tensors = {}
        for name, layer in self.layers.items():
            if name in self.principal:
                a_DR, b_RE = (factor.clone() for factor in self.principal[name])
            else:
                num_in, num_out = linear_shape(layer)
                rank = self.plan[name].rank
                a_DR, b_RE = draw_factors(self.options.init, num_in, rank, num_out, generator)
            tensors |= {f"{name}.lora_a": a_DR, f"{name}.lora_b": b_RE}
        for name, weight in self.expert_weights.items():
            a_XDR, b_XRE = draw_expert_factors(weight, self.options.rank, generator)
            tensors |= {f"{name}.lora_a": a_XDR, f"{name}.lora_b": b_XRE}
        return tensors

    @cached_property
    def principal(self) -> dict[str, tuple[Tensor, Tensor]]:
        """([D, R], [R, E]) of each layer whose principal part is taken from the frozen weight.

        The base is shared and stays as it is, so that part is subtracted from the layer's output.
        """
        if self.options.init != "pissa":
            return {}
        return {
            name: principal_factors(self._source_weight(name), self.plan[name])
            for name in self.targets
        }

    def _source_weight(self, name: str) -> Tensor:
        return oriented(self.layers[name], self.base.source_parameter(f"{name}.weight"))

    def update(self, name: str, tensors: Tensors) -> Tensor:
        """[D, E] what is added to a layer's weight, float32."""
        a_DR, b_RE = tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]
        update_DE = a_DR @ b_RE
        if name in self.principal:
            a0_DR, b0_RE = self.principal[name]
            update_DE -= a0_DR @ b0_RE
        return update_DE * self.plan[name].scaling

    def merged_weights(self, tensors: Tensors) -> Tensors:
        """Each target's weight with its update added."""
        merged = {
            f"{name}.weight": oriented(
                layer, self._source_weight(name) + self.update(name, tensors)
            ).contiguous()
            for name, layer in self.layers.items()
        }
        scaling = expert_scaling(self.options)
        return merged | merged_experts(self.base, self.expert_weights, tensors, scaling)

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes PEFT's ``adapter_config.json`` and ``adapter_model.safetensors``."""
        write_low_rank(self, tensors, folder)

    def load(self, folder: Path) -> Tensors:
        """Reads PEFT's files back."""
        return read_low_rank(self, folder)


class LoraStack(Stack):
    """K slots' low-rank updates; ranks that differ are padded with zeros to the largest."""

    parts: ClassVar[tuple[str, ...]] = ("lora_a", "lora_b")
    # As PEFT's create_loraplus_optimizer groups them: all that is not lora_A.
    parts_of_ratio = ("lora_b", "magnitude")

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
            for part in self.parts
            if f"{layer}.{part}" in self._shapes
        ]
        of_experts = {n: s for n, s in self._shapes.items() if len(s) == 3}
        self._shapes = {name: self._shapes[name] for name in order} | of_experts
        self._experts = {n: w for m in methods for n, w in m.expert_weights.items()}
        self._expert_layers = base.expert_layers() if self._experts else {}
        self._expert_scaling_K = torch.zeros(num_slots, device=base.device)
        self._has_experts_K = [False] * num_slots
        self.layers = [n.removesuffix(".lora_a") for n in order if n.endswith(".lora_a")]
        self._index = {layer: index for index, layer in enumerate(self.layers)}
        device = base.device
        self._scaling_LK = torch.zeros(len(self.layers), num_slots, device=device)
        self._has_dropout = any(method.options.dropout for method in methods)
        self._threshold_K = torch.zeros(num_slots, dtype=torch.int32, device=device)
        self._kept_scale_K = torch.ones(num_slots, device=device)
        # The part that PiSSA takes from the frozen weight: [K, D, R] and, scaled, [K, R, E].
        self._principal: dict[str, tuple[Tensor, Tensor]] = {}
        for method in methods:
            for layer in method.principal:
                a_DR, b_RE = (self._shapes[f"{layer}.{part}"] for part in ("lora_a", "lora_b"))
                self._principal[layer] = (
                    torch.zeros(num_slots, *a_DR, device=device),
                    torch.zeros(num_slots, *b_RE, device=device),
                )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Padded shapes of one slot."""
        return self._shapes

    @property
    def num_fixed(self) -> int:
        """Those of the principal parts."""
        fixed = (tensor for pair in self._principal.values() for tensor in pair)
        return sum(tensor[0].numel() for tensor in fixed)

    def place(self, slot: int, method: Method, tensors: dict[str, Tensor]) -> None:  # type: ignore[override]
        """Seats a candidate with its own scales and dropout."""
        assert isinstance(method, Lora)
        self.vacate(slot)
        super().place(slot, method, tensors)
        self._threshold_K[slot] = threshold(method.options.dropout)
        self._kept_scale_K[slot] = 1 / (1 - method.options.dropout)
        self._has_experts_K[slot] = bool(method.expert_weights)
        self._expert_scaling_K[slot] = expert_scaling(method.options)
        for layer, plan in method.plan.items():
            self._scaling_LK[self._index[layer], slot] = plan.scaling
        for layer, (a_DR, b_RE) in method.principal.items():
            a_KDR, b_KRE = self._principal[layer]
            a_KDR[slot, :, : a_DR.shape[1]] = a_DR.to(a_KDR.device)
            b_KRE[slot, : b_RE.shape[0]] = (-method.plan[layer].scaling * b_RE).to(b_KRE.device)

    def vacate(self, slot: int) -> None:
        """A scale of zero: no update."""
        self._scaling_LK[:, slot] = 0.0
        self._threshold_K[slot], self._kept_scale_K[slot] = 0, 1.0
        self._has_experts_K[slot], self._expert_scaling_K[slot] = False, 0.0
        for fixed in self._principal.values():
            for tensor in fixed:
                tensor[slot] = 0.0

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """One per target layer."""
        a_KDRs = self._first_factors(slots)
        together = self._together(a_KDRs)
        return StackHooks(
            linear={
                layer: self._hook(layer, slots, a_KDRs[layer], together.get(layer))
                for layer in self.layers
            },
            experts=self._experts_hooks(slots),
        )

    def settled_hooks(self, slot: int) -> StackHooks:
        """The same, of one slot outside of training, with the scale in a factor."""
        slots = range(slot, slot + 1)
        together = self._together(self._first_factors(slots), settled=True)

        def settled(layer: str) -> LinearHook:
            fixed = self._principal.get(layer, ())
            group = together.get(layer)

            def factors(dtype: torch.dtype) -> tuple[Tensor, ...]:
                principal = [self.narrowed(factor, slots).to(dtype) for factor in fixed]
                a_1DR, scaled_1RE = self._factors(layer, slots)
                # A part of what all of the group have, not a copy of its own beside that.
                own_1DR = a_1DR.to(dtype) if group is None else group.factor(dtype)
                return *principal, own_1DR, scaled_1RE.to(dtype)

            return SettledHook(ByDtype(factors), group)

        return StackHooks(
            linear={layer: settled(layer) for layer in self.layers},
            experts=self._experts_hooks(slots),
        )

    @property
    def is_compilable(self) -> bool:
        """Dropout asks for the position of training, which a compiled layer cannot, and experts
        have other weights with each slot."""
        return not self._has_dropout and not self._experts

    def _first_factors(self, slots: Sequence[int]) -> dict[str, Tensor]:
        """[K, D, R] of each layer."""
        of = self._of(slots)
        return {layer: of(self.tensors[f"{layer}.lora_a"]) for layer in self.layers}

    def _together(
        self, a_KDRs: Mapping[str, Tensor], *, settled: bool = False
    ) -> dict[str, Together]:
        """Of the layers that read the same; none with dropout, which hides other parts of it from
        each. Factors that are settled are put together once."""
        found: dict[str, Together] = {}
        for group in [] if self._has_dropout else layers_that_share(self.layers):
            of_group = [a_KDRs[layer] for layer in group]
            make = partial(side_by_side, of_group)
            factors = ByDtype(make) if settled else make
            ranks = [a_KDR.shape[2] for a_KDR in of_group]
            for layer, turn in zip(group, turns(len(group)), strict=True):
                found[layer] = Together(turn, ranks, factors)
        return found

    def _hook(
        self, layer: str, slots: Sequence[int], a_KDR: Tensor, together: Together | None
    ) -> LinearHook:
        of = self._of(slots)
        fixed = self._principal.get(layer)
        return LowRankHook(
            a_KDR=a_KDR,
            b_KRE=of(self.tensors[f"{layer}.lora_b"]),
            scaling_K11=of(self._scaling_LK[self._index[layer]])[:, None, None],
            principal=None if fixed is None else (of(fixed[0]), of(fixed[1])),
            drop=partial(self._dropped, layer, slots) if self._has_dropout else None,
            together=together,
        )

    def _experts_hooks(self, slots: Sequence[int]) -> dict[str, ExpertsHook]:
        layers = dict.fromkeys(weight.layer for weight in self._experts.values())
        return {layer: self._experts_hook(layer, slots) for layer in layers}

    def _experts_hook(self, layer: str, slots: Sequence[int]) -> ExpertsUpdate:
        of = self._of(slots)
        weights = [weight for weight in self._experts.values() if weight.layer == layer]
        return ExpertsUpdate(
            frozen=dict(self._expert_layers[layer].named_parameters(recurse=False)),
            weights=weights,
            factors={
                w.name: (of(self.tensors[f"{w.name}.lora_a"]), of(self.tensors[f"{w.name}.lora_b"]))
                for w in weights
            },
            scaling_K=of(self._expert_scaling_K),
            # Asked in each pass: a slot may be seated after this.
            has_K=lambda: [self._has_experts_K[slot] for slot in slots],
        )

    def _factors(self, layer: str, slots: Sequence[int]) -> tuple[Tensor, Tensor]:
        """([K, D, R], [K, R, E] scaled) of some slots, float32."""
        of = self._of(slots)
        scaling_K11 = of(self._scaling_LK[self._index[layer]])[:, None, None]
        return of(self.tensors[f"{layer}.lora_a"]), of(
            self.tensors[f"{layer}.lora_b"]
        ) * scaling_K11

    def _of(self, slots: Sequence[int]) -> Callable[[Tensor], Tensor]:
        """Narrows a tensor of all slots to some."""
        if not self.are_all(slots):
            return lambda tensor: self.narrowed(tensor, slots)
        # Without gradients they are to look like a part of more slots: compiled code asks.
        return lambda tensor: tensor if torch.is_grad_enabled() else tensor.detach()

    def _dropped(self, layer: str, slots: Sequence[int], x_KND: Tensor) -> Tensor:
        """The update's input: in training without what dropout takes."""
        now = self.training
        if now is None or not self._has_dropout:
            return x_KND
        key = zlib.crc32(layer.encode()) >> 1
        of = self._of(slots)
        if not self.are_all(slots):
            now = replace(now, seed_K=of(now.seed_K), update_K=of(now.update_K))
        return dropped(x_KND, now, key, of(self._threshold_K), of(self._kept_scale_K))

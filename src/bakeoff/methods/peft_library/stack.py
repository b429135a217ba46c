"""One slot of one of PEFT's methods: a base of its own, wrapped by PEFT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.peft_library.method import PeftMethod, trained_parameters
from bakeoff.methods.stack import Stack

_ALLOCATOR = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""What AdaLoRA's allocator of ranks remembers from step to step, each by parameter."""


class PeftStack(Stack):
    """A wrapped copy of the base whose trained parameters are views of the optimizer's row."""

    kind = "peft"
    trains_alone = True
    is_capturable = False  # PEFT's code may ask the device, and AdaLoRA counts its steps

    def __init__(self, base: Base, methods: Sequence[PeftMethod], num_slots: int) -> None:
        if num_slots != 1 or len(methods) != 1:
            raise ValueError("a method of PEFT's trains alone: its cohort has one slot")
        super().__init__(base, methods, num_slots)
        self._method = methods[0]
        self._shapes = methods[0].shapes
        self._base, self._wrapped = methods[0].private_base()
        self._parameters = trained_parameters(self._wrapped)
        self._is_trained = False
        self._num_updates = 0

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What PEFT sets to be trained."""
        return self._shapes

    @property
    def own_base(self) -> Base:
        """The wrapped copy."""
        return self._base

    def bind(self, values_Kn: Tensor, grads_Kn: Tensor | None) -> None:
        """Makes PEFT's parameters views of the optimizer's single row."""
        self._is_trained = grads_Kn is not None
        start = 0
        for name, shape in self._shapes.items():
            parameter = self._parameters[name]
            stop = start + parameter.numel()
            parameter.data = values_Kn[0, start:stop].view(shape)
            if grads_Kn is not None:
                parameter.grad = grads_Kn[0, start:stop].view(shape)
            self.tensors[name] = parameter
            start = stop
        self.vacate(0)

    def vacate(self, slot: int) -> None:
        """The base without the adapter."""
        self._wrapped.base_model.disable_adapter_layers()
        self._num_updates = 0
        self._claim()

    @torch.no_grad()
    def place(self, slot: int, method: Method, tensors: Mapping[str, Tensor]) -> None:
        """Copies a candidate in and lets its adapter act."""
        self._wrapped.base_model.enable_adapter_layers()
        for name, parameter in self.tensors.items():
            parameter.copy_(tensors[name])
        self._num_updates = 0
        allocator = getattr(self._wrapped.base_model, "rankallocator", None)
        if allocator is not None:
            allocator.reset_ipt()
            self._config.rank_pattern = None
        self._claim()

    @torch.no_grad()
    def take(self, slot: int, method: Method) -> Tensors:
        """Copies the candidate out."""
        return {
            name: parameter.detach().to("cpu", copy=True)
            for name, parameter in self.tensors.items()
        }

    def penalty(self) -> Tensor | None:
        """AdaLoRA's weight on orthogonal factors, which PEFT adds in a forward pass of its own.

        Source: Zhang et al. 2023, arXiv:2303.10512, equation 4.
        """
        weight = getattr(self._config, "orth_reg_weight", 0.0)
        gaps = []
        for name, parameter in self._parameters.items():
            if weight and ("lora_A" in name or "lora_B" in name):
                rows = parameter if "lora_A" in name else parameter.t()
                identity = torch.eye(len(rows), device=rows.device)
                gaps.append(torch.linalg.matrix_norm(rows @ rows.t() - identity))
        return weight * torch.stack(gaps).mean()[None] if gaps else None

    def after_update(self) -> None:
        """Lets a method that moves its budget of ranks do so: AdaLoRA, after each update."""
        tuner = self._wrapped.base_model
        if hasattr(tuner, "update_and_allocate"):
            self._num_updates += 1
            tuner.update_and_allocate(self._num_updates)

    def memory(self, slot: int) -> Tensors:
        """What that method has counted and weighed so far."""
        allocator = getattr(self._wrapped.base_model, "rankallocator", None)
        if allocator is None:
            return {}
        kept = {"num_updates": torch.tensor([self._num_updates])}
        for part in _ALLOCATOR:
            for name, tensor in getattr(allocator, part).items():
                kept[f"{part}/{name}"] = tensor.detach().to("cpu", copy=True)
        for name, flags in (self._config.rank_pattern or {}).items():
            kept[f"rank_pattern/{name}"] = torch.tensor(flags)
        return kept

    def recall(self, slot: int, memory: Mapping[str, Tensor]) -> None:
        """Goes on from there."""
        if not memory:
            return
        allocator = self._wrapped.base_model.rankallocator
        self._num_updates = int(memory["num_updates"])
        for part in _ALLOCATOR:
            below = _below(memory, f"{part}/")
            setattr(allocator, part, {n: t.to(self.base.device) for n, t in below.items()})
        patterns = _below(memory, "rank_pattern/")
        self._config.rank_pattern = {n: t.tolist() for n, t in patterns.items()} or None

    @property
    def _config(self) -> Any:
        return self._wrapped.peft_config["default"]

    def _claim(self) -> None:
        """PEFT sets what is trained when its layers are switched on and off; here it is fixed."""
        self._wrapped.requires_grad_(False)
        for parameter in self.tensors.values():
            parameter.requires_grad_(self._is_trained)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

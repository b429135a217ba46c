"""Full tuning: every parameter of a private copy of the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bakeoff.base.checkpoint import CHECKPOINT_WEIGHTS, write_checkpoint
from bakeoff.base.model import Base
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.files import read_tensors
from bakeoff.methods.specs.full import SPEC, FullOptions
from bakeoff.methods.stack import Stack


class Full(Method):
    """Tuning of all parameters of one base."""

    spec = SPEC
    options: FullOptions

    @property
    def execution_path(self) -> ExecutionPath:
        """A copy of the base, alone."""
        return ExecutionPath.OWN_BASE

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter by its name in the model; tied ones once.

        Of a multimodal model those that text passes through.
        """
        return {n: tuple(p.shape) for n, p in _text_parameters(self.base).items()}

    def initial(self, generator: torch.Generator) -> Tensors:
        """The base's own weights; nothing is drawn."""
        names = set(_text_parameters(self.base))
        found = self.base.source_parameters()
        return {name: tensor.clone() for name, tensor in found if name in names}

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes an ordinary Transformers checkpoint with its tokenizer."""
        write_checkpoint(self.base, tensors, folder)

    def load(self, folder: Path) -> Tensors:
        """Reads the checkpoint back."""
        stored = dict(self.base.source.model.named_parameters())
        shapes = {name: tuple(parameter.shape) for name, parameter in stored.items()}
        found = read_tensors(folder / CHECKPOINT_WEIGHTS, shapes)
        return {name: found[name] for name in self.shapes}

    def merged_weights(self, tensors: Tensors) -> Tensors:
        """The trained weights themselves."""
        return dict(tensors)


def _text_parameters(base: Base) -> dict[str, nn.Parameter]:
    found = dict(base.source.model.named_parameters())
    if base.config is base.model.config:
        return found
    starts = tuple(f"{name}." for name in (base.decoder_name, base.head_name, base.embedding_name))
    return {name: parameter for name, parameter in found.items() if name.startswith(starts)}


class FullStack(Stack):
    """One slot: a base of its own whose parameters are the trained tensors."""

    def __init__(self, base: Base, methods: Sequence[Full], num_slots: int) -> None:
        if num_slots != 1:
            raise ValueError("full tuning trains alone: its cohort has one slot")
        super().__init__(base, methods, num_slots)
        self._shapes = methods[0].shapes
        self._base, _ = base.private_copy()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter."""
        return self._shapes

    @property
    def own_base(self) -> Base:
        """The copy that is trained."""
        return self._base

    def bind(self, values_Kn: Tensor, grads_Kn: Tensor | None) -> None:
        """Makes the copy's parameters views of the optimizer's single row."""
        start = 0
        parameters = dict(self._base.model.named_parameters())
        for name, shape in self._shapes.items():
            stop = start + parameters[name].numel()
            parameter = parameters[name]
            parameter.data = values_Kn[0, start:stop].view(shape)
            parameter.requires_grad_(grads_Kn is not None)
            if grads_Kn is not None:
                parameter.grad = grads_Kn[0, start:stop].view(shape)
            self.tensors[name] = parameter
            start = stop
        self.vacate(0)

    @torch.no_grad()
    def vacate(self, slot: int) -> None:
        """The base's own weights."""
        for name, original in self.base.source_parameters():
            if name not in self.tensors:
                continue
            self.tensors[name].copy_(original)

    @torch.no_grad()
    def place(self, slot: int, method: Method, tensors: Mapping[str, Tensor]) -> None:
        """Copies a whole model in."""
        for name, parameter in self.tensors.items():
            parameter.copy_(tensors[name])

    @torch.no_grad()
    def take(self, slot: int, method: Method) -> Tensors:
        """Copies the whole model out."""
        return {
            name: parameter.detach().to("cpu", copy=True)
            for name, parameter in self.tensors.items()
        }

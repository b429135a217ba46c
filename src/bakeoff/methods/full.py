"""Full tuning: every parameter of a private copy of the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from bakeoff.base.checkpoint import CHECKPOINT_WEIGHTS, write_checkpoint
from bakeoff.base.model import Base
from bakeoff.base.sharding import as_sharded, joined_like, local, part_like, whole
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
        beside = [name for name, _ in self.base.source_buffers()]
        found = read_tensors(folder / CHECKPOINT_WEIGHTS, shapes, beside=beside)
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
    """One slot: a base of its own whose parameters are the trained tensors.

    Of a sharded base this process trains its part of each layer's parameters. The optimizer's row
    then begins with what every process holds whole, and what it updates is copied into the shards,
    whose memory is FSDP's.
    """

    def __init__(self, base: Base, methods: Sequence[Full], num_slots: int) -> None:
        if num_slots != 1:
            raise ValueError("full tuning trains alone: its cohort has one slot")
        super().__init__(base, methods, num_slots)
        self._shapes = methods[0].shapes
        self._base, _ = base.private_copy()
        self._parameters = dict(self._base.model.named_parameters())
        is_shard = {name: isinstance(self._parameters[name], DTensor) for name in self._shapes}
        # Stable, so that nothing moves where nothing is sharded.
        self._order = sorted(self._shapes, key=lambda name: is_shard[name])
        self._sharded = [name for name in self._order if is_shard[name]]
        self._views_of_values: Tensors = {}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter."""
        return self._shapes

    @property
    def num_values(self) -> int:
        """Numbers of all parameters that this process holds."""
        return sum(local(self._parameters[name]).numel() for name in self._shapes)

    @property
    def num_sharded(self) -> int:
        """Those of the layers, where they are sharded."""
        return sum(local(self._parameters[name]).numel() for name in self._sharded)

    @property
    def own_base(self) -> Base:
        """The copy that is trained."""
        return self._base

    def bind(self, values_Kn: Tensor, grads_Kn: Tensor | None) -> None:
        """Makes the copy's parameters views of the optimizer's single row."""
        values = self._views(values_Kn[0])
        grads = None if grads_Kn is None else self._views(grads_Kn[0])
        for name in self._shapes:
            parameter = self._parameters[name]
            parameter.requires_grad_(grads is not None)
            if isinstance(parameter, DTensor):
                self._views_of_values[name] = values[name]
                if grads is not None:  # FSDP adds to what is there
                    parameter.grad = as_sharded(grads[name], parameter)
            else:
                parameter.data = values[name]
                if grads is not None:
                    parameter.grad = grads[name]
            self.tensors[name] = parameter
        self.vacate(0)

    def _views(self, row_n: Tensor) -> Tensors:
        """The part of each parameter that this process holds, in a row of the optimizer."""
        views, start = {}, 0
        for name in self._order:
            part = local(self._parameters[name])
            stop = start + part.numel()
            views[name] = row_n[start:stop].view(part.shape)
            start = stop
        return views

    @torch.no_grad()
    def _set(self, name: str, tensor: Tensor) -> None:
        """Copies one whole parameter in."""
        parameter = self.tensors[name]
        part = part_like(tensor, parameter)
        local(parameter).copy_(part)
        if name in self._views_of_values:
            self._views_of_values[name].copy_(part)

    @torch.no_grad()
    def after_update(self) -> None:
        """Shards are not views of what the optimizer has changed."""
        for name, view in self._views_of_values.items():
            local(self.tensors[name]).copy_(view)

    def vacate(self, slot: int) -> None:
        """The base's own weights."""
        for name, original in self.base.source_parameters():
            if name in self.tensors:
                self._set(name, original)

    def place(self, slot: int, method: Method, tensors: Mapping[str, Tensor]) -> None:
        """Copies a whole model in."""
        for name in self.tensors:
            self._set(name, tensors[name])

    def take(self, slot: int, method: Method) -> Tensors:
        """Copies the whole model out."""
        return {
            name: whole(parameter).detach().to("cpu", copy=True)
            for name, parameter in self.tensors.items()
        }

    def cut(self, row_n: Tensor, method: Method) -> Tensors:
        """See ``Stack``; shards are joined."""
        found = self._views(row_n)
        return {
            name: joined_like(found[name], self._parameters[name]).detach().to("cpu", copy=True)
            for name in self._shapes
        }

    def fill(self, row_n: Tensor, tensors: Mapping[str, Tensor]) -> None:
        """See ``Stack``; of a sharded parameter this process takes its part."""
        found = self._views(row_n)
        for name, tensor in tensors.items():
            found[name].copy_(part_like(tensor, self._parameters[name]))

"""Head tuning, also called "traditional": only the last layer is trained.

In most small models the head shares its weight with the input embedding. ``tied: false`` trains a
head of its own and leaves the embedding alone, so that the base's hidden states never change and
are computed once per study. ``tied: true`` trains the shared weight: the embedding changes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.files import (
    OWN_CONFIG,
    OWN_WEIGHTS,
    check_settings,
    read_tensors,
    write_json,
    write_tensors,
)
from bakeoff.methods.specs.head import SPEC, HeadOptions
from bakeoff.methods.stack import Stack, StackHooks

_TENSOR = "weight"


class Head(Method):
    """Tuning of the output layer on one base."""

    spec = SPEC
    options: HeadOptions

    def __init__(self, options: HeadOptions, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        if options.tied and not base.is_tied:
            raise ConfigError(
                f"{where}.tied: true, but {base.source.reference} does not tie its head to its "
                "embedding; set tied: false"
            )
        if options.tied and type(base.embedding) is not nn.Embedding:
            raise ConfigError(
                f"{where}.tied: true, but the embedding of {base.source.reference} is a "
                f"{type(base.embedding).__name__}, which scales its rows; set tied: false"
            )

    @property
    def execution_path(self) -> ExecutionPath:
        """Cached hidden states, unless the embedding changes too."""
        return ExecutionPath.EMBEDDING if self.options.tied else ExecutionPath.HIDDEN_STATES

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """One tensor, [vocabulary, width]; a head's bias stays frozen."""
        return {_TENSOR: (self.base.vocabulary, self.base.width)}

    def initial(self, generator: torch.Generator) -> Tensors:
        """The base's own head; nothing is drawn."""
        return {_TENSOR: self.base.source_head.detach().float().cpu().clone()}

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes the weight as safetensors and what it belongs to as JSON: PEFT has no such
        method."""
        write_json(
            {
                "kind": self.kind,
                "tied": self.options.tied,
                "base_model_name_or_path": self.base.source.reference,
            },
            folder / OWN_CONFIG,
        )
        write_tensors(tensors, folder / OWN_WEIGHTS)

    def load(self, folder: Path) -> Tensors:
        """Reads back what ``save`` wrote."""
        check_settings(folder / OWN_CONFIG, {"kind": self.kind, "tied": self.options.tied})
        return read_tensors(folder / OWN_WEIGHTS, self.shapes)

    def merged_weights(self, tensors: Tensors) -> Tensors:
        """The head, and the embedding with it where they are tied."""
        names = {self.base.head_name}
        if self.options.tied:
            names.add(self.base.embedding_name)
        return {f"{name}.weight": tensors[_TENSOR] for name in sorted(names)}


class HeadStack(Stack):
    """K slots' heads, all tied or all untied."""

    def __init__(self, base: Base, methods: Sequence[Head], num_slots: int) -> None:
        super().__init__(base, methods, num_slots)
        self._tied = methods[0].options.tied

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """One slot's head."""
        return {_TENSOR: (self.base.vocabulary, self.base.width)}

    @torch.no_grad()
    def vacate(self, slot: int) -> None:
        """The base's own head."""
        self.tensors[_TENSOR][slot] = self.base.head.weight

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """The heads, which are the embeddings too where they are tied."""
        weight = partial(self.weight, slots)
        return StackHooks(head_weight=weight, embedding_weight=weight if self._tied else None)

    def weight(self, slots: Sequence[int]) -> Tensor:
        """[K, V, D] float32."""
        return self.narrowed(self.tensors[_TENSOR], slots)

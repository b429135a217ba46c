"""What a method is to the code above this floor.

``Method`` describes one way to tune one base: the shapes of what it trains, how that starts and
how it is stored. Its tensors for K slots at once are a ``Stack`` (``stack.py``). Nothing above
this floor asks which method it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.methods.files import QUANTIZATION_KEY, note_in_settings
from bakeoff.methods.specs.contract import FileFormat, MethodSpec

Tensors = dict[str, Tensor]

_OF_THE_SPEC = (
    "kind",
    "title",
    "paper",
    "formula",
    "options_type",
    "default_learning_rate",
    "learning_rate_source",
    "file_format",
    "length_option",
)


class ExecutionPath(StrEnum):
    """What a training step runs on; only candidates of one execution path share a cohort."""

    BASE = "base"  # forward and backward through the shared frozen base
    EMBEDDING = "embedding"  # the same, with an embedding and a head for each slot
    HIDDEN_STATES = "hidden_states"  # the base's hidden states, computed once per study
    LAST_LAYERS = "last_layers"  # through the base, with last layers for each slot
    OWN_BASE = "own_base"  # a base of its own: trains alone

    @property
    def shares_base(self) -> bool:
        """Whether candidates train over one base, several in a pass."""
        return self is not ExecutionPath.OWN_BASE

    @property
    def reads_hidden_states(self) -> bool:
        """Whether a step reads the untuned base's hidden states, which are computed once."""
        return self is ExecutionPath.HIDDEN_STATES


class Method(ABC):
    """One way to tune one base.

    Attributes:
        spec: what describes it; its attributes are readable here as well.
    """

    spec: ClassVar[MethodSpec]
    kind: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    formula: ClassVar[str]
    options_type: ClassVar[type]
    default_learning_rate: ClassVar[float]
    learning_rate_source: ClassVar[str]
    file_format: ClassVar[FileFormat]
    length_option: ClassVar[str]

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Hands the spec's facts on, so that each has one home."""
        super().__init_subclass__(**arguments)
        if "spec" in vars(cls):
            for name in _OF_THE_SPEC:
                setattr(cls, name, getattr(cls.spec, name))

    @classmethod
    def read_options(cls, given: Mapping[str, Any], *, path: str = "") -> Any:
        """The options of a study; see ``MethodSpec.read_options``."""
        return cls.spec.read_options(given, path=path)

    def __init__(self, options: Any, base: Base, *, where: str) -> None:
        """Checks the options against the base.

        Args:
            options: an instance of ``options_type``.
            base: the base to be tuned.
            where: the path of the options in the study, for errors.

        Raises:
            ConfigError: where an option does not fit the base.
        """
        self.options = options
        self.base = base
        self.where = where

    @property
    @abstractmethod
    def execution_path(self) -> ExecutionPath:
        """What its training runs on."""

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The trained tensors of one candidate, by name, in a fixed order."""

    @abstractmethod
    def initial(self, generator: torch.Generator) -> Tensors:
        """Fresh float32 tensors on the CPU, drawn from ``generator``."""

    @abstractmethod
    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes the adapter; in PEFT's own files where PEFT knows the method."""

    @abstractmethod
    def load(self, folder: Path) -> Tensors:
        """Reads back what ``save`` wrote: what ``stored`` gives.

        Raises:
            CheckpointError: if a file is missing, torn, or does not fit the method.
        """

    def write(self, tensors: Tensors, folder: Path) -> None:
        """What ``save`` writes, and in what the base was held, where it was quantised."""
        self.save(tensors, folder)
        if self.base.quantization != "none":
            note_in_settings(folder, {QUANTIZATION_KEY: self.base.quantization})

    @classmethod
    def is_mergeable(cls) -> bool:
        """Whether what it learns can be weights of the base itself."""
        return cls.spec.mergeable

    def merged_weights(self, tensors: Tensors) -> Tensors:
        """What the base's parameters become when the adapter is merged into them.

        Args:
            tensors: of one candidate.

        Returns:
            By the parameter's full name in the base's model, float32 on the CPU; parameters that
            stay as they are have no entry. A head that the base ties to its embedding, named
            without the embedding, is a head of its own from then on.

        Raises:
            ConfigError: where this method, or this option of it, is not a change of weights.
        """
        raise ConfigError(
            f"{self.where}: {self.kind} changes no weights of the base, so it cannot be merged "
            "into them; use the adapter as it is"
        )

    def stored(self, tensors: Tensors) -> Tensors:
        """What of a candidate's tensors its adapter keeps; a stack's ``place`` takes it too.

        Other than the tensors themselves only where a method trains through a reparametrisation
        that the adapter no longer needs.
        """
        return tensors

    @property
    def num_trainable(self) -> int:
        """Trainable parameters of one candidate."""
        return sum(prod(shape) for shape in self.shapes.values())

    @property
    def rate_ratio(self) -> float:
        """How many times the candidate's learning rate the stack's ``parts_of_ratio`` have."""
        return 1.0

    @property
    def extra_positions(self) -> int:
        """Positions that the method adds in front of every row."""
        return 0

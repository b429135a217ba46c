"""What a method is to the rest of the house.

``Method`` describes one way to tune one base: the shapes of what it trains, how that starts and
how it is stored. ``Stack`` is the same method's tensors for K slots at once, and says where in the
base's computation they act. Nothing above this floor asks which method it has.

Axis letters: ``K`` slots, ``B`` rows, ``T`` tokens, ``N`` positions of all rows of a slot,
``D`` width, ``E`` a layer's output width, ``P`` prompt length, ``V`` vocabulary.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from bakeoff.base.injection import InputHook, LinearHook, LinearProduct
from bakeoff.base.model import Base
from bakeoff.base.prefix import Prefix
from bakeoff.config import from_mapping
from bakeoff.errors import ConfigError
from bakeoff.methods.training_pass import TrainingPass, present_training

Tensors = dict[str, Tensor]

# A slot's tensors are strided views of its row in the optimizer, and so are their gradients. That
# is by design; PyTorch warns once that other layouts accumulate faster.
warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout")


class Ground(StrEnum):
    """What a method's training step runs on; only candidates of one ground share a cohort."""

    BASE = "base"  # forward and backward through the shared frozen base
    EMBEDDING = "embedding"  # the same, with an embedding and a head for each slot
    HIDDEN_STATES = "hidden_states"  # the base's hidden states, computed once a study
    LAST_LAYERS = "last_layers"  # through the base, with last layers for each slot
    OWN_BASE = "own_base"  # a base of its own: trains alone


class FileFormat(StrEnum):
    """Whose files an adapter is."""

    PEFT = "peft"  # loads with PeftModel.from_pretrained
    ADAPTERS = "adapters"  # loads with the library of that name
    TRANSFORMERS = "transformers"  # an ordinary checkpoint of a whole model
    OWN = "bakeoff"  # no library has such a method


class Method(ABC):
    """One way to tune one base.

    Attributes:
        kind: the name in the registry.
        title: one line for ``bakeoff methods``.
        paper: where it comes from.
        formula: the number of trained parameters, in words.
        default_learning_rate: used where the study names none.
        learning_rate_source: who published that rate.
        file_format: whose files ``save`` writes.
        length_option: the option that decides on ``extra_positions``, for errors.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    formula: ClassVar[str]
    options_type: ClassVar[type]
    default_learning_rate: ClassVar[float]
    learning_rate_source: ClassVar[str]
    file_format: ClassVar[FileFormat]
    length_option: ClassVar[str] = "prompt_length"

    @classmethod
    def read_options(cls, given: Mapping[str, Any], *, path: str = "") -> Any:
        """The options of a study as an instance of ``options_type``.

        Args:
            given: keys and plain values.
            path: where they stand in the study, for errors.

        Raises:
            ConfigError: names each setting that is wrong.
        """
        return from_mapping(cls.options_type, given, path=path)

    @classmethod
    def families(cls) -> dict[str, type]:
        """Further options by the value of the first one, where they hang on it; else empty."""
        return {}

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
    def ground(self) -> Ground:
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

    @classmethod
    def is_mergeable(cls) -> bool:
        """Whether what it learns can be weights of the base itself."""
        return cls.merged_weights is not Method.merged_weights

    def merged_weights(self, tensors: Tensors) -> Tensors:
        """What the base's parameters become when the adapter is merged into them.

        Args:
            tensors: of one candidate.

        Returns:
            By the parameter's full name in the base's model, float32 on the CPU; parameters that
            stay as they are have no entry. A head that the base ties to its embedding, named
            without the embedding, is a head of its own from then on.

        Raises:
            ConfigError: where this method, or this option of it, is no change of weights.
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
    def extra_positions(self) -> int:
        """Positions that the method adds in front of every row."""
        return 0


class Stack(ABC):
    """The tensors of K slots and where they act.

    A slot that holds no candidate of this stack's kind holds the null element, which changes
    nothing. Hooks that a method does not need keep their defaults.

    Attributes:
        trains_alone: whether its cohort has one slot and a base of its own.
        is_capturable: whether an update is the same work at every step and asks the device for
            nothing, so that it can be captured once and replayed.
    """

    kind: ClassVar[str]
    trains_alone: ClassVar[bool] = False
    is_capturable: ClassVar[bool] = True

    def __init__(self, base: Base, methods: Sequence[Method], num_slots: int) -> None:
        """Sizes the stack so that any of ``methods`` fits into any slot."""
        self.base = base
        self.num_slots = num_slots
        self.tensors: Tensors = {}
        self._indices: dict[tuple[int, ...], Tensor] = {}

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of one slot's tensors, padded to the largest method, in a fixed order."""

    @property
    def num_values(self) -> int:
        """Numbers that one slot's row of the optimizer holds for this stack."""
        return sum(prod(shape) for shape in self.shapes.values())

    def bind(self, values_Kn: Tensor, grads_Kn: Tensor | None) -> None:
        """Makes the stack's tensors views of the optimizer's rows, with every slot empty.

        Args:
            values_Kn: [K, num_values] float32, zero.
            grads_Kn: like it, or None where nothing is trained.
        """
        start = 0
        for name, shape in self.shapes.items():
            stop = start + prod(shape)
            leaf = values_Kn[:, start:stop].view(self.num_slots, *shape).detach()
            if grads_Kn is not None:
                leaf.requires_grad_(True)
                leaf.grad = grads_Kn[:, start:stop].view(self.num_slots, *shape)
            self.tensors[name] = leaf
            start = stop
        for slot in range(self.num_slots):
            self.vacate(slot)

    @torch.no_grad()
    def place(self, slot: int, method: Method, tensors: Mapping[str, Tensor]) -> None:
        """Seats a candidate: copies its tensors in, padding with zeros."""
        for name, stacked in self.tensors.items():
            target = stacked[slot]
            target.zero_()
            if name in tensors:
                target[tuple(slice(size) for size in tensors[name].shape)] = tensors[name].to(
                    target.device
                )

    @torch.no_grad()
    def take(self, slot: int, method: Method) -> Tensors:
        """Copies the slot's tensors out, in the method's own shapes, float32 on the CPU."""
        taken: Tensors = {}
        for name, shape in method.shapes.items():
            view = self.tensors[name][slot][tuple(slice(size) for size in shape)]
            taken[name] = view.detach().to("cpu", copy=True).contiguous()
        return taken

    def cut(self, row_n: Tensor, method: Method) -> Tensors:
        """Copies a method's part of a row of the optimizer out, in the method's own shapes.

        Args:
            row_n: [num_values] one slot's moments, in the order of ``shapes``.
        """
        found = self._views(row_n)
        return {
            name: found[name][tuple(slice(size) for size in shape)]
            .detach()
            .to("cpu", copy=True)
            .contiguous()
            for name, shape in method.shapes.items()
        }

    def fill(self, row_n: Tensor, tensors: Mapping[str, Tensor]) -> None:
        """The opposite of ``cut``: writes into the row, zeros where a method is smaller."""
        row_n.zero_()
        found = self._views(row_n)
        for name, tensor in tensors.items():
            found[name][tuple(slice(size) for size in tensor.shape)] = tensor.to(row_n.device)

    def _views(self, row_n: Tensor) -> Tensors:
        views, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + prod(shape)
            views[name] = row_n[start:stop].view(shape)
            start = stop
        return views

    def vacate(self, slot: int) -> None:
        """Puts the null element into the slot; the optimizer has zeroed its values already."""
        return None

    def narrowed(self, stacked: Tensor, slots: Sequence[int]) -> Tensor:
        """The part of some slots, in their order.

        Args:
            stacked: [K, ...] of all slots. slots: which.

        Returns:
            [len(slots), ...]; ``stacked`` itself where all are asked for, as in every training
            pass.
        """
        if len(slots) == self.num_slots:
            return stacked
        return stacked.index_select(0, self._index_of(slots))

    def _index_of(self, slots: Sequence[int]) -> Tensor:
        """[len(slots)] int64 the slots, made once: a list is copied to the device at every use,
        which waits for it, and which no graph can hold."""
        key = tuple(slots)
        if key not in self._indices:
            self._indices[key] = torch.tensor(key, dtype=torch.int64, device=self.base.device)
        return self._indices[key]

    def accepts(self, method: Method) -> bool:
        """Whether this stack is the one that holds candidates of ``method``."""
        return method.kind == self.kind

    # What a training step asks of a stack beside its tensors.

    @property
    def training(self) -> TrainingPass | None:
        """Where training stands in the present pass of this thread, or None outside of training."""
        return present_training()

    @property
    def is_compilable(self) -> bool:
        """Whether one compilation of a layer of the base serves all layers with its hooks.

        Hooks that know their layer's name would be compiled layer by layer, and so would a prefix,
        which each layer finds by its number. Those of no layer are none.
        """
        of_layers = ("linear_hooks", "input_hooks", "linear_products", "norm_hooks", "prefix")
        return all(getattr(type(self), name) is getattr(Stack, name) for name in of_layers)

    def penalty(self) -> Tensor | None:
        """[K] nats that a method adds to its slot's loss in every update, or None."""
        return None

    def after_update(self) -> None:
        """The optimizer has made an update; the gradients that led to it are still there."""
        return None

    def memory(self, slot: int) -> Tensors:
        """What a candidate needs beside its tensors to go on training later, on the CPU."""
        return {}

    def recall(self, slot: int, memory: Mapping[str, Tensor]) -> None:
        """Takes up what ``memory`` gave."""
        return None

    # Where a stack may act. `slots` narrows K to some slots, for evaluation.

    def linear_hooks(self, slots: Sequence[int]) -> dict[str, LinearHook]:
        """Hooks for linear sites by layer name, for the given slots in that order."""
        return {}

    def input_hooks(self, slots: Sequence[int]) -> dict[str, InputHook]:
        """Hooks for what linear sites read, by layer name, likewise."""
        return {}

    def linear_products(self, slots: Sequence[int]) -> dict[str, LinearProduct]:
        """What stands in for the frozen product of linear sites, by layer name, likewise."""
        return {}

    def norm_hooks(self, slots: Sequence[int]) -> dict[str, LinearHook]:
        """Hooks for norm sites by layer name, likewise."""
        return {}

    def embedding_weight(self, slots: Sequence[int]) -> Tensor | None:
        """[K, V, D] an input embedding for each slot instead of the base's, or None."""
        return None

    def head_weight(self, slots: Sequence[int]) -> Tensor | None:
        """[K, V, D] a head for each slot instead of the base's, or None."""
        return None

    def prompt(self, slots: Sequence[int]) -> tuple[Tensor, Tensor] | None:
        """([K, P, D] vectors put before the tokens, [K] how many of them count), or None."""
        return None

    def prefix(self, slots: Sequence[int]) -> Prefix | None:
        """Keys and values that every layer's attention sees before the tokens', or None."""
        return None

    @property
    def own_base(self) -> Base | None:
        """The base that this stack trains as a whole, instead of the shared one."""
        return None

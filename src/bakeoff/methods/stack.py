"""A method's tensors for K slots at once, and where in the base's computation they act.

Axis letters: ``K`` slots, ``B`` rows, ``T`` tokens, ``N`` positions of all rows of a slot,
``D`` width, ``E`` a layer's output width, ``P`` prompt length, ``V`` vocabulary.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from bakeoff.base.experts import ExpertsHook
from bakeoff.base.injection import Apart, InputHook, LinearHook, LinearProduct
from bakeoff.base.model import Base
from bakeoff.base.prefix import Prefix
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.training_pass import TrainingPass, present_training

# A slot's tensors are strided views of its row in the optimizer, and so are their gradients. That
# is by design; PyTorch warns once that other layouts accumulate faster.
warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout")


@dataclass(frozen=True, kw_only=True)
class StackHooks:
    """Everywhere that a stack acts, for the slots that it was asked for.

    All of it is called again in each pass, so that a pass sees the tensors as they are then. What a
    method does not need keeps its default.

    Attributes:
        linear: on what linear layers give, by layer name.
        inputs: on what linear layers read, by layer name.
        products: what replaces the frozen product of linear layers, by layer name.
        norms: on what norms give, by layer name.
        experts: gives each slot's own weights of layers of experts, by layer name.
        embedding_weight: gives [K, V, D], an input embedding for each slot instead of the base's.
        head_weight: gives [K, V, D], a head for each slot instead of the base's.
        prompt: gives ([K, P, D] vectors put before the tokens, [K] how many of them count).
        prefix: gives keys and values that every layer's attention sees before the tokens'.
    """

    linear: Mapping[str, LinearHook] = field(default_factory=dict)
    inputs: Mapping[str, InputHook] = field(default_factory=dict)
    products: Mapping[str, LinearProduct] = field(default_factory=dict)
    norms: Mapping[str, LinearHook] = field(default_factory=dict)
    experts: Mapping[str, ExpertsHook] = field(default_factory=dict)
    embedding_weight: Callable[[], Tensor] | None = None
    head_weight: Callable[[], Tensor] | None = None
    prompt: Callable[[], tuple[Tensor, Tensor]] | None = None
    prefix: Callable[[], Prefix] | None = None

    @property
    def sites(self) -> list[str]:
        """Names of the layers that something acts on, each once."""
        named = (*self.linear, *self.inputs, *self.products, *self.norms, *self.experts)
        return list(dict.fromkeys(named))

    def apart(self) -> StackHooks:
        """The same, where hooks on linear layers and norms stay out of compiled code."""
        return replace(
            self,
            linear={name: Apart(hook) for name, hook in self.linear.items()},
            inputs={name: Apart(hook) for name, hook in self.inputs.items()},
            products={name: Apart(product) for name, product in self.products.items()},
            norms={name: Apart(hook) for name, hook in self.norms.items()},
        )

    @property
    def act_in_layers(self) -> bool:
        """Whether anything acts inside the base's layers."""
        return bool(self.sites) or self.prefix is not None


class Stack(ABC):
    """The tensors of K slots and where they act.

    A slot that holds no candidate of this stack's kind holds the null element, which changes
    nothing.

    Attributes:
        is_capturable: whether an update is the same work at every step and asks the device for
            nothing, so that it can be captured once and replayed.
        parts_of_ratio: last parts of the names of tensors whose learning rate is a method's
            ``rate_ratio`` times the candidate's.
    """

    is_capturable: ClassVar[bool] = True
    parts_of_ratio: ClassVar[tuple[str, ...]] = ()

    def __init__(self, base: Base, methods: Sequence[Method], num_slots: int) -> None:
        """Sizes the stack so that any of ``methods`` fits into any slot."""
        self.base = base
        self.num_slots = num_slots
        self.tensors: Tensors = {}
        self._all_slots = list(range(num_slots))
        self._indices: dict[tuple[int, ...], Tensor] = {}

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of one slot's tensors, padded to the largest method, in a fixed order."""

    @property
    def num_values(self) -> int:
        """Numbers that one slot's row of the optimizer holds for this stack."""
        return sum(prod(shape) for shape in self.shapes.values())

    @property
    def num_fixed(self) -> int:
        """Numbers that one slot holds beside them, of the size of what is trained."""
        return 0

    def has_ratio(self) -> Tensor:
        """[num_values] bool, which numbers of a slot's row are of ``parts_of_ratio``."""
        found_n = torch.zeros(self.num_values, dtype=torch.bool)
        for name, view in self._views(found_n).items():
            view.fill_(name.rpartition(".")[2] in self.parts_of_ratio)
        return found_n

    @property
    def num_sharded(self) -> int:
        """The last ones of ``num_values`` that other processes of the run hold other parts of."""
        return 0

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
            stacked: [K, ...] of all slots. slots: which, in any order; one may occur again.

        Returns:
            [len(slots), ...]; ``stacked`` itself where all are asked for in their order, as in
            every training pass; a view where they are a ``range``; else a copy. A copy begins where
            memory is aligned, so that validation of one slot has the same bits in every slot; rows
            of many slots in one pass (``RowPass``) have no such promise, and copy nothing.
        """
        if self.are_all(slots):
            return stacked
        if isinstance(slots, range) and slots.step == 1:
            return stacked[slots.start : slots.stop]
        return stacked.index_select(0, self._index_of(slots))

    def are_all(self, slots: Sequence[int]) -> bool:
        """Whether these are the K slots in their order."""
        return len(slots) == self.num_slots and list(slots) == self._all_slots

    def _index_of(self, slots: Sequence[int]) -> Tensor:
        """[len(slots)] int64 the slots, made once: a list is copied to the device at every use,
        which waits for it, and which no graph can hold."""
        key = tuple(slots)
        if key not in self._indices:
            self._indices[key] = torch.tensor(key, dtype=torch.int64, device=self.base.device)
        return self._indices[key]

    # What a training step asks of a stack beside its tensors.

    @property
    def training(self) -> TrainingPass | None:
        """The position of training in this thread's present pass, or None outside of training."""
        return present_training()

    @property
    def is_compilable(self) -> bool:
        """Whether one compilation of a layer of the base serves all layers with its hooks.

        Hooks that know their layer's name would be compiled layer by layer. Those of no layer are
        none.
        """
        return not self.hooks(range(self.num_slots)).act_in_layers

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

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """Where the stack acts in the base's computation.

        Args:
            slots: which of the K slots the passes are for, in that order; one may occur again.
        """
        return StackHooks()

    def settled_hooks(self, slot: int) -> StackHooks:
        """Where one slot acts in passes without gradients while its tensors stay as they are.

        What follows from the tensors alone is computed once, where that is worth it: a pass over a
        token of few rows is short, and spends its time on calls. For the same reason a hook may
        write into what it is given to change, and give that back.
        """
        return self.hooks(range(slot, slot + 1))

    @property
    def own_base(self) -> Base | None:
        """The base that this stack trains as a whole, instead of the shared one."""
        return None


class ByDtype:
    """Tensors that a hook needs in the format of its input, computed when they are first asked for.

    Args:
        make: gives them; called without gradients.
    """

    def __init__(self, make: Callable[[torch.dtype], tuple[Tensor, ...]]) -> None:
        self._make = make
        self._made: dict[torch.dtype, tuple[Tensor, ...]] = {}

    def __call__(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The tensors in one format."""
        found = self._made.get(dtype)
        if found is None:
            with torch.no_grad():
                found = self._made[dtype] = self._make(dtype)
        return found

"""A base of shapes without values: what a plan traces instead of memory that may not be there."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes
from transformers import PreTrainedModel

from bakeoff.base.model import Base
from bakeoff.base.sizes import model_bytes as model_bytes

_REGISTERED = ("_parameters", "_buffers", "_modules")


class MetaBase(Base):
    """A base whose weights are fake tensors; make and use it inside a ``FakeTensorMode``.

    Everything but the weights is the original's: its modules, tokenizer and names.
    """

    def __init__(self, original: Base, *, dtype: torch.dtype | None = None) -> None:
        """Copies the structure of ``original``.

        Args:
            original: a prepared base; its weights are not read.
            dtype: the compute dtype; the original's without.
        """
        self.__dict__.update(original.__dict__)
        self.compute_dtype = dtype or original.compute_dtype
        # A simulated GPU is traced on the CPU (``model.devices``): an autograd graph of
        # tensors on a device that is not here cannot run backward.
        self.device = torch.device("cpu")
        is_read = original.source.weights is None
        self._copied_from = original.source.model if is_read else original.model
        # In float32 on the CPU what is held is the original itself.
        is_other = original.model is not original.source.model
        self._keeps_original = is_read and (is_other or self.compute_dtype != torch.float32)
        meta = meta_copy(original.source.model, torch.float32)
        self.source = dataclasses.replace(original.source, model=meta, weights=None)
        self._adopt(meta_copy(original.model, self.compute_dtype))

    @property
    def has_values(self) -> bool:
        """Fake ones have none."""
        return False

    def private_copy(
        self, change: Callable[[PreTrainedModel], nn.Module] | None = None
    ) -> tuple[Base, nn.Module]:
        """See ``Base``. What is changed is a real copy, which is dropped again: libraries draw
        numbers and look at them."""
        twin = copy.copy(self)
        model: Any = self.source.model
        outer: nn.Module = model
        if self.quantization != "none":
            model = outer = self.model
        if change is not None:
            with _disable_current_modes():
                model = copy.deepcopy(self._copied_from)
                outer = change(model)
        memo: dict[int, Any] = {}
        meta = meta_copy(outer, torch.float32, memo)
        twin._adopt(memo[id(model)])
        return twin, meta

    @property
    def source_bytes(self) -> int:
        """Bytes of a float32 original that stays on the CPU beside the held weights."""
        return model_bytes(self.source.model) if self._keeps_original else 0


def meta_copy(model: Any, dtype: torch.dtype, memo: dict[int, Any] | None = None) -> Any:
    """A model of the same modules with fake weights in ``dtype``; shared weights stay shared.

    Args:
        model: of any kind. dtype: of the copies.
        memo: takes each module's copy by the original's ``id``.
    """
    # What a deep copy finds in its memo it takes from there: no weight is ever copied.
    memo = {} if memo is None else memo
    for weight in model.parameters():
        empty = torch.empty(weight.shape, dtype=dtype)
        memo[id(weight)] = nn.Parameter(empty, requires_grad=weight.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty(buffer.shape, dtype=buffer.dtype)
    for module in model.modules():
        # Tensors that are neither, such as the places of a sparse update, are few: they stay.
        own = {name: value for name, value in vars(module).items() if name not in _REGISTERED}
        memo |= {id(t): t for value in own.values() for t in _tensors_in(value)}
    return copy.deepcopy(model, memo)


def _tensors_in(value: object) -> list[torch.Tensor]:
    held = value.values() if isinstance(value, dict) else [value]
    return [t for t in held if isinstance(t, torch.Tensor) and not isinstance(t, nn.Parameter)]

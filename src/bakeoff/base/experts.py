"""Mixtures of experts whose weights are one tensor for all experts of a layer.

No linear layer stands there for a method to act beside. What a slot trains of such weights is given
to the layer as weights of the slot's own while its rows pass, and gone afterwards.

Axis letters: ``K`` slots, ``N`` positions of all rows, ``D`` width, ``X`` experts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bakeoff.base.row_groups import present_groups
from bakeoff.errors import BaseModelError

ExpertsHook = Callable[[], Sequence[Mapping[str, Tensor]]]
"""Gives each slot's weights of a layer of experts, by parameter; none for the frozen ones."""


def is_experts(module: nn.Module) -> bool:
    """Whether a module holds the weights of several experts as one tensor."""
    return bool(expert_weights(module))


def expert_weights(module: nn.Module) -> dict[str, nn.Parameter]:
    """A module's own weights of three axes, the first of which counts experts, by name."""
    found = module.named_parameters(recurse=False)
    called = "experts" in type(module).__name__.lower()
    return {name: weight for name, weight in found if called and weight.dim() == 3}


def expert_layers(model: nn.Module) -> dict[str, nn.Module]:
    """All such layers of ``model`` by full name, in order."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if isinstance(module, ExpertsSite):
            found[name] = module.experts
        elif is_experts(module):
            parent = model.get_submodule(name.rpartition(".")[0])
            if not isinstance(parent, ExpertsSite):
                found[name] = module
    return found


class ExpertsSite(nn.Module):
    """A frozen layer of experts that may have other weights for each slot."""

    def __init__(self, experts: nn.Module, name: str = "") -> None:
        super().__init__()
        self.name = name
        self.experts = experts
        self.num_slots = 1
        self.hooks: list[ExpertsHook] = []
        # Llama 4 hands over each position once for every expert, sorted by expert.
        weight = next(iter(expert_weights(experts).values()))
        self._num_experts = len(weight)

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        """What the experts give for positions [N, D] and what is said of each, as slots have it."""
        groups = present_groups()
        if groups is not None:
            own = []
            for acting, num in zip(groups.acting, groups.slots_of_each, strict=True):
                hook = acting.experts.get(self.name)
                own += [{}] * num if hook is None else [dict(weights) for weights in hook()]
            return self._by_slot(own, groups.sizes_by_slot, args, kwargs)
        found: Tensor
        if self.hooks:
            found = self._with_own_weights(args, kwargs)
        else:
            found = self.experts(*args, **kwargs)
        return found

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _with_own_weights(self, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> Tensor:
        """As the one hook has it, outside of compiled code: other slots have other weights."""
        [hook] = self.hooks
        own = [dict(weights) for weights in hook()]
        return self._by_slot(own, [1] * len(own), args, kwargs)

    def _by_slot(
        self,
        own: Sequence[dict[str, Tensor]],
        sizes: Sequence[int],
        args: tuple[Tensor, ...],
        kwargs: dict[str, Tensor],
    ) -> Tensor:
        if not any(own):
            found: Tensor = self.experts(*args, **kwargs)
            return found
        given_all = (*args, *kwargs.values())
        if not all(isinstance(t, Tensor) and len(t) == len(given_all[0]) for t in given_all):
            raise BaseModelError(
                f"{self.name}: {type(self.experts).__name__} takes positions sorted by expert, in "
                "which the rows of candidates cannot be told apart; set target_experts: false"
            )
        by_expert = len(given_all) == 1
        names = list(kwargs)
        parts = [self._split(tensor, sizes, by_expert) for tensor in given_all]
        given = []
        for weights, *tensors in zip(own, *parts, strict=True):
            named = dict(zip(names, tensors[len(args) :], strict=True))
            given.append(functional_call(self.experts, weights, tuple(tensors[: len(args)]), named))
        if not by_expert:
            return torch.cat(given)
        wide = [part.view(self._num_experts, -1, part.shape[-1]) for part in given]
        return torch.cat(wide, dim=1).flatten(0, 1)

    def _split(self, x: Tensor, sizes: Sequence[int], by_expert: bool) -> list[Tensor]:
        """A tensor over positions, or over experts and positions, in parts of the slots' rows."""
        if by_expert:
            x_XND = x.reshape(self._num_experts, -1, x.shape[-1])
            positions = x_XND.shape[1] // sum(sizes)
            parts = x_XND.split([size * positions for size in sizes], dim=1)
            return [part.flatten(0, 1) for part in parts]
        positions = len(x) // sum(sizes)
        return list(x.split([size * positions for size in sizes]))

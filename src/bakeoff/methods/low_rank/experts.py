"""LoRA on weights of experts that are kept as one tensor, as PEFT's ``target_parameters`` has it.

Each expert has an update of its own, of the method's rank, and all of a layer are one product.

Axis letters: ``X`` experts, ``D`` a weight's input width, ``E`` its output width, ``R`` rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import torch
from torch import Tensor

from bakeoff.base.experts import expert_weights
from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import Tensors


@dataclass(frozen=True, kw_only=True)
class ExpertWeight:
    """A weight of a layer's experts.

    Attributes:
        layer: the layer's full name. parameter: the weight's name in it.
        num_experts: X. width_in: D. width_out: E.
        is_turned: whether it is kept as [X, E, D] and not as [X, D, E].
        depth: how many weights of the layer PEFT wraps after it.
    """

    layer: str
    parameter: str
    num_experts: int
    width_in: int
    width_out: int
    is_turned: bool
    depth: int

    @property
    def name(self) -> str:
        """The weight's full name."""
        return f"{self.layer}.{self.parameter}"

    def update(self, a_XDR: Tensor, b_XRE: Tensor) -> Tensor:
        """The unscaled update in the weight's own layout."""
        update_XDE = torch.bmm(a_XDR, b_XRE)
        return update_XDE.transpose(1, 2) if self.is_turned else update_XDE


def target_weights(base: Base, options: Any, *, where: str) -> dict[str, ExpertWeight]:
    """The base's weights of experts by full name; none where the option is off.

    Raises:
        ConfigError: the base has none, or another option does not go with them.
    """
    if not getattr(options, "target_experts", False):
        return {}
    path = f"{where}.target_experts"
    found: dict[str, ExpertWeight] = {}
    for layer, module in base.expert_layers().items():
        weights = expert_weights(module)
        is_turned = not getattr(module, "is_transposed", False)
        for place, (parameter, weight) in enumerate(weights.items()):
            num_experts, first, second = weight.shape
            weight_of = ExpertWeight(
                layer=layer,
                parameter=parameter,
                num_experts=num_experts,
                width_in=second if is_turned else first,
                width_out=first if is_turned else second,
                is_turned=is_turned,
                depth=len(weights) - 1 - place,
            )
            found[weight_of.name] = weight_of
    if not found:
        raise ConfigError(
            f"{path}: true, but {base.source.reference} keeps no experts as one tensor; remove it "
            "(experts that are linear layers are among target_modules)"
        )
    for key, value, allowed in (
        ("init", options.init, "kaiming"),
        ("dropout", options.dropout, 0),
    ):
        if value != allowed:
            raise ConfigError(
                f"{where}.{key}: {value} does not go with target_experts: an expert's weight is "
                f"updated as a whole, as in PEFT; give {allowed}, or set target_experts: false"
            )
    return found


def expert_shapes(weights: Mapping[str, ExpertWeight], rank: int) -> dict[str, tuple[int, ...]]:
    """``NAME.lora_a`` [X, in, rank] and ``NAME.lora_b`` [X, rank, out] of each weight."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, weight in weights.items():
        shapes[f"{name}.lora_a"] = (weight.num_experts, weight.width_in, rank)
        shapes[f"{name}.lora_b"] = (weight.num_experts, rank, weight.width_out)
    return shapes


def draw_expert_factors(
    weight: ExpertWeight, rank: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """([X, D, R], [X, R, E]) as PEFT draws them; their product is zero."""
    bound = 1 / sqrt(weight.width_in)
    a_XDR = torch.empty(weight.num_experts, weight.width_in, rank)
    a_XDR.uniform_(-bound, bound, generator=generator)
    return a_XDR, torch.zeros(weight.num_experts, rank, weight.width_out)


def expert_scaling(options: Any) -> float:
    """The factor on the products, the same for all experts: patterns of layers do not name them."""
    alpha = float(options.rank if options.alpha is None else options.alpha)
    return alpha / (sqrt(options.rank) if options.rank_stabilised else options.rank)


def merged_experts(
    base: Base, weights: Mapping[str, ExpertWeight], tensors: Tensors, scaling: float
) -> Tensors:
    """Each weight with its update added."""
    merged = {}
    for name, weight in weights.items():
        update = weight.update(tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"])
        merged[name] = (base.source_parameter(name) + scaling * update).contiguous()
    return merged


class ExpertsUpdate:
    """Gives each slot the frozen weights of one layer with its own updates added.

    Args:
        frozen: the layer's weights, by parameter.
        weights: what is known of those that are updated.
        factors: gives ([K, X, D, R], [K, X, R, E]) of a weight, for the slots in question.
        scaling_K: [K] factor on the products. has_K: says which slots have updates at all.
    """

    def __init__(
        self,
        *,
        frozen: Mapping[str, Tensor],
        weights: Sequence[ExpertWeight],
        factors: Mapping[str, tuple[Tensor, Tensor]],
        scaling_K: Tensor,
        has_K: Callable[[], Sequence[bool]],
    ) -> None:
        self._frozen = frozen
        self._weights = weights
        self._factors = factors
        self._scaling_K = scaling_K
        self._has_K = has_K

    def __call__(self) -> list[dict[str, Tensor]]:
        """Of each slot, its weights by parameter."""
        return [self._of_slot(slot) if has else {} for slot, has in enumerate(self._has_K())]

    def _of_slot(self, slot: int) -> dict[str, Tensor]:
        own = {}
        for weight in self._weights:
            frozen = self._frozen[weight.parameter]
            a_KXDR, b_KXRE = self._factors[weight.name]
            scaled = b_KXRE[slot] * self._scaling_K[slot]
            update = weight.update(a_KXDR[slot].to(frozen.dtype), scaled.to(frozen.dtype))
            own[weight.parameter] = frozen + update
        return own


PEFT_FACTORS: Final = ("lora_a", "lora_b")


def peft_expert_name(weight: ExpertWeight, part: str) -> str:
    """PEFT's name of a factor: each weight of a layer wraps the layer once more."""
    inner = ".base_layer" * weight.depth
    return f"base_model.model.{weight.layer}{inner}.lora_{part[-1].upper()}.weight"


def to_peft(part: str, tensor: Tensor) -> Tensor:
    """A factor as PEFT keeps it: [X * R, D] of the one, [E, R * X] of the other."""
    if part == "lora_a":
        return tensor.transpose(1, 2).flatten(0, 1)
    return tensor.permute(2, 1, 0).flatten(1, 2)


def from_peft(weight: ExpertWeight, part: str, tensor: Tensor) -> Tensor:
    """The opposite of ``to_peft``."""
    if part == "lora_a":
        return tensor.view(weight.num_experts, -1, weight.width_in).transpose(1, 2).contiguous()
    return tensor.view(weight.width_out, -1, weight.num_experts).permute(2, 1, 0).contiguous()

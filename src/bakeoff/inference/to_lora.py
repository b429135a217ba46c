"""A candidate of any method that changes weights, as a LoRA that other servers load.

What the method changes in each linear layer's weight is cut to a rank by its singular values. The
rank is the same in all layers and the scale one, as every server takes it. What is not the weight
of a linear layer, biases and norms and embeddings, has no place in a LoRA and is left out.

Axis letters: ``D`` a layer's width in, ``E`` its width out, ``R`` rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.inference.finished import Kept
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.low_rank.updates import oriented
from bakeoff.methods.registry import method_type

DEFAULT_RANK: Final = 64
"""The most without ``--rank``; servers are often started with no more."""
_EXACT: Final = 1e-3
"""Of an update's norm: what a rank may leave out and still be called its rank."""
_NOTHING: Final = 1e-9


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A LoRA made of a candidate.

    Attributes:
        method, tensors: the LoRA. rank: of all its layers.
        left_out: the share of the update's norm that the rank leaves out, over all layers.
        parameters_left_out: names of changed parameters that no LoRA can hold.
    """

    method: Method
    tensors: Tensors
    rank: int
    left_out: float
    parameters_left_out: tuple[str, ...]

    @property
    def is_exact(self) -> bool:
        """Whether nothing is left out but rounding."""
        return self.left_out <= _EXACT and not self.parameters_left_out


def to_lora(kept: Kept, rank: int | None, to: str = "lora") -> Converted:
    """Makes the LoRA.

    Args:
        kept: the candidate. rank: None takes the smallest that leaves nothing out, at most 64.
        to: the command line's word, for errors.

    Raises:
        ConfigError: the method changes no weights, or none that a LoRA can hold.
    """
    method = kept.method
    if not method.is_mergeable():
        raise ConfigError(
            f"--to {to}: {method.kind} changes no weights of the base, so it cannot be a LoRA; "
            "`bakeoff serve` serves it as it is"
        )
    updates, others = _updates(method.base, method.merged_weights(kept.load()))
    if not updates:
        raise ConfigError(
            f"--to {to}: {method.kind} changes no weight of a linear layer, only "
            f"{', '.join(others[:3]) or 'nothing'}; a LoRA can hold none of it; --to merged works"
        )
    parts = {name: torch.linalg.svd(u_DE, full_matrices=False) for name, u_DE in updates.items()}
    chosen = _rank(parts, rank)
    lost = total = 0.0
    tensors: Tensors = {}
    for name, (u_DR, s_R, v_RE) in parts.items():
        root_R = s_R[:chosen].sqrt()
        a_DR, b_RE = u_DR[:, :chosen] * root_R, root_R[:, None] * v_RE[:chosen]
        missing = chosen - len(root_R)
        if missing > 0:
            a_DR = torch.nn.functional.pad(a_DR, (0, missing))
            b_RE = torch.nn.functional.pad(b_RE, (0, 0, 0, missing))
        tensors |= {f"{name}.lora_a": a_DR.contiguous(), f"{name}.lora_b": b_RE.contiguous()}
        lost += float(s_R[chosen:].square().sum())
        total += float(s_R.square().sum())
    lora = method_type("lora", where="--to lora")
    options = lora.options_type(rank=chosen, alpha=float(chosen), target_modules=tuple(parts))
    return Converted(
        method=lora(options, method.base, where="--to lora"),
        tensors=tensors,
        rank=chosen,
        left_out=(lost / total) ** 0.5,
        parameters_left_out=tuple(others),
    )


def can_be_lora(kept: Kept) -> bool:
    """Whether a candidate changes the weight of a linear layer."""
    if not kept.method.is_mergeable():
        return False
    updates, _ = _updates(kept.method.base, kept.method.merged_weights(kept.load()))
    return bool(updates)


def _updates(base: Base, merged: Tensors) -> tuple[dict[str, Tensor], list[str]]:
    """(by linear layer [D, E] what is added to its weight, names of what else is changed)."""
    layers = base.linear_layers()
    updates: dict[str, Tensor] = {}
    others = []
    tied = base.is_tied and f"{base.head_name}.weight" in merged
    for name, weight in merged.items():
        layer = layers.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
        if tied and name == f"{base.head_name}.weight":
            change = weight.float() - base.source_embedding
        else:
            change = weight.float() - base.source_parameter(name)
        if not bool(change.abs().max() > _NOTHING):
            continue
        if layer is None:
            others.append(name)
        else:
            updates[name.removesuffix(".weight")] = oriented(layer, change)
    return updates, others


def _rank(parts: dict[str, tuple[Tensor, Tensor, Tensor]], asked: int | None) -> int:
    """The rank of all layers."""
    if asked is not None:
        return asked
    needed = 1
    for _, s_R, _ in parts.values():
        # [R] the share of the norm that a rank of 1, 2, ... leaves out.
        squares_R = s_R.double().square()
        rest_R = (squares_R.sum() - squares_R.cumsum(0)).clamp(min=0) / squares_R.sum()
        enough = (rest_R.sqrt() <= _EXACT).nonzero()
        needed = max(needed, int(enough[0]) + 1)
    return min(needed, DEFAULT_RANK)

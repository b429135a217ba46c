"""What LoRA and DoRA have in common: which layers, at which rank and scale, and how they start.

Axis letters: ``D`` a layer's input width, ``E`` its output width, ``R`` rank.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite, sqrt
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bakeoff.base.injection import keeps_transposed
from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.limits import limited
from bakeoff.methods.specs.low_rank import LowRankOptions


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """The update beside one layer; ``scaling`` is the factor on the low-rank product."""

    rank: int
    alpha: float
    scaling: float


def plan_layers(
    targets: Sequence[str], options: LowRankOptions, *, where: str
) -> dict[str, LayerPlan]:
    """Rank and scale of each target layer.

    Raises:
        ConfigError: a rank below 1, a dropout or a ratio of rates out of range, or a pattern
            without effect.
    """
    ranks, alphas = options.ranks or {}, options.alphas or {}
    for place, rank in [("rank", options.rank), *((f"ranks.{k}", r) for k, r in ranks.items())]:
        if rank < 1:
            raise ConfigError(f"{where}.{place}: {rank} is below 1; give a rank of 1 or more")
    if not 0 <= options.dropout < 1:
        raise ConfigError(
            f"{where}.dropout: {options.dropout} is out of range; give a share of at least 0 and "
            "below 1"
        )
    ratio = options.loraplus_lr_ratio
    if not isfinite(ratio) or ratio <= 0:
        raise ConfigError(
            f"{where}.loraplus_lr_ratio: {ratio} is no ratio of two learning rates; give a finite "
            "number above 0"
        )
    rank_keys = _matched(targets, list(ranks), where=f"{where}.ranks")
    alpha_keys = _matched(targets, list(alphas), where=f"{where}.alphas")
    plan = {}
    for name in targets:
        rank = ranks.get(rank_keys.get(name, ""), options.rank)
        common = rank if options.alpha is None else options.alpha
        alpha = float(alphas.get(alpha_keys.get(name, ""), common))
        if not isfinite(alpha) or alpha == 0:
            raise ConfigError(
                f"{where}.alpha: {alpha} leaves no update for {name}; give a finite number other "
                "than 0"
            )
        divisor = sqrt(rank) if options.rank_stabilised else rank
        plan[name] = LayerPlan(rank=rank, alpha=alpha, scaling=alpha / divisor)
    return plan


def pattern_for(name: str, patterns: Sequence[str]) -> str | None:
    """The first of PEFT's patterns that means a layer."""
    for pattern in patterns:
        with limited(f"the pattern {pattern!r}"):
            if re.match(rf"(.*\.)?({pattern})$", name):
                return pattern
    return None


def _matched(names: Sequence[str], patterns: Sequence[str], *, where: str) -> dict[str, str]:
    """Which pattern counts for which layer, for those that have one."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"{where}: {pattern!r} is not a valid regular expression ({error}); give the name "
                "of a layer or its end"
            ) from None
    found = {n: p for n in names if (p := pattern_for(n, patterns)) is not None}
    for pattern in patterns:
        if pattern in found.values():
            continue
        endings = sorted({name.rpartition(".")[2] for name in names})
        alone = [name for name in names if pattern_for(name, [pattern]) is not None]
        if alone:
            raise ConfigError(
                f"{where}.{pattern}: has no effect, as an earlier pattern, {found[alone[0]]!r}, "
                f"means all of its layers; put it first or remove it"
            )
        near = get_close_matches(pattern, endings, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(
            f"{where}: {pattern!r} matches no target layer{hint} Target layers end in: "
            f"{', '.join(endings)}"
        )
    return found


def default_targets(base: Base, names: Sequence[str], where: str) -> tuple[str, ...]:
    """The layers that PEFT targets in the base's architecture.

    Raises:
        ConfigError: where PEFT names none.
    """
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    known = KNOWN.get(base.model_type)
    if known is None:
        endings = sorted({name.rpartition(".")[2] for name in names})
        raise ConfigError(
            f"{where}: PEFT names no default targets for the architecture {base.model_type!r}; "
            f"name layers that end in {', '.join(endings)}, or give all-linear"
        )
    return tuple(known)


def oriented(layer: nn.Module, weight: Tensor) -> Tensor:
    """[D, E] a view of a matrix that is laid out as the layer's parameter in the model's files."""
    return weight if keeps_transposed(layer) else weight.t()


Init = Literal["kaiming", "orthogonal", "pissa"]


def draw_factors(
    init: Init, width_in: int, rank: int, width_out: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """([D, R], [R, E]) factors whose product is zero.

    ``kaiming`` is PEFT's uniform distribution (Kaiming, a = sqrt 5) and zero. ``orthogonal`` takes
    the odd and the even rows of one orthogonal matrix, so that both factors have a gradient.
    """
    if init == "orthogonal":
        square = torch.randn(rank, rank, generator=generator)
        q_RR = torch.linalg.qr(square)[0]
        a_DR = torch.randn(width_in, rank // 2, generator=generator) @ q_RR[0::2] / 10
        b_ER = torch.randn(rank // 2, width_out, generator=generator).t() @ q_RR[1::2] / 10
        return a_DR, b_ER.t().contiguous()
    bound = 1 / sqrt(width_in)
    a_DR = torch.empty(width_in, rank).uniform_(-bound, bound, generator=generator)
    return a_DR, torch.zeros(rank, width_out)


def principal_factors(weight_DE: Tensor, plan: LayerPlan) -> tuple[Tensor, Tensor]:
    """([D, R], [R, E]) whose scaled product is the weight's principal part.

    Source: Meng et al. 2024, arXiv:2404.02948, section 3.
    """
    u_DS, s_S, vh_SE = torch.linalg.svd(weight_DE.float(), full_matrices=False)
    root_R = (s_S[: plan.rank] / plan.scaling).sqrt()
    return u_DS[:, : plan.rank] * root_R, root_R[:, None] * vh_SE[: plan.rank]


def peft_name(name: str) -> str:
    """PEFT's name for our tensor ``LAYER.lora_a``, ``LAYER.lora_b`` or ``LAYER.magnitude``."""
    layer, _, part = name.rpartition(".")
    if part == "magnitude":
        return f"base_model.model.{layer}.lora_magnitude_vector"
    return f"base_model.model.{layer}.lora_{part[-1].upper()}.weight"


def peft_plan(config: Mapping[str, Any], name: str) -> tuple[int, float]:
    """(rank, scaling) that PEFT's ``adapter_config.json`` gives a layer."""

    def of(pattern_key: str, default: float) -> float:
        patterns = config.get(pattern_key) or {}
        found = pattern_for(name, list(patterns))
        return float(default if found is None else patterns[found])

    rank = of("rank_pattern", config.get("r", 8))
    alpha = of("alpha_pattern", config.get("lora_alpha", 8))
    return int(rank), alpha / (sqrt(rank) if config.get("use_rslora") else rank)

"""Low-rank updates in PEFT's own files.

Axis letters: ``D`` a layer's input width, ``E`` its output width, ``R`` rank.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from bakeoff.base.injection import keeps_transposed, linear_layers, select_linear_layers
from bakeoff.base.model import Base
from bakeoff.errors import CheckpointError
from bakeoff.methods.contract import Tensors
from bakeoff.methods.files import (
    PEFT_CONFIG,
    PEFT_WEIGHTS,
    check_settings,
    read_tensors,
    write_peft_config,
    write_tensors,
)
from bakeoff.methods.low_rank.experts import (
    PEFT_FACTORS,
    ExpertWeight,
    from_peft,
    peft_expert_name,
    to_peft,
)
from bakeoff.methods.low_rank.updates import LayerPlan, peft_name, peft_plan

_PRINCIPAL_TOLERANCE = 1e-3


class LowRank(Protocol):
    """What these files need to know of a low-rank method on a base."""

    uses_dora: ClassVar[bool]
    options: Any
    base: Base
    where: str
    targets: list[str]
    plan: dict[str, LayerPlan]
    layers: dict[str, nn.Module]
    expert_weights: dict[str, ExpertWeight]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The trained tensors, by name."""

    @property
    def principal(self) -> dict[str, tuple[Tensor, Tensor]]:
        """([D, R], [R, E]) of each layer whose principal part is taken from the frozen weight."""


def write_low_rank(method: LowRank, tensors: Tensors, folder: Path) -> None:
    """Writes PEFT's ``adapter_config.json`` and ``adapter_model.safetensors``.

    With ``pissa``, what is written is the ordinary LoRA of twice the rank that PEFT converts
    it to: the trained factors, then those that they began with, the second one negated.
    """
    from peft import LoraConfig

    renamed = _renamed_by_peft(method)
    parameters = [*(f"{name}.weight" for name in renamed), *method.expert_weights]
    config = LoraConfig(
        task_type="CAUSAL_LM",
        target_modules=_targets(method, renamed),
        lora_dropout=method.options.dropout,
        bias="none",
        base_model_name_or_path=method.base.source.reference,
        inference_mode=True,
        use_dora=method.uses_dora,
        fan_in_fan_out=_fan_in_fan_out(method),
        target_parameters=parameters or None,
        **_settings(method),
    )
    write_peft_config(config, folder)
    whole = dict(tensors)
    for name, (a0_DR, b0_RE) in method.principal.items():
        whole[f"{name}.lora_a"] = torch.cat([tensors[f"{name}.lora_a"], a0_DR], dim=1)
        whole[f"{name}.lora_b"] = torch.cat([tensors[f"{name}.lora_b"], -b0_RE], dim=0)
    of_experts = _of_experts(method)
    written = {peft_name(n): tensor.t() for n, tensor in whole.items() if n not in of_experts}
    for name, (weight, part) in of_experts.items():
        written[peft_expert_name(weight, part)] = to_peft(part, whole[name])
    write_tensors(written, folder / PEFT_WEIGHTS)


def _of_experts(method: LowRank) -> dict[str, tuple[ExpertWeight, str]]:
    """The tensors of experts, and which factor of which weight each is."""
    weights = method.expert_weights.items()
    return {f"{name}.{part}": (weight, part) for name, weight in weights for part in PEFT_FACTORS}


def read_low_rank(method: LowRank, folder: Path) -> Tensors:
    """Reads PEFT's files back.

    Raises:
        CheckpointError: if a file is missing, torn, or does not fit the method.
    """
    _check(method, folder / PEFT_CONFIG)
    doubled = 2 if method.principal else 1
    shapes = {}
    of_experts = _of_experts(method)
    for name, shape in method.shapes.items():
        if name in of_experts:
            weight, part = of_experts[name]
            meta = torch.empty(shape, device="meta")
            shapes[peft_expert_name(weight, part)] = tuple(to_peft(part, meta).shape)
            continue
        layer, _, part = name.rpartition(".")
        rank = method.plan[layer].rank * doubled
        rotated = {"lora_a": (rank, shape[0]), "lora_b": (shape[-1], rank)}
        shapes[peft_name(name)] = rotated.get(part, shape)
    found = read_tensors(folder / PEFT_WEIGHTS, shapes)
    whole = {
        name: found[peft_name(name)].t().contiguous()
        for name in method.shapes
        if name not in of_experts
    }
    for name, (weight, part) in of_experts.items():
        whole[name] = from_peft(weight, part, found[peft_expert_name(weight, part)])
    for name, (a0_DR, b0_RE) in method.principal.items():
        rank = method.plan[name].rank
        a, b = whole[f"{name}.lora_a"], whole[f"{name}.lora_b"]
        gap = (a[:, rank:] @ b[rank:] + a0_DR @ b0_RE).norm()
        if not gap <= _PRINCIPAL_TOLERANCE * (a0_DR @ b0_RE).norm():
            raise CheckpointError(
                f"{folder / PEFT_WEIGHTS}: the second half of {name}'s factors is not the "
                "principal part of the base's weight; the adapter belongs to another base"
            )
        whole[f"{name}.lora_a"] = a[:, :rank].contiguous()
        whole[f"{name}.lora_b"] = b[:rank].contiguous()
    return whole


def _settings(method: LowRank) -> dict[str, Any]:
    """Rank and scale in PEFT's keys; layers unlike most are in its patterns."""
    options = method.options
    alpha = float(options.rank if options.alpha is None else options.alpha)
    settings: dict[str, Any] = {
        "r": options.rank,
        "lora_alpha": _whole(alpha),
        "use_rslora": options.rank_stabilised,
        "rank_pattern": {n: p.rank for n, p in method.plan.items() if p.rank != options.rank},
        "alpha_pattern": {n: _whole(p.alpha) for n, p in method.plan.items() if p.alpha != alpha},
    }
    if not method.principal:
        return settings
    # Twice the rank at the same scale, which alpha / rank can say whatever the scale is.
    return {
        "r": 2 * options.rank,
        "lora_alpha": 2 * options.rank,
        "use_rslora": False,
        "rank_pattern": {n: 2 * p.rank for n, p in method.plan.items()},
        "alpha_pattern": {n: _whole(2 * p.rank * p.scaling) for n, p in method.plan.items()},
    }


def _check(method: LowRank, path: Path) -> None:
    """Holds PEFT's settings against ours by what they mean for each layer."""
    check_settings(path, {"peft_type": "LORA", "use_dora": method.uses_dora, "lora_bias": False})
    config = json.loads(path.read_text(encoding="utf-8"))
    ours = _settings(method)
    if any(peft_plan(config, name) != peft_plan(ours, name) for name in method.targets):
        check_settings(path, ours)


def _targets(method: LowRank, without: Sequence[str]) -> list[str]:
    """The shortest ends of names that mean exactly the chosen layers, else full names."""
    targets = [name for name in method.targets if name not in without]
    if not targets:
        return []
    endings = sorted({name.rpartition(".")[2] for name in targets})
    if select_linear_layers(_all_layers(method.base), endings, where=method.where) == targets:
        return endings
    return targets


def _renamed_by_peft(method: LowRank) -> list[str]:
    """Target layers whose names PEFT takes for those of experts, as an earlier Transformers had it.

    In families with experts it does so with dense and shared ones too. Their weights can be named
    as parameters, which it leaves alone and which computes the same, if not for DoRA.
    """
    try:
        from peft.utils import transformers_weight_conversion as conversion
    except ImportError:  # versions that rename nothing
        return []
    pattern = getattr(conversion, "_MODEL_TO_CONVERSION_PATTERN", {}).get(method.base.model_type)
    names = getattr(conversion, "_MOE_TARGET_MODULE_MAPPING", {}).get(pattern, {})
    if method.uses_dora:
        return []
    return [name for name in method.targets if name.rpartition(".")[2] in names]


def _all_layers(base: Base) -> list[str]:
    """The whole model's linear layers: PEFT looks for names in towers for images as well."""
    return list(linear_layers(base.model, head=base.head))


def _fan_in_fan_out(method: LowRank) -> bool:
    return all(keeps_transposed(layer) for layer in method.layers.values())


def _whole(number: float) -> Any:
    """A whole number as PEFT's own files have it."""
    return int(number) if float(number).is_integer() else number

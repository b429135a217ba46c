"""LoRA's variants tie when each is tuned (arXiv:2602.04998)."""

from __future__ import annotations

from collections.abc import Mapping

from bakeoff.claims.contract import (
    BaseFacts,
    Claim,
    Contrast,
    Curve,
    Floats,
    Noise,
    Part,
    Planted,
    Size,
    Values,
)
from bakeoff.claims.curves import curve_over
from bakeoff.claims.entrants import entrant, lora, lora_plus

_MARGIN = 0.02
_VARIANTS = ("dora", "rslora", "pissa", "loraplus")
_RATIO = 16.0
"""Of LoRA+'s two rates, as Hayou et al. 2024 (arXiv:2402.12354) have it."""


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    options = {"rank": 16, "alpha": 8.0, "target_modules": "all-linear"}
    entrants = {
        "lora": lora(facts, 16),
        "dora": entrant("dora", facts, **options),
        "rslora": lora(facts, 16, rank_stabilised=True),
        "pissa": lora(facts, 16, init="pissa"),
        "loraplus": lora_plus(facts, 16, _RATIO),
    }
    return (Part(entrants=entrants),)


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {name: values[name] - values["lora"] for name in _VARIANTS}


def _curve(values: Values) -> Curve | None:
    names = {name: name for name in ("lora", *_VARIANTS)}
    return curve_over(values, names, "variant", "test loss, nats per token")


CLAIM = Claim(
    name="variants_tie_when_tuned",
    title="LoRA's variants reach the same when each has its own learning rate",
    source="arXiv:2602.04998",
    hypothesis="DoRA, rank-stabilised LoRA, LoRA from principal parts (PiSSA) and LoRA+ (16 "
    "times the rate for B), each with as many learning rates tried as LoRA, end within 0.02 nats "
    "per token of it.",
    supported_if="all four differ from LoRA by less than 0.02 nats per token",
    contradicted_if="any of them differs by more (Bonferroni over the four)",
    does_not_show="Variants at a rate that was found for plain LoRA, and other ratios of LoRA+'s "
    "two rates.",
    unit="nats per token",
    contrasts=tuple(
        Contrast(name=name, rule="within", threshold=_MARGIN, words=f"loss of {name} minus LoRA's")
        for name in _VARIANTS
    ),
    statistic=_statistic,
    design=_design,
    curve=_curve,
    planted=Planted(
        supported={"lora": 2.0, "dora": 2.0, "rslora": 2.003, "pissa": 1.997, "loraplus": 2.0},
        contradicted={"lora": 2.0, "dora": 2.0, "rslora": 2.0, "pissa": 1.95, "loraplus": 2.0},
        noise=Noise(seed=0.002, row=0.08),
    ),
)

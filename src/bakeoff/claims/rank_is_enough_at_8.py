"""A rank of 8 does what one of 64 does (Hu et al. 2021, table 6)."""

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
from bakeoff.claims.curves import curve_of
from bakeoff.claims.entrants import lora

_MARGIN = 0.02
_RANKS = (1, 2, 4, 8, 64)


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    ranks = _RANKS if size.name == "full" else (1, 8, 64)
    return (Part(entrants={f"lora_{r}": lora(facts, r) for r in ranks}),)


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {"rank_8": values["lora_8"] - values["lora_64"]}


def _curve(values: Values) -> Curve | None:
    return curve_of(values, "lora_", "rank", "test loss, nats per token")


CLAIM = Claim(
    name="rank_is_enough_at_8",
    title="From a rank of 8 on, more rank brings nothing",
    source="Hu et al. 2021, arXiv:2106.09685, table 6",
    hypothesis="LoRA of rank 8 ends within 0.02 nats per token of LoRA of rank 64, each at its own "
    "best rate.",
    supported_if="the two differ by less than 0.02 nats per token",
    contradicted_if="they differ by more than 0.02 nats per token",
    does_not_show="From which rank on it holds; the figure has the others. More rows may need "
    "more.",
    unit="nats per token",
    contrasts=(
        Contrast(
            name="rank_8", rule="within", threshold=_MARGIN, words="loss of rank 8 minus that of 64"
        ),
    ),
    statistic=_statistic,
    design=_design,
    curve=_curve,
    figure_only=("lora_1", "lora_2", "lora_4"),
    planted=Planted(
        supported={"lora_8": 2.0, "lora_64": 2.0},
        contradicted={"lora_8": 2.05, "lora_64": 2.0},
        noise=Noise(seed=0.002, row=0.08),
    ),
)

"""LoRA of the full rank is full tuning (Hu et al. 2021, section 4.1)."""

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
from bakeoff.claims.entrants import full, lora

_MARGIN = 0.02


def _ranks(width: int) -> tuple[int, ...]:
    # 8 and 64 are those of rank_is_enough_at_8, so that they are trained for both.
    return (*(r for r in (8, 64) if r < width), width)


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    ranks = _ranks(facts.width) if size.name == "full" else (facts.width,)
    # The widest is named for what it is, since the width is the base's.
    names = {r: "lora_width" if r == facts.width else f"lora_{r}" for r in ranks}
    entrants = {name: lora(facts, rank) for rank, name in names.items()}
    return (Part(entrants={"full": full(facts), **entrants}),)


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {"difference": values["lora_width"] - values["full"]}


def _curve(values: Values) -> Curve | None:
    names = {"lora_8": "rank 8", "lora_64": "rank 64", "lora_width": "the width", "full": "full"}
    return curve_over(values, names, "LoRA's rank", "test loss, nats per token")


CLAIM = Claim(
    name="full_rank_lora_is_full",
    title="LoRA whose rank is the width reaches what full tuning reaches",
    source="Hu et al. 2021, arXiv:2106.09685, section 4.1; An analysis of fine-tuning methods on "
    "GPT-Neo (2024), section 2.4.2",
    hypothesis="LoRA on all linear layers with the width as its rank, each at its own best rate, "
    "ends within 0.02 nats per token of full tuning.",
    supported_if="the two differ by less than 0.02 nats per token",
    contradicted_if="they differ by more than 0.02 nats per token, whichever is ahead",
    does_not_show="That they learn the same: embeddings, norms and biases stay frozen under LoRA, "
    "and Adam goes another way over factors.",
    unit="nats per token",
    contrasts=(
        Contrast(
            name="difference",
            rule="within",
            threshold=_MARGIN,
            words="loss of LoRA of full rank minus full tuning's",
        ),
    ),
    statistic=_statistic,
    design=_design,
    curve=_curve,
    figure_only=("lora_8", "lora_64"),
    planted=Planted(
        supported={"lora_width": 2.0, "full": 2.0},
        contradicted={"lora_width": 2.05, "full": 2.0},
        noise=Noise(seed=0.002, row=0.08),
    ),
)

"""The options of DoRA, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bakeoff.methods.specs.contract import FileFormat, MethodSpec
from bakeoff.methods.specs.low_rank import OPTION_SOURCES, RATES, RATES_SOURCE, LowRankOptions


@dataclass(frozen=True, kw_only=True)
class DoraOptions(LowRankOptions):
    """Options of DoRA."""

    init: Literal["kaiming", "orthogonal"] = "kaiming"
    """How the factors start: ``kaiming`` (the second one zero) or ``orthogonal`` (both not zero,
    their product zero; the rank must be even)."""


SPEC: Final = MethodSpec(
    kind="dora",
    method="bakeoff.methods.low_rank.dora:Dora",
    stack="bakeoff.methods.low_rank.dora:DoraStack",
    title="LoRA on the weights' direction, and their magnitudes",
    paper="Liu et al. 2024, arXiv:2402.09353",
    formula="sum over target layers of rank x (in + out) + out",
    options_type=DoraOptions,
    default_learning_rate=RATES[0],
    learning_rate_source=f"LoRA's, as Liu et al. 2024 tune both alike: {RATES_SOURCE}",
    rates_by_size=RATES,
    option_sources=OPTION_SOURCES,
    options_of_task={"rank": "rank"},
    file_format=FileFormat.PEFT,
    mergeable=True,
)

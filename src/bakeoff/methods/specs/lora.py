"""The options of LoRA, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bakeoff.methods.specs.contract import FileFormat, MethodSpec
from bakeoff.methods.specs.low_rank import OPTION_SOURCES, RATES, RATES_SOURCE, LowRankOptions


@dataclass(frozen=True, kw_only=True)
class LoraOptions(LowRankOptions):
    """Options of LoRA."""

    init: Literal["kaiming", "orthogonal", "pissa"] = "kaiming"
    """How the factors start: ``kaiming`` (the second one zero), ``orthogonal`` (both not zero,
    their product zero; the rank must be even), or ``pissa``: the weight's principal part, which is
    taken from the frozen weight (Meng et al. 2024, arXiv:2404.02948)."""
    target_experts: bool = False
    """Whether experts whose weights are one tensor (mixtures of experts) are updated too, each by
    an update of ``rank``; they stay frozen otherwise. PEFT's ``target_parameters``."""


SPEC: Final = MethodSpec(
    kind="lora",
    method="bakeoff.methods.low_rank.lora:Lora",
    stack="bakeoff.methods.low_rank.lora:LoraStack",
    title="a low-rank update beside frozen linear layers",
    paper="Hu et al. 2021, arXiv:2106.09685",
    formula="sum over target layers of rank x (in + out)",
    options_type=LoraOptions,
    default_learning_rate=RATES[0],
    learning_rate_source=RATES_SOURCE,
    rates_by_size=RATES,
    option_sources=OPTION_SOURCES,
    options_of_task={"rank": "rank"},
    file_format=FileFormat.PEFT,
    mergeable=True,
)

"""The options of LoRA, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bakeoff.methods.specs.contract import FileFormat, MethodSpec
from bakeoff.methods.specs.low_rank import LowRankOptions


@dataclass(frozen=True, kw_only=True)
class LoraOptions(LowRankOptions):
    """Options of LoRA."""

    init: Literal["kaiming", "orthogonal", "pissa"] = "kaiming"
    """How the factors start: ``kaiming`` (the second one zero), ``orthogonal`` (both not zero,
    their product zero; the rank must be even), or ``pissa``: the weight's principal part, which is
    taken from the frozen weight (Meng et al. 2024, arXiv:2404.02948)."""


SPEC: Final = MethodSpec(
    kind="lora",
    method="bakeoff.methods.low_rank.lora:Lora",
    stack="bakeoff.methods.low_rank.lora:LoraStack",
    title="a low-rank update beside frozen linear layers",
    paper="Hu et al. 2021, arXiv:2106.09685",
    formula="sum over target layers of rank x (in + out)",
    options_type=LoraOptions,
    default_learning_rate=1e-3,
    learning_rate_source=(
        "within the range of Hu et al. 2021, table 11 (2e-4 for GPT-2); 1e-3 for small bases"
    ),
    file_format=FileFormat.PEFT,
    mergeable=True,
)

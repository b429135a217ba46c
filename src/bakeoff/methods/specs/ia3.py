"""The options of (IA)³, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bakeoff.methods.specs.contract import FileFormat, MethodSpec


@dataclass(frozen=True, kw_only=True)
class Ia3Options:
    """Options of (IA)³."""

    target_modules: str | tuple[str, ...] | None = "all-linear"
    """Layer names or their ends, a regular expression, ``all-linear``, or null: what PEFT
    targets in this architecture by default."""
    feedforward_modules: str | tuple[str, ...] | None = None
    """Which of the targets have their input scaled instead of their output; null: those that PEFT
    takes for feed-forward layers in this architecture."""


SPEC: Final = MethodSpec(
    kind="ia3",
    method="bakeoff.methods.ia3:Ia3",
    stack="bakeoff.methods.ia3:Ia3Stack",
    title="trained factors on linear layers' outputs and feed-forward inputs",
    paper="Liu et al. 2022, arXiv:2205.05638",
    formula="sum over target layers of out, or of in for feed-forward layers",
    options_type=Ia3Options,
    default_learning_rate=5e-3,
    learning_rate_source=(
        "PEFT's method comparison, tuned; Liu et al. 2022, section 3.3, have 3e-3 with Adafactor"
    ),
    option_sources={
        "target_modules": "PEFT's method comparison: 0.455 when tuned, 0.311 with its defaults"
    },
    file_format=FileFormat.PEFT,
    mergeable=True,
)

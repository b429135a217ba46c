"""The options of P-tuning, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bakeoff.methods.specs.contract import FileFormat, MethodSpec


@dataclass(frozen=True, kw_only=True)
class PTuningOptions:
    """Options of P-tuning."""

    prompt_length: int = 12
    """How many vectors are put before the tokens."""
    hidden: int | None = None
    """Width of the prompt encoder; null: that of the embedding, as PEFT has it."""


SPEC: Final = MethodSpec(
    kind="p_tuning",
    method="bakeoff.methods.prompts.p_tuning:PTuning",
    stack="bakeoff.methods.prompts.p_tuning:PTuningStack",
    title="a soft prompt trained through a prompt encoder of three layers",
    paper="Liu et al. 2021, arXiv:2103.10385",
    formula="prompt_length x d + d x hidden + hidden + hidden x hidden + hidden + hidden x d + d, "
    "d = embedding width",
    options_type=PTuningOptions,
    default_learning_rate=1e-3,
    learning_rate_source="PEFT's example of p-tuning (1e-3)",
    file_format=FileFormat.PEFT,
    mergeable=False,
)

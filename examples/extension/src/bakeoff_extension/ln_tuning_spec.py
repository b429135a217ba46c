"""The options of LayerNorm tuning, and what describes the method; loads no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bakeoff.methods.specs.contract import FileFormat, MethodSpec


@dataclass(frozen=True, kw_only=True)
class LnTuningOptions:
    """Options of LayerNorm tuning."""

    biases: bool = True
    """Whether the norms' biases are trained too, where the base has any."""


SPEC: Final = MethodSpec(
    kind="ln_tuning",
    method="bakeoff_extension.ln_tuning:LnTuning",
    stack="bakeoff_extension.ln_tuning:LnTuningStack",
    title="the weights and biases of the norms",
    paper="Zhao et al. 2023, arXiv:2312.11420",
    formula="all parameters of all norms",
    options_type=LnTuningOptions,
    default_learning_rate=1e-3,
    learning_rate_source="BitFit's, which trains parameters of the same kind",
    file_format=FileFormat.OWN,
    mergeable=True,
)

"""The options of full tuning, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bakeoff.methods.specs.contract import FileFormat, MethodSpec


@dataclass(frozen=True, kw_only=True)
class FullOptions:
    """Full tuning has no options."""


SPEC: Final = MethodSpec(
    kind="full",
    method="bakeoff.methods.full:Full",
    stack="bakeoff.methods.full:FullStack",
    title="every parameter of a copy of the base",
    paper="the ordinary fine-tuning that the others are compared with",
    formula="all parameters",
    options_type=FullOptions,
    default_learning_rate=5e-5,
    learning_rate_source=(
        "the default of Transformers' Trainer; 1e-5 from 1 billion on, as in PEFT's method "
        "comparison (3 billion); 5e-6 from 20 billion on, as Tülu 3 has for 8 (arXiv:2411.15124)"
    ),
    rates_by_size=(5e-5, 1e-5, 1e-5, 5e-6),
    weight_decay=0.01,
    file_format=FileFormat.TRANSFORMERS,
    mergeable=True,
    whole_base="it trains the very weights that quantisation has rounded away",
    trains_alone=True,
)

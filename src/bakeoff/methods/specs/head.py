"""The options of head tuning, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bakeoff.methods.specs.contract import FileFormat, MethodSpec


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """Options of head tuning."""

    tied: bool = False
    """Whether the input embedding changes with the head (only where the base ties them)."""


SPEC: Final = MethodSpec(
    kind="head",
    method="bakeoff.methods.head:Head",
    stack="bakeoff.methods.head:HeadStack",
    title="the output layer alone ('traditional' tuning)",
    paper="feature-based transfer, as in Howard & Ruder 2018, arXiv:1801.06146",
    formula="vocabulary x width",
    options_type=HeadOptions,
    default_learning_rate=5e-4,
    learning_rate_source="the second run of studies/seed.yaml's original, which beat its 5e-3",
    weight_decay=0.01,
    file_format=FileFormat.OWN,
    mergeable=True,
    whole_base="it trains a weight of the base itself, from states that quantisation has rounded",
)

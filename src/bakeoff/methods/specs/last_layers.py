"""The options of tuning of the last layers, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bakeoff.methods.specs.contract import FileFormat, MethodSpec


@dataclass(frozen=True, kw_only=True)
class LastLayersOptions:
    """Options of tuning the last layers."""

    num_layers: int = 1
    """How many blocks, counted from the end; the final norm comes with them."""
    head: bool = True
    """Whether the head is trained too; where the base ties it to the embedding, it is untied."""


SPEC: Final = MethodSpec(
    kind="last_layers",
    method="bakeoff.methods.last_layers:LastLayers",
    stack="bakeoff.methods.last_layers:LastLayersStack",
    title="the last blocks with the final norm and the head",
    paper="gradual unfreezing, as in Howard & Ruder 2018, arXiv:1801.06146",
    formula="num_layers x parameters of a block + final norm (+ vocabulary x width with the head)",
    options_type=LastLayersOptions,
    default_learning_rate=1e-4,
    learning_rate_source="twice the default of Transformers' Trainer, which is for all layers",
    weight_decay=0.01,
    file_format=FileFormat.OWN,
    mergeable=True,
    whole_base="it trains the last layers' very weights, which quantisation has rounded away",
)

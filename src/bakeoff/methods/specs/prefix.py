"""The options of prefix tuning, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bakeoff.methods.specs.contract import FileFormat, MethodSpec


@dataclass(frozen=True, kw_only=True)
class PrefixOptions:
    """Options of prefix tuning."""

    prefix_length: int = 50
    """How many positions are put before the tokens."""
    projection: bool = False
    """Whether keys and values are trained through a network of two layers (Li & Liang 2021,
    section 4.3)."""
    hidden: int | None = None
    """Width of that network; null: that of one layer's keys, as PEFT has it."""
    init: str | None = None
    """``vocabulary``: the keys and values that the base computes for random tokens; ``random``:
    normal numbers; any other text: those that it computes for the text's tokens, repeated to the
    length. Null: ``vocabulary``, or ``random`` with a network, which can start in no other way."""


SPEC: Final = MethodSpec(
    kind="prefix",
    method="bakeoff.methods.prompts.prefix:PrefixTuning",
    stack="bakeoff.methods.prompts.prefix:PrefixStack",
    title="trained keys and values before the tokens' own in every layer",
    paper="Li & Liang 2021, arXiv:2101.00190",
    formula="prefix_length x 2 x layers x d, d = key heads x head width; with projection "
    "d x (prefix_length + hidden + 2 x layers x (hidden + 1)) + hidden",
    options_type=PrefixOptions,
    default_learning_rate=1e-2,
    learning_rate_source=(
        "PEFT's example of prefix tuning; 5e-3 from 1 billion on, near its method comparison's "
        "best at 3 billion"
    ),
    rates_by_size=(1e-2, 5e-3, 5e-3, 5e-3),
    option_sources={
        "prefix_length": "PEFT's method comparison: 0.416 with 50, 0.186 with 200 at 1e-3",
        "init": "Li & Liang 2021, section 7.4: real activations beat random numbers",
    },
    file_format=FileFormat.PEFT,
    length_option="prefix_length",
    mergeable=False,
)

"""A soft prompt takes room from the input (Hu et al. 2021, section 3)."""

from __future__ import annotations

from collections.abc import Mapping

from bakeoff.claims.contract import (
    BaseFacts,
    Claim,
    Contrast,
    Curve,
    Floats,
    Noise,
    Part,
    Planted,
    Size,
    Values,
)
from bakeoff.claims.curves import curve_over
from bakeoff.claims.entrants import soft_prompt

_MARGIN = 0.01
_PROMPT = 64
_TOTAL = 160


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    entrants = {"soft_64": soft_prompt(facts, _PROMPT)}
    return (
        Part(name="whole", entrants=entrants, max_length=_TOTAL),
        Part(name="shared", entrants=entrants, max_length=_TOTAL - _PROMPT),
    )


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {"lost": values["shared:soft_64"] - values["whole:soft_64"]}


def _curve(values: Values) -> Curve | None:
    names = {"whole:rows#input": "room kept", "shared:rows#input": "room shared"}
    return curve_over(values, names, "room", "tokens of input read, of a test row")


def _says(values: Values) -> str:
    """How much usable input is lost."""
    if not {"whole:rows#input", "shared:rows#input"} <= set(values):
        return ""
    whole, shared = (float(values[f"{part}:rows#input"]) for part in ("whole", "shared"))
    return (
        f"Of the {whole:.0f} tokens that are read of a test row's input beside the prompt, "
        f"{shared:.0f} are left where the room is shared, {1.0 - shared / whole:.0%} fewer."
    )


CLAIM = Claim(
    name="prompts_cost_length",
    title="The room that a soft prompt takes from the input costs quality",
    source="Hu et al. 2021, arXiv:2106.09685, section 3; An analysis of fine-tuning methods on "
    "GPT-Neo (2024), section 2.3.2",
    hypothesis="Where prompt and row together are limited to 160 tokens, a prompt of 64 leaves 96 "
    "to the row, and its test loss is over 0.01 nats per token above the same prompt's beside 160.",
    supported_if="the difference is above 0.01 nats per token",
    contradicted_if="it is below 0.01 nats per token",
    does_not_show="Anything for rows that are short enough anyway, or for a base with room to "
    "spare.",
    unit="nats per token",
    contrasts=(
        Contrast(
            name="lost",
            rule="above",
            threshold=_MARGIN,
            words="loss with the room shared minus that with the room kept",
        ),
    ),
    statistic=_statistic,
    design=_design,
    curve=_curve,
    says=_says,
    planted=Planted(
        supported={"shared:soft_64": 2.35, "whole:soft_64": 2.3},
        contradicted={"shared:soft_64": 2.28, "whole:soft_64": 2.3},
        noise=Noise(seed=0.003, row=0.1),
    ),
)

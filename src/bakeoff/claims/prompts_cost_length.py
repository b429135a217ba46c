"""A soft prompt takes room from the input (Hu et al. 2021, section 3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

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


def _inputs(values: Values) -> tuple[float, float] | None:
    """Tokens that are read of a test row's input with the room kept, and with it shared; None where
    a study of an earlier version did not count them."""
    if not {"whole:rows#input", "shared:rows#input"} <= set(values):
        return None
    return float(values["whole:rows#input"]), float(values["shared:rows#input"])


def _untestable(values: Values) -> str:
    """Both parts train on the same rows where nothing is cut, and their losses are the same."""
    inputs = _inputs(values)
    if inputs is None or inputs[1] < inputs[0]:
        return ""
    return (
        f"Sharing the room cuts nothing: of a test row's input {inputs[0]:.0f} tokens are read, "
        f"whether a row has room for {_TOTAL} or for {_TOTAL - _PROMPT}, so that the prompt takes "
        f"nothing from it. It needs data with rows of more than {_TOTAL - _PROMPT} tokens."
    )


def _says(values: Values) -> str:
    """How much usable input is lost, and what that costs a base without a prompt."""
    inputs = _inputs(values)
    if inputs is None:
        return ""
    whole, shared = inputs
    bare = [values.get(f"{part}:zero_shot") for part in ("whole", "shared")]
    known = [float(np.mean(one)) for one in bare if one is not None]
    said = (
        f"Of the {whole:.0f} tokens that are read of a test row's input beside the prompt, "
        f"{shared:.0f} are left where the room is shared, {1.0 - shared / whole:.0%} fewer."
    )
    if len(known) == 2:
        said += (
            " By the same cut, with no prompt at all, the untuned base's loss changes by "
            f"{known[1] - known[0]:+.4g} nats per token."
        )
    return said


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
    untestable=_untestable,
    says=_says,
    planted=Planted(
        supported={"shared:soft_64": 2.35, "whole:soft_64": 2.3},
        contradicted={"shared:soft_64": 2.28, "whole:soft_64": 2.3},
        noise=Noise(seed=0.003, row=0.1),
    ),
)

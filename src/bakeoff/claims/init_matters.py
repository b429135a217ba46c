"""Where a soft prompt starts decides what it reaches (Lester et al. 2021, figure 3b)."""

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
from bakeoff.claims.entrants import FROM_LABELS, soft_prompt

_MARGIN = 0.02
_WORDS = ("vocabulary", "text", "labels")
_TEXT = "Read the text below and write the answer."


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    entrants = {
        "soft_random": soft_prompt(facts, 20, init="random"),
        # The method's own start.
        "soft_vocabulary": soft_prompt(facts, 20),
        "soft_text": soft_prompt(facts, 20, init=_TEXT),
        "soft_labels": soft_prompt(facts, 20, init=FROM_LABELS),
    }
    return (Part(entrants=entrants, labelled=True),)


def _statistic(values: Values) -> Mapping[str, Floats]:
    # Data without labels have no start from them.
    words = [values[f"soft_{name}"] for name in _WORDS if f"soft_{name}" in values]
    return {"random": values["soft_random"] - np.mean(words, axis=0)}


def _curve(values: Values) -> Curve | None:
    names = {f"soft_{name}": name for name in ("random", *_WORDS)}
    return curve_over(values, names, "start", "test loss, nats per token")


CLAIM = Claim(
    name="init_matters",
    title="A soft prompt that starts at words ends better than one that starts at random",
    source="Lester et al. 2021, arXiv:2104.08691, figure 3b",
    hypothesis="From random numbers a soft prompt of 20 tokens ends at least 0.02 nats per token "
    "above the mean of one from embeddings of the vocabulary, one from a written instruction and, "
    "where the data have class labels, one from these.",
    supported_if="the difference is above 0.02 nats per token",
    contradicted_if="it is below 0.02 nats per token",
    does_not_show="Which words are best to start from. The start at an instruction is not "
    "one of the paper's three; on data without class labels the one at these, its best on small "
    "bases, is left out.",
    unit="nats per token",
    contrasts=(
        Contrast(
            name="random",
            rule="above",
            threshold=_MARGIN,
            words="loss from a random start minus that from words",
        ),
    ),
    statistic=_statistic,
    design=_design,
    curve=_curve,
    planted=Planted(
        supported={
            "soft_random": 2.3,
            "soft_vocabulary": 2.22,
            "soft_text": 2.2,
            "soft_labels": 2.21,
        },
        contradicted={
            "soft_random": 2.2,
            "soft_vocabulary": 2.2,
            "soft_text": 2.2,
            "soft_labels": 2.2,
        },
        noise=Noise(seed=0.004, row=0.08),
    ),
)

"""LoRA forgets less than full tuning (Biderman et al. 2024)."""

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
from bakeoff.claims.entrants import full, lora
from bakeoff.formatting import join

_MARGIN = 0.05
_SET = "corpus"


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    entrants = {"full": full(facts), "lora_8": lora(facts, 8)}
    return (Part(name="forget", entrants=entrants, sets=(_SET,)),)


def _cost(values: Values, name: str) -> Floats:
    """[S] nats of running text that are lost for each nat of the task that is gained."""
    lost = values[f"forget:{name}@{_SET}"] - values[f"forget:zero_shot@{_SET}"]
    return lost / (values["forget:zero_shot"] - np.mean(values[f"forget:{name}"]))


def _decides_nothing(values: Values) -> str:
    """Which entrants gain nothing with some seed: a loss per nat gained then says nothing."""
    untuned = np.min(values["forget:zero_shot"])
    names = {"full": "full tuning", "lora_8": "LoRA"}
    without = [w for name, w in names.items() if untuned <= np.max(values[f"forget:{name}"])]
    if not without:
        return ""
    return (
        f"On the task {join(without)} ended no better than the untuned base with some seed, so "
        "that there is no gain to count the loss of text by."
    )


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {"spared": _cost(values, "full") - _cost(values, "lora_8")}


def _curves(values: Values) -> list[Curve]:
    """The losses on running text and on the task, untuned and tuned."""
    found = []
    names = {"zero_shot": "untuned", "lora_8": "LoRA of rank 8", "full": "full tuning"}
    for at, words in ((f"@{_SET}", "running text"), ("", "the task")):
        labels = {f"forget:{name}{at}": label for name, label in names.items()}
        curve = curve_over(values, labels, "tuned by", f"loss on {words}, nats per token")
        if curve is not None:
            found.append(curve)
    return found


def _world(full_lost: float, lora_lost: float) -> dict[str, float]:
    return {
        **{"forget:zero_shot": 3.0, "forget:zero_shot@corpus": 1.0},
        **{"forget:full": 2.0, "forget:full@corpus": 1.0 + full_lost},
        **{"forget:lora_8": 2.05, "forget:lora_8@corpus": 1.0 + lora_lost},
    }


CLAIM = Claim(
    name="tuning_forgets",
    title="LoRA forgets less than full tuning, for what it learns",
    source="Biderman et al. 2024, arXiv:2405.09673",
    hypothesis="Per nat that is gained on the task, full tuning loses at least 0.05 nats per token "
    "more on a held-out corpus of running text than LoRA of rank 8 does.",
    supported_if="the difference is above 0.05",
    contradicted_if="it is below 0.05; undecided where either gains nothing on the task",
    does_not_show="Forgetting of anything but this corpus, which is what the shipped base was "
    "trained on. Losses are taken per nat gained, since no two methods end at quite the same "
    "quality.",
    unit="nats lost per nat gained",
    contrasts=(
        Contrast(
            name="spared",
            rule="above",
            threshold=_MARGIN,
            words="text loss per nat gained of full tuning minus LoRA's",
        ),
    ),
    statistic=_statistic,
    design=_design,
    curve=_curves,
    decides_nothing=_decides_nothing,
    planted=Planted(
        supported=_world(0.5, 0.2), contradicted=_world(0.2, 0.3), noise=Noise(seed=0.01, row=0.2)
    ),
)

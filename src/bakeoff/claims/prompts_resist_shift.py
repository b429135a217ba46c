"""Soft prompts lose less where the data shift (Lester et al. 2021, section 5)."""

from __future__ import annotations

from collections.abc import Mapping

from bakeoff.claims.contract import (
    BaseFacts,
    Claim,
    Contrast,
    Floats,
    Noise,
    Part,
    Planted,
    Size,
    Values,
)
from bakeoff.claims.entrants import full, soft_prompt

_MARGIN = 0.02
_SET = "desks"


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    entrants = {"full": full(facts), "soft": soft_prompt(facts, 20)}
    return (Part(name="shift", entrants=entrants, sets=(_SET,), desks=True),)


def _statistic(values: Values) -> Mapping[str, Floats]:
    lost = {
        name: values[f"shift:{name}@{_SET}"] - values[f"shift:{name}"] for name in ("full", "soft")
    }
    return {"lost": lost["full"] - lost["soft"]}


CLAIM = Claim(
    name="prompts_resist_shift",
    title="A soft prompt loses less than full tuning where the data shift",
    source="Lester et al. 2021, arXiv:2104.08691, section 5",
    hypothesis="Trained without some of the data's subjects (two of the eight desks of wire), a "
    "soft prompt loses less from the known subjects to the others than full tuning does.",
    supported_if="full tuning loses over 0.02 nats per token more than the soft prompt",
    contradicted_if="it loses less than that more, or loses less",
    does_not_show="That the soft prompt is better on the shifted data: it may lose less and still "
    "be behind. One shift is one shift: the paper has other data sets as well, and none is tried "
    "here.",
    unit="nats per token",
    contrasts=(
        Contrast(
            name="lost",
            rule="above",
            threshold=_MARGIN,
            words="what full tuning loses by the shift minus what the soft prompt loses",
        ),
    ),
    statistic=_statistic,
    design=_design,
    planted=Planted(
        supported={
            **{"shift:full": 2.0, "shift:full@desks": 2.4},
            **{"shift:soft": 2.3, "shift:soft@desks": 2.5},
        },
        contradicted={
            **{"shift:full": 2.0, "shift:full@desks": 2.3},
            **{"shift:soft": 2.3, "shift:soft@desks": 2.65},
        },
        noise=Noise(seed=0.005, row=0.3),
    ),
)

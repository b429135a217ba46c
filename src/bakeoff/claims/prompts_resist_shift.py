"""Soft prompts lose less where the data shift (Lester et al. 2021, section 5)."""

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
from bakeoff.claims.entrants import full, soft_prompt

_MARGIN = 0.02
_SETS = ("desks", "sheets")


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    entrants = {"full": full(facts), "soft": soft_prompt(facts, 20)}
    return (Part(name="shift", entrants=entrants, sets=_SETS, desks=True),)


def _statistic(values: Values) -> Mapping[str, Floats]:
    def lost(name: str, shifted: str) -> Floats:
        return values[f"shift:{name}@{shifted}"] - values[f"shift:{name}"]

    return {shifted: lost("full", shifted) - lost("soft", shifted) for shifted in _SETS}


def _curves(values: Values) -> list[Curve]:
    """The losses of each on the rows that it knows and on the shifted ones."""
    found = []
    for name, words in (("full", "full tuning"), ("soft", "the soft prompt")):
        places = {"": "six desks", "@desks": "unseen desks", "@sheets": "lists of facts"}
        labels = {f"shift:{name}{at}": label for at, label in places.items()}
        title = f"test loss of {words}, nats per token"
        if (curve := curve_over(values, labels, "test rows", title)) is not None:
            found.append(curve)
    return found


CLAIM = Claim(
    name="prompts_resist_shift",
    title="A soft prompt loses less than full tuning where the data shift",
    source="Lester et al. 2021, arXiv:2104.08691, section 5",
    hypothesis="Trained on articles of six of wire's eight desks, a soft prompt loses less than "
    "full tuning does from these to articles of the other two, and to another data set: lists of "
    "facts of the same six desks.",
    supported_if="on both, full tuning loses over 0.02 nats per token more than the soft prompt",
    contradicted_if="on either it loses less than that more, or loses less (Bonferroni over the "
    "two)",
    does_not_show="That the soft prompt is better on the shifted data: it may lose less and still "
    "be behind. Both data sets are made by one generator, and the paper's are not.",
    unit="nats per token",
    contrasts=tuple(
        Contrast(
            name=name,
            rule="above",
            threshold=_MARGIN,
            words=f"what full tuning loses {where} minus what the soft prompt loses",
        )
        for name, where in zip(_SETS, ("on unseen desks", "on lists of facts"), strict=True)
    ),
    statistic=_statistic,
    design=_design,
    curve=_curves,
    planted=Planted(
        supported={
            **{"shift:full": 2.0, "shift:full@desks": 2.4, "shift:full@sheets": 2.6},
            **{"shift:soft": 2.3, "shift:soft@desks": 2.5, "shift:soft@sheets": 2.7},
        },
        contradicted={
            **{"shift:full": 2.0, "shift:full@desks": 2.3, "shift:full@sheets": 2.5},
            **{"shift:soft": 2.3, "shift:soft@desks": 2.65, "shift:soft@sheets": 2.85},
        },
        noise=Noise(seed=0.005, row=0.3),
    ),
)

"""LoRA on the MLPs beats LoRA on attention (Schulman et al. 2025)."""

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
from bakeoff.claims.entrants import lora

_MARGIN = 0.01
_EQUAL = 0.02
"""Of parameters: what counts as the same number."""
_MLP = ("mlp", "fc", "ffn", "feed_forward")


def _is_mlp(name: str) -> bool:
    return any(word in name for word in _MLP)


def matched_ranks(facts: BaseFacts) -> tuple[int, int]:
    """Ranks for attention and MLP whose parameters are as nearly equal as ranks to 32 allow.

    Attention of few heads for keys and values, as Gemma has it, takes higher ones.
    """
    cost = {
        is_mlp: sum(i + o for name, (i, o) in facts.linears.items() if _is_mlp(name) is is_mlp)
        for is_mlp in (False, True)
    }

    def apart(pair: tuple[int, int]) -> tuple[float, int]:
        return abs(pair[0] * cost[False] / (pair[1] * cost[True]) - 1.0), pair[1]

    found = (0, 0)
    for highest in (32, 256):
        found = min(((a, m) for m in range(8, 17) for a in range(1, highest + 1)), key=apart)
        if apart(found)[0] <= _EQUAL:
            break
    return found


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    parts = {True: [n for n in facts.linears if _is_mlp(n)]}
    parts[False] = [n for n in facts.linears if not _is_mlp(n)]
    if not parts[True] or not parts[False]:
        return ()
    attention, mlp = matched_ranks(facts)
    entrants = {
        "attention": lora(facts, attention, target_modules=parts[False]),
        "mlp": lora(facts, mlp, target_modules=parts[True]),
    }
    return (Part(entrants=entrants),)


def _curve(values: Values) -> Curve | None:
    labels = {"attention": "attention alone", "mlp": "MLPs alone"}
    return curve_over(values, labels, "LoRA on", "test loss, nats per token")


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {"gain": values["attention"] - values["mlp"]}


CLAIM = Claim(
    name="mlp_matters_more_than_attention",
    title="LoRA on the MLPs alone does better than on attention alone, at equal parameters",
    source="Schulman et al. 2025, LoRA Without Regret",
    hypothesis="With ranks that make their parameters equal, LoRA on the MLPs ends at least 0.01 "
    "nats per token below LoRA on attention, each at its own best rate.",
    supported_if="the difference is above 0.01 nats per token",
    contradicted_if="it is below 0.01 nats per token",
    does_not_show="That attention needs no update: both together are another claim.",
    unit="nats per token",
    contrasts=(
        Contrast(
            name="gain",
            rule="above",
            threshold=_MARGIN,
            words="loss of LoRA on attention minus that on the MLPs",
        ),
    ),
    statistic=_statistic,
    design=_design,
    curve=_curve,
    planted=Planted(
        supported={"attention": 2.05, "mlp": 2.0},
        contradicted={"attention": 1.98, "mlp": 2.0},
        noise=Noise(seed=0.002, row=0.08),
    ),
)

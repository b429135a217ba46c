"""Subtracting BA from merged weights gives the base's (Hu et al. 2021, section 4.1)."""

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

_SHARE = 0.001
_FORMATS = ("float32", "bfloat16", "float16")


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    return (Part(entrants={"lora_8": lora(facts, 8)}),)


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {name: values[f"changed_{name}"] for name in _FORMATS}


def _curve(values: Values) -> Curve | None:
    names = {f"changed_{name}": name for name in _FORMATS}
    return curve_over(values, names, "number format", "share of weights that differ")


CLAIM = Claim(
    name="subtracting_gives_the_base_back",
    title="Subtracting BA from the merged weights gives the base's weights back",
    source="Hu et al. 2021, arXiv:2106.09685, section 4.1; An analysis of fine-tuning methods on "
    "GPT-Neo (2024), section 2.3.2",
    hypothesis="W + BA - BA, computed in the weights' own number format, equals W in all but a "
    "thousandth of the weights, in float32, bfloat16 and float16.",
    supported_if="the share of changed weights is below 0.001 in all three",
    contradicted_if="it is above 0.001 in any of them (Bonferroni over the three)",
    does_not_show="Whether the changed weights matter: in float32 they differ in the last bit. "
    "Keeping a copy of W, as serving engines do, has no such error.",
    unit="share of weights",
    contrasts=tuple(
        Contrast(
            name=name, rule="below", threshold=_SHARE, words=f"share of weights changed in {name}"
        )
        for name in _FORMATS
    ),
    statistic=_statistic,
    design=_design,
    measure="bakeoff.claims.weights:changed_shares",
    quick=True,
    curve=_curve,
    planted=Planted(
        supported={"changed_float32": 2e-4, "changed_bfloat16": 3e-4, "changed_float16": 2e-4},
        contradicted={"changed_float32": 0.0, "changed_bfloat16": 0.02, "changed_float16": 0.0},
        noise=Noise(seed=1e-4),
    ),
)

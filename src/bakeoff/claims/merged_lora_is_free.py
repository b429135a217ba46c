"""Merged LoRA costs nothing at inference (Hu et al. 2021, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bakeoff.claims.contract import Claim, Contrast, Floats, Noise, Planted, Values
from bakeoff.formatting import join

_TIME = 0.03
_OUTPUT = 0.01
_FORMATS = ("float32", "bfloat16", "float16")
_SAME_TIMES = {f"{one}_{name}": 1.0 for one in ("merged", "base") for name in _FORMATS}


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {
        **{f"time_{n}": values[f"merged_{n}"] / values[f"base_{n}"] - 1.0 for n in _FORMATS},
        **{name: values[f"output_{name}"] for name in _FORMATS},
    }


def _says(values: Values) -> str:
    """By how much a format rounds a pass that merges nothing."""
    known = [name for name in _FORMATS if f"own_{name}" in values]
    parts = [
        f"{float(np.mean(values[f'own_{name}'])):.2g} in {name} (merged from unmerged "
        f"{float(np.mean(values[f'output_{name}'])):.2g})"
        for name in known
    ]
    if not parts:
        return ""
    return (
        f"Base plus adapter is this far from itself in float32, without any merge: {join(parts)}. "
        "What is no more than that is the format's rounding of a pass."
    )


CLAIM = Claim(
    name="merged_lora_is_free",
    title="LoRA merged into the weights costs no time and changes no output",
    source="Hu et al. 2021, arXiv:2106.09685, section 4.1",
    hypothesis="A pass of the merged model takes as long as the base's, to 3 %, and its outputs "
    "are those of base plus adapter: the mean distance of their next-token distributions (total "
    "variation) is under 0.01; both in float32, bfloat16 and float16.",
    supported_if="all six hold",
    contradicted_if="any of them is shown not to (Bonferroni over the six)",
    does_not_show="That merging can be undone: see subtracting_gives_the_base_back. Times are of "
    "one row; the two models differ in their weights' values alone.",
    unit="share",
    contrasts=(
        *(
            Contrast(
                name=f"time_{name}",
                rule="within",
                threshold=_TIME,
                words=f"time of the merged model over the base's in {name}, minus 1",
            )
            for name in _FORMATS
        ),
        *(
            Contrast(
                name=name,
                rule="below",
                threshold=_OUTPUT,
                words=f"distance of merged from unmerged outputs in {name}",
            )
            for name in _FORMATS
        ),
    ),
    statistic=_statistic,
    says=_says,
    measure="bakeoff.claims.latency:merged_times",
    repeats="rounds",
    planted=Planted(
        supported={
            **_SAME_TIMES,
            **{"output_float32": 1e-6, "output_bfloat16": 0.004, "output_float16": 5e-4},
        },
        contradicted={
            **_SAME_TIMES,
            **{"output_float32": 1e-6, "output_bfloat16": 0.05, "output_float16": 5e-4},
        },
        noise=Noise(seed=0.003),
    ),
)

"""Merged LoRA costs nothing at inference (Hu et al. 2021, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping

from bakeoff.claims.contract import Claim, Contrast, Floats, Noise, Planted, Values

_TIME = 0.03
_OUTPUT = 0.01
_FORMATS = ("float32", "bfloat16", "float16")


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {
        "time": values["merged_1"] / values["base_1"] - 1.0,
        **{name: values[f"output_{name}"] for name in _FORMATS},
    }


CLAIM = Claim(
    name="merged_lora_is_free",
    title="LoRA merged into the weights costs no time and changes no output",
    source="Hu et al. 2021, arXiv:2106.09685, section 4.1",
    hypothesis="A pass of the merged model takes as long as the base's, to 3 %, and its outputs "
    "are those of base plus adapter: the mean distance of their next-token distributions (total "
    "variation) is under 0.01 in float32, bfloat16 and float16.",
    supported_if="all four hold",
    contradicted_if="any of them is shown not to (Bonferroni over the four)",
    does_not_show="That merging can be undone: see subtracting_gives_the_base_back.",
    unit="share",
    contrasts=(
        Contrast(
            name="time",
            rule="within",
            threshold=_TIME,
            words="time of the merged model over the base's, minus 1",
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
    measure="bakeoff.claims.latency:merged_times",
    repeats="rounds",
    planted=Planted(
        supported={
            **{"merged_1": 1.0, "base_1": 1.0},
            **{"output_float32": 1e-6, "output_bfloat16": 0.004, "output_float16": 5e-4},
        },
        contradicted={
            **{"merged_1": 1.0, "base_1": 1.0},
            **{"output_float32": 1e-6, "output_bfloat16": 0.05, "output_float16": 5e-4},
        },
        noise=Noise(seed=0.003),
    ),
)

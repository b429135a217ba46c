"""Adapters in series make inference slower (Hu et al. 2021, table 1)."""

from __future__ import annotations

from collections.abc import Mapping

from bakeoff.claims.contract import Claim, Contrast, Floats, Noise, Planted, Values

_MARGIN = 0.03
_BATCHES = (1, 8)


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {f"batch_{n}": values[f"bottleneck_{n}"] / values[f"merged_{n}"] - 1.0 for n in _BATCHES}


CLAIM = Claim(
    name="adapters_cost_latency",
    title="Bottleneck adapters make inference slower than merged LoRA, alone and in a batch",
    source="Hu et al. 2021, arXiv:2106.09685, table 1; An analysis of fine-tuning methods on "
    "GPT-Neo (2024), section 2.3.2",
    hypothesis="A forward pass of the base with bottleneck adapters takes over 3 % longer than one "
    "with LoRA merged into its weights, at a batch of 1 and of 8.",
    supported_if="both are over 3 % longer",
    contradicted_if="either is less than 3 % longer (Bonferroni over the two)",
    does_not_show="How much of it a serving engine would hide. It is this machine's, this base's, "
    "and one pass over 128 tokens.",
    unit="share of the time",
    contrasts=tuple(
        Contrast(
            name=f"batch_{n}",
            rule="above",
            threshold=_MARGIN,
            words=f"time with bottlenecks over that of merged LoRA at a batch of {n}, minus 1",
        )
        for n in _BATCHES
    ),
    statistic=_statistic,
    measure="bakeoff.claims.latency:adapter_times",
    repeats="rounds",
    quick=True,
    planted=Planted(
        supported={"bottleneck_1": 1.2, "merged_1": 1.0, "bottleneck_8": 1.15, "merged_8": 1.0},
        contradicted={"bottleneck_1": 1.1, "merged_1": 1.0, "bottleneck_8": 0.97, "merged_8": 1.0},
        noise=Noise(seed=0.03),
    ),
)

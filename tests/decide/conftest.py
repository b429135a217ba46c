"""A golden run whose costs are set, as measured ones differ from machine to machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bakeoff.runs.records import Results
from tests.golden_folders import golden, with_costs

GIB = 1024**3
COSTS = {
    # by method: peak memory in GiB, seconds of a mean epoch, bytes of the adapter, latency
    "lora": (9, 400.0, 3_000_000, 0.010),
    "head": (7, 300.0, 2_500_000, 0.010),
    "soft_prompt": (4, 60.0, 2_000_000, 0.010),
}


@pytest.fixture
def run() -> Results:
    """Three searched methods, each shown to differ from the next: lora, head, soft_prompt.

    The cheaper a method, the worse it is.
    """
    results = golden("searched")
    methods = {
        name: with_costs(
            method,
            epoch=COSTS[name][1],
            peak_memory_bytes=COSTS[name][0] * GIB,
            adapter_bytes=COSTS[name][2],
            token_latency_seconds=None,
        )
        for name, method in results.methods.items()
    }
    return replace(results, methods=methods)

"""Situations that a study may end in, each made of scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bakeoff.runs.records import CostRecord, Estimate, Results
from bakeoff.types import RunState
from tests.decide.made import ended, scores_of, study_of, with_set
from tests.golden_folders import golden

CLEAR = {"lora": 3.0, "head": 3.5, "soft_prompt": 4.0}
CLOSE = {"lora": 3.0, "head": 3.03, "soft_prompt": 4.05}
EVEN = {"head": 2.0, "soft_prompt": 2.0}
TWO = {"zero_shot": 9.0, "lead": 5.0}
NOISY: dict[str, Any] = {"seeds": 3, "rows": 60, "by_row": 0.2}


def with_states(results: Results, **states: str) -> Results:
    """Methods that are in these states and were not tested."""
    methods = {
        name: ended(method, states[name]) if name in states else method
        for name, method in results.methods.items()
    }
    return replace(results, methods=methods)


def without_costs(results: Results) -> Results:
    """The same, of methods whose costs were not measured."""
    methods = {n: replace(m, cost=CostRecord()) for n, m in results.methods.items()}
    return replace(results, methods=methods)


def of_choices(differing: int, rows: int = 200) -> Results:
    """Two methods that answer alike on all rows but a few."""
    rng = np.random.default_rng(1)
    right = (rng.random((3, rows)) < 0.8).astype(float)
    other = right.copy()
    other[:, :differing] = 1.0 - other[:, :differing]
    wrong = np.zeros((1, rows))
    runs = {
        name: [np.stack([run, np.ones(rows)], axis=1) for run in own]
        for name, own in {"lora": right, "head": other, "zero_shot": wrong}.items()
    }
    means = {"lora": 0.8, "head": 0.8}
    return study_of(means, {"zero_shot": 0.0}, seeds=3, metric="rouge1", margin=0.01, runs=runs)


def with_noise() -> dict[str, list[np.ndarray]]:
    """Two methods that are alike, and a baseline that does well and badly by turns."""
    means = {"lora": 3.0, "head": 3.001, "zero_shot": 3.2}
    runs = scores_of(means, seeds={"lora": 5, "head": 5, "zero_shot": 1})
    runs["zero_shot"][0][:, 0] += np.tile([3.0, -3.0], 200)
    return runs


def of_one_row() -> Results:
    """A study with a single test row."""
    results = study_of(CLEAR)
    data = replace(results.data, test=replace(results.data.test, examples=1))
    return replace(results, data=data, comparisons=())


def with_latency(results: Results, **seconds: tuple[float, float, float]) -> Results:
    """Latencies (mean, low, high) of some methods."""
    methods = dict(results.methods)
    for name, (mean, low, high) in seconds.items():
        found = Estimate(mean=mean, low=low, high=high)
        cost = replace(methods[name].cost, token_latency_seconds=found)
        methods[name] = replace(methods[name], cost=cost)
    return replace(results, methods=methods)


def failed(results: Results) -> Results:
    """All methods failed."""
    return with_states(results, **dict.fromkeys(results.methods, RunState.FAILED.value))


SITUATIONS: dict[str, tuple[Callable[[], Results], dict[str, str]]] = {
    "best": (lambda: study_of(CLEAR), {}),
    "best of two, two baselines": (lambda: study_of({"lora": 3.0, "head": 3.5}, TWO), {}),
    "best without baselines": (lambda: study_of(CLEAR, {}), {}),
    "the only method": (lambda: study_of({"lora": 3.0}), {}),
    "the only method, no baseline": (lambda: study_of({"lora": 3.0}, {}), {}),
    "best within limits": (lambda: study_of(CLEAR), {"memory": "8GiB"}),
    "the only one within limits": (lambda: study_of(CLEAR), {"memory": "5GiB"}),
    "higher is better": (
        lambda: study_of({"lora": 0.4, "head": 0.5}, {"lead": 0.3}, metric="rouge1", margin=0.01),
        {},
    ),
    "two are equal": (lambda: study_of({**CLEAR, "head": 3.001}), {}),
    "all are equal": (lambda: study_of({"lora": 3.0, "head": 3.001, "soft_prompt": 3.002}), {}),
    "equal within limits": (lambda: study_of({**CLEAR, "head": 3.001}), {"memory": "9GiB"}),
    "one is no worse, another open": (
        lambda: study_of(CLOSE, seeds=3, rows=4000, spread=0.03),
        {},
    ),
    "a baseline is better": (lambda: study_of(CLEAR, {"zero_shot": 9.0, "lead": 2.5}), {}),
    "a baseline is as good": (lambda: study_of({"lora": 3.0}, {"zero_shot": 2.999}), {}),
    "rows are missing": (lambda: study_of(CLOSE, **NOISY), {}),
    "seeds are missing": (
        lambda: study_of({**CLOSE, "head": 3.001}, seeds=3, rows=4000, spread=0.04),
        {},
    ),
    "rows and seeds are missing": (
        lambda: study_of({**CLOSE, "head": 3.001}, seeds=3, rows=100, spread=0.08, by_row=0.3),
        {},
    ),
    "costs are not known": (lambda: without_costs(study_of(CLOSE, **NOISY)), {}),
    "no margin": (lambda: study_of({**CLEAR, "head": 3.0001}, margin=0.0), {}),
    "near, but not above the baseline": (
        lambda: study_of({"lora": 3.0, "head": 3.001}, {"zero_shot": 3.2}, runs=with_noise()),
        {},
    ),
    "one of two is not above the baseline": (
        lambda: study_of({"lora": 3.0, "head": 3.01}, {"zero_shot": 3.03}, seeds=4, spread=0.03,
                         margin=0.01),
        {},
    ),
    "the only one is not above the baseline": (
        lambda: study_of({"lora": 3.0}, {"zero_shot": 3.04}, seeds=3, spread=0.05),
        {},
    ),
    "the only one, within limits": (
        lambda: study_of(CLEAR, {"zero_shot": 4.01}, seeds=3, spread=0.05),
        {"memory": "5GiB"},
    ),
    "the loss is accepted": (lambda: study_of(CLOSE, **NOISY, tolerance=0.1), {}),
    "the loss is not accepted": (lambda: study_of(CLOSE, **NOISY, tolerance=0.01), {}),
    "the baseline is the fallback": (
        lambda: study_of({"lora": 3.0}, {"zero_shot": 2.98}, seeds=3, spread=0.05, margin=0.01),
        {},
    ),
    "one seed": (lambda: study_of(CLEAR, seeds=1), {}),
    "one seed of one method": (
        lambda: study_of({"lora": 3.0, "head": 3.5}, seeds={"lora": 3, "head": 1}),
        {},
    ),
    "one seed, costs not known": (lambda: without_costs(study_of(CLEAR, seeds=1)), {}),
    "one seed, a baseline alike": (
        lambda: study_of({"lora": 9.0, "head": 9.5}, {"zero_shot": 9.0}, seeds=1, spread=0.0),
        {},
    ),
    "one seed, two alike": (lambda: study_of({"lora": 3.0, "head": 3.0, "ia3": 3.5}, seeds=1), {}),
    "a label is rare": (lambda: study_of(CLEAR, withheld="the label no has 3 test rows only"), {}),
    "few rows differ": (lambda: of_choices(6), {}),
    "no row differs": (lambda: of_choices(0), {}),
    "one has not finished": (lambda: with_states(study_of(CLEAR), head="RUNNING"), {}),
    "none has finished": (
        lambda: with_states(study_of(CLEAR), lora="RUNNING", head="WAITING", soft_prompt="FAILED"),
        {},
    ),
    "none ended well": (lambda: failed(study_of(CLEAR)), {}),
    "one test row": (of_one_row, {}),
    "none within the limits": (lambda: study_of(CLEAR), {"memory": "5GiB", "adapter_size": "1MB"}),
    "a cost's interval reaches over the limit": (
        lambda: with_latency(study_of({"lora": 3.0}), lora=(0.010, 0.008, 0.014)),
        {"latency": "12ms"},
    ),
    "undecided within limits": (
        lambda: study_of({"lora": 3.0, "head": 3.5, "soft_prompt": 3.51}, **NOISY),
        {"memory": "8GiB"},
    ),
    "an older run": (lambda: golden("schema1"), {}),
    "keeps its drop": (
        lambda: with_set(study_of(CLEAR), {**EVEN, "lora": 2.02, "zero_shot": 2.0}, 0.05),
        {},
    ),
    "loses nothing": (
        lambda: with_set(study_of(CLEAR), {**EVEN, "lora": 1.9, "zero_shot": 2.0}, 0.05),
        {},
    ),
    "the best drops too much": (
        lambda: with_set(study_of(CLEAR), {**EVEN, "lora": 2.3, "zero_shot": 2.0}, 0.05),
        {},
    ),
    "none keeps its drop": (
        lambda: with_set(study_of(CLEAR), {"lora": 2.3, "head": 2.2, "soft_prompt": 2.045,
                                           "zero_shot": 2.0}, 0.05),
        {},
    ),
    "a drop and a limit": (
        lambda: with_set(study_of(CLEAR), {**EVEN, "lora": 2.3, "zero_shot": 2.0}, 0.05),
        {"memory": "5GiB"},
    ),
    "a drop of a score": (
        lambda: with_set(
            study_of(CLEAR),
            {"lora": 0.5, "head": 0.61, "soft_prompt": 0.6, "zero_shot": 0.6},
            0.02,
            name="shift",
            metric="rouge1",
        ),
        {},
    ),
    "an older run within limits": (lambda: golden("schema1"), {"adapter_size": "100kB"}),
}  # fmt: skip

"""A golden run made large: more methods, more rows, for the page's limits and its benchmark."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bakeoff.decide.verdicts import comparison
from bakeoff.runs.records import CandidateRecord, Comparison, Estimate, MethodRecord, Results
from tests.golden_folders import GOLDEN, decided, golden, rows_of, save, write_rows

SOURCE = "searched"
_STEP = 0.02
"""By which a copy of a method is worse than the one before, in nats per token."""


def write_grown(folder: Path, names: Sequence[str], num_rows: int) -> Results:
    """Writes a run with these methods, each like one of the golden run's in turn.

    Args:
        folder: where it goes; it must exist.
        names: of the methods. num_rows: test rows, the golden run's repeated.
    """
    source = golden(SOURCE)
    bases = [list(source.methods)[i % len(source.methods)] for i in range(len(names))]
    copies = [i // len(source.methods) for i in range(len(names))]
    methods: dict[str, MethodRecord] = {}
    candidates: dict[str, CandidateRecord] = {}
    for name, base, copy in zip(names, bases, copies, strict=True):
        renamed = {old: f"{name}-{old}" for old in source.candidates}
        methods[name] = _copied(source.methods[base], renamed, copy)
        candidates |= {
            renamed[old]: replace(found, method=name)
            for old, found in source.candidates.items()
            if found.method == base
        }
        for old in source.methods[base].candidates:
            _grow_rows(f"candidates/{old}", folder / "candidates" / renamed[old], num_rows)
    for baseline in source.baselines:
        _grow_rows(f"baselines/{baseline}", folder / "baselines" / baseline, num_rows)
    examples = rows_of(GOLDEN / SOURCE / "examples.jsonl")
    write_rows(
        folder / "examples.jsonl",
        [
            {
                **examples[i % len(examples)],
                "index": i,
                "reference": f"{examples[i % len(examples)]['reference']} {i}",
            }
            for i in range(num_rows)
        ],
    )
    test = replace(source.data.test, examples=num_rows)
    grown = replace(
        source,
        data=replace(source.data, test=test),
        study={**source.study, "methods": {n: source.study["methods"][b]
                                           for n, b in zip(names, bases, strict=True)}},
        methods=methods,
        candidates=candidates,
        comparisons=tuple(
            _compared(source, metric.name, (names[i], bases[i]), (names[j], bases[j]))
            for metric in source.task.metrics
            for i, j in itertools.combinations(range(len(names)), 2)
        ),
    )  # fmt: skip
    grown = decided(grown)
    save(folder, grown)
    return grown


def _copied(method: MethodRecord, renamed: dict[str, str], copy: int) -> MethodRecord:
    nll = method.test["nll"]
    assert nll.low is not None and nll.high is not None and method.search is not None
    worse = copy * _STEP
    bytes_ = method.cost.adapter_bytes or 0
    search = method.search
    return replace(
        method,
        test={
            **method.test,
            "nll": Estimate(mean=nll.mean + worse, low=nll.low + worse, high=nll.high + worse),
        },
        cost=replace(method.cost, adapter_bytes=bytes_ + 1000 * copy),
        candidates=tuple(renamed[name] for name in method.candidates),
        search=replace(
            search,
            chosen=None if search.chosen is None else renamed[search.chosen],
            curve=tuple(
                replace(point, candidate=renamed[point.candidate]) for point in search.curve
            ),
        ),
    )


def _compared(source: Results, metric: str, a: tuple[str, str], b: tuple[str, str]) -> Comparison:
    found = comparison(source, a[1], b[1], metric)
    if found is None:  # two copies of one method
        any_one = next(c for c in source.comparisons if c.metric == metric)
        found = replace(
            any_one,
            difference=0.0,
            low=-0.1,
            high=0.1,
            p_value=1.0,
            verdict="undecided",
            equivalent_from=0.1,
        )
    return replace(found, a=a[0], b=b[0])


def _grow_rows(source: str, target: Path, num_rows: int) -> None:
    rows = rows_of(GOLDEN / SOURCE / source / "predictions.jsonl")
    # Each repeat a little apart, so that the order of rows by their scores is one.
    grown = [
        {
            **rows[i % len(rows)],
            "index": i,
            "rouge1": min(1.0, rows[i % len(rows)]["rouge1"] + i / (100 * num_rows)),
        }
        for i in range(num_rows)
    ]
    write_rows(target / "predictions.jsonl", grown)

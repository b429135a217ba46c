"""What must be alike before figures of several studies may be ranked together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bakeoff.formatting import MISSING, join, shown_whole
from bakeoff.page import words
from bakeoff.report.load import Run
from bakeoff.runs.records import Environment, MetricRecord
from bakeoff.runs.settings import setting

_MACHINE = ("device", "precision", "processors", "threads")
_VERSIONS = ("bakeoff", "torch", "transformers", "base_fingerprint")
Value = TypeVar("Value", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Comparability:
    """What a ranking of several studies may say.

    Attributes:
        obstacles: why quality cannot be compared at all; empty where it can.
        remarks: what differs without forbidding it, and what that means.
        same_tokens: whether the references were cut into the same number of tokens, without which
            nats per token are of different units.
        same_machine: whether seconds and bytes were measured on like machines.
    """

    obstacles: list[str]
    remarks: list[str]
    same_tokens: bool
    same_machine: bool


def comparability(runs: Mapping[str, Run]) -> Comparability:
    """Compares what each run was measured on.

    Args:
        runs: By their labels, two or more.
    """
    obstacles = [
        found
        for found in (_test_rows(runs), _metrics(runs), _generation(runs), _unfinished(runs))
        if found is not None
    ]
    remarks = []
    tokens = _by_value(runs, lambda run: run.results.data.test.tokens_supervised)
    same_tokens = len(tokens) == 1
    if not same_tokens:
        remarks.append(
            "The references were cut into different tokens, so nats per token are of different "
            "units: NLL and perplexity are ranked within a study only."
        )
    machines = _by_value(runs, lambda run: _machine(run.results.environment))
    same_machine = len(machines) == 1
    if not same_machine:
        each = "; ".join(f"{join(labels)}: {machine}" for machine, labels in machines.items())
        remarks.append(
            f"Time, memory and latency were measured on different machines ({each}) and are not "
            "ranked across studies."
        )
    return Comparability(
        obstacles=obstacles, remarks=remarks, same_tokens=same_tokens, same_machine=same_machine
    )


def differing_settings(runs: Mapping[str, Run]) -> list[tuple[str, list[str]]]:
    """Every setting of the studies and of their surroundings that is not the same in all."""
    tables = []
    for run in runs.values():
        study = {key: value for key, value in run.results.study.items() if key != "name"}
        table = dict(words.flatten(study))
        for key in (*_MACHINE, *_VERSIONS):
            value = getattr(run.results.environment, key)
            if value is not None:
                table[f"environment.{key}"] = words.plain(value)
        tables.append(table)
    keys = list(dict.fromkeys(key for table in tables for key in table))
    rows = [(key, [table.get(key, MISSING) for table in tables]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def labels_of(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: the study's, with its folder where two are called alike."""
    names = [run.name for run in runs]
    longer = [
        name if names.count(name) == 1 else f"{name} ({run.folder.name})"
        for name, run in zip(names, runs, strict=True)
    ]
    return [
        label if longer.count(label) == 1 else f"{label} ({run.folder})"
        for label, run in zip(longer, runs, strict=True)
    ]


def all_metrics(runs: Mapping[str, Run]) -> list[MetricRecord]:
    """The metrics of all studies' tasks, each name once, in the order of the first that has it."""
    found: dict[str, MetricRecord] = {}
    for run in runs.values():
        for metric in run.results.task.metrics:
            found.setdefault(metric.name, metric)
    return list(found.values())


def _test_rows(runs: Mapping[str, Run]) -> str | None:
    """Documents and references, row by row: the same number of rows says nothing."""
    missing = [label for label, run in runs.items() if not run.examples]
    if missing:
        return (
            f"test data: {join(missing)} {'has' if len(missing) == 1 else 'have'} no "
            "examples.jsonl, so nothing shows that the test rows are the same"
        )
    groups = _by_value(runs, _digest)
    if len(groups) == 1:
        return None
    each = "; ".join(
        f"{join(labels)}: {words.plain(setting(runs[labels[0]].results.study, 'task.source'))}, "
        f"{shown_whole(len(runs[labels[0]].examples))} rows"
        for labels in groups.values()
    )
    return f"test data: the test rows differ ({each})"


def _digest(run: Run) -> str:
    digest = hashlib.sha256()
    for example in sorted(run.examples, key=lambda e: e.index):
        for text in (example.shown, example.reference):
            data = text.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
    return digest.hexdigest()


def _metrics(runs: Mapping[str, Run]) -> str | None:
    def measured(run: Run) -> tuple[str, ...]:
        methods = run.results.methods.values()
        return tuple(
            f"test {metric.title}" if metric.primary else metric.title
            for metric in run.results.task.metrics
            if any(metric.name in method.test for method in methods)
        )

    groups = _by_value(runs, measured)
    if len(groups) == 1:
        return None
    each = "; ".join(
        f"{join(labels)}: {join(titles) or 'none'}" for titles, labels in groups.items()
    )
    return f"metrics: not the same were measured ({each})"


def _generation(runs: Mapping[str, Run]) -> str | None:
    settings = [
        dict(words.flatten(setting(run.results.study, "generation") or {})) for run in runs.values()
    ]
    keys = list(dict.fromkeys(key for one in settings for key in one))
    differing = []
    for key in keys:
        values = [one.get(key, MISSING) for one in settings]
        if len(set(values)) > 1:
            each = ", ".join(f"{v} in {label}" for label, v in zip(runs, values, strict=True))
            differing.append(f"{key} is {each}")
    return f"generation: {'; '.join(differing)}" if differing else None


def _unfinished(runs: Mapping[str, Run]) -> str | None:
    partial = [label for label, run in runs.items() if run.results.status == "partial"]
    if not partial:
        return None
    return f"unfinished: {join(partial)} {'was' if len(partial) == 1 else 'were'} cut off"


def _machine(environment: Environment) -> str:
    parts = [
        f"{getattr(environment, key)} {key}"
        if key in ("processors", "threads")
        else str(getattr(environment, key))
        for key in _MACHINE
        if getattr(environment, key) is not None
    ]
    return ", ".join(parts) or "unknown"


def _by_value(runs: Mapping[str, Run], read: Callable[[Run], Value]) -> dict[Value, list[str]]:
    groups: dict[Value, list[str]] = {}
    for label, run in runs.items():
        groups.setdefault(read(run), []).append(label)
    return groups

"""What must be alike before figures of several studies may stand in one ranking."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.decide.facts import dig, join, mapping, number
from bakeoff.page import words
from bakeoff.report.load import Run
from bakeoff.report.table import QUALITY, ROUGE_LABELS

_MACHINE = ("device", "precision", "processors", "threads")


@dataclass(frozen=True, kw_only=True)
class Comparability:
    """What a ranking of several studies may say.

    Attributes:
        obstacles: why quality cannot be compared at all; empty where it can.
        remarks: what differs without forbidding it, and what that means.
        same_tokens: whether the references were cut into the same number of tokens, without which
            nats a token are of different units.
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
        told
        for told in (_test_rows(runs), _metrics(runs), _generation(runs), _unfinished(runs))
        if told is not None
    ]
    remarks = []
    tokens = _by_value(runs, lambda run: dig(run.results, "data", "test", "tokens_supervised"))
    same_tokens = len(tokens) == 1 and None not in tokens
    if not same_tokens:
        remarks.append(
            "The references were cut into different tokens, so nats a token are of different "
            "units: test NLL is ranked within a study only, ROUGE across them."
        )
    machines = _by_value(
        runs, lambda run: tuple(dig(run.results, "environment", key) for key in _MACHINE)
    )
    same_machine = len(machines) == 1
    if not same_machine:
        told = "; ".join(
            f"{join(labels)}: {_described(machine)}" for machine, labels in machines.items()
        )
        remarks.append(
            f"Time, memory and latency were measured on different machines ({told}) and are not "
            "ranked across studies."
        )
    return Comparability(
        obstacles=obstacles, remarks=remarks, same_tokens=same_tokens, same_machine=same_machine
    )


def differing_settings(runs: Mapping[str, Run]) -> list[tuple[str, list[str]]]:
    """Every setting of the studies and of their surroundings that is not the same in all."""
    tables = []
    for run in runs.values():
        study = {k: v for k, v in mapping(dig(run.results, "study")).items() if k != "name"}
        table = dict(words.flatten(study))
        for key in (*_MACHINE, "bakeoff", "torch", "transformers", "base_fingerprint"):
            value = dig(run.results, "environment", key)
            if value is not None:
                table[f"environment.{key}"] = words.plain(value)
        tables.append(table)
    keys = list(dict.fromkeys(key for table in tables for key in table))
    rows = [(key, [table.get(key, words.MISSING) for table in tables]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


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
    told = "; ".join(
        f"{join(labels)}: {words.plain(dig(runs[labels[0]].results, 'study', 'task', 'source'))}, "
        f"{words.count(len(runs[labels[0]].examples))} rows"
        for labels in groups.values()
    )
    return f"test data: the test rows differ ({told})"


def _digest(run: Run) -> str:
    digest = hashlib.sha256()
    for example in sorted(run.examples, key=lambda e: e.index):
        for text in (example.document, example.reference):
            data = text.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
    return digest.hexdigest()


def _metrics(runs: Mapping[str, Run]) -> str | None:
    def measured(run: Run) -> tuple[str, ...]:
        entries = [mapping(e) for e in mapping(run.results.get("methods")).values()]
        return tuple(key for key in QUALITY if any(_has(entry, key) for entry in entries))

    groups = _by_value(runs, measured)
    if len(groups) == 1:
        return None
    names = {"test_nll": "test NLL", **ROUGE_LABELS}
    told = "; ".join(
        f"{join(labels)}: {join([names[k] for k in keys]) or 'none'}"
        for keys, labels in groups.items()
    )
    return f"metrics: not the same were measured ({told})"


def _has(entry: Mapping[str, Any], key: str) -> bool:
    value = entry.get(key)
    return number(value) is not None or number(mapping(value).get("mean")) is not None


def _generation(runs: Mapping[str, Run]) -> str | None:
    settings = [
        dict(words.flatten(mapping(dig(run.results, "study", "generation"))))
        for run in runs.values()
    ]
    keys = list(dict.fromkeys(key for one in settings for key in one))
    told = []
    for key in keys:
        values = [one.get(key, words.MISSING) for one in settings]
        if len(set(values)) > 1:
            each = ", ".join(f"{v} in {label}" for label, v in zip(runs, values, strict=True))
            told.append(f"{key} is {each}")
    return f"generation: {'; '.join(told)}" if told else None


def _unfinished(runs: Mapping[str, Run]) -> str | None:
    partial = [label for label, run in runs.items() if run.results.get("status") == "partial"]
    if not partial:
        return None
    return f"unfinished: {join(partial)} {'was' if len(partial) == 1 else 'were'} cut off"


def _described(machine: Sequence[object]) -> str:
    told = [
        f"{words.plain(value)} {key}" if key in ("processors", "threads") else words.plain(value)
        for key, value in zip(_MACHINE, machine, strict=True)
        if value is not None
    ]
    return ", ".join(told) or "unknown"


def _by_value(runs: Mapping[str, Run], read: Callable[[Run], Any]) -> dict[Any, list[str]]:
    groups: dict[Any, list[str]] = {}
    for label, run in runs.items():
        groups.setdefault(read(run), []).append(label)
    return groups


def labels_of(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: the study's, with its folder where two are called alike."""
    names = [str(dig(run.results, "study", "name") or run.folder.name) for run in runs]
    told = [
        name if names.count(name) == 1 else f"{name} ({run.folder.name})"
        for name, run in zip(names, runs, strict=True)
    ]
    return [
        label if told.count(label) == 1 else f"{label} ({run.folder})"
        for label, run in zip(told, runs, strict=True)
    ]

"""The first screen: the answer, what it costs, and what to know before trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.report import words
from bakeoff.report.load import dig, mapping
from bakeoff.report.searched import searched_methods
from bakeoff.report.table import Row
from bakeoff.study.recommend import join, number, recommend, winner

_FEW_TEST_EXAMPLES = 200


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One figure of the recommended method."""

    label: str
    value: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the reader came for."""

    method: str | None
    headline: str
    why: str
    cost: str
    ties: list[str]
    facts: list[Fact]
    caveats: list[str]


def build_answer(results: Mapping[str, Any], rows: list[Row]) -> Answer:
    """The stored recommendation, or one made now where the run was cut off before it."""
    given = mapping(results.get("recommendation"))
    if not given.get("why"):
        given = recommend(results)
    by_name = {row.name: row for row in rows}
    method = given.get("method")
    row = by_name.get(str(method)) if method is not None else None
    ties = [str(name) for name in given.get("ties") or ()]
    return Answer(
        method=row.name if row else None,
        headline=f"Use {row.name}" if row else "No recommendation",
        why=str(given.get("why")),
        cost=_cost(row) if row else "",
        ties=ties,
        facts=_facts(row, by_name.get("zero_shot")) if row else [],
        caveats=_caveats(results, rows, row),
    )


def _cost(row: Row) -> str:
    parts = []
    if (parameters := row.value("trainable_parameters")) is not None:
        parts.append(f"trains {words.count(parameters)} parameters")
    if (epoch := row.value("epoch_mean")) is not None:
        parts.append(f"takes {words.seconds(epoch)} an epoch")
    if (memory := row.value("peak_memory_bytes")) is not None:
        parts.append(f"peaks at {words.size(memory)} of memory")
    if (adapter := row.value("adapter_bytes")) is not None:
        parts.append(f"leaves an adapter of {words.size(adapter)}")
    return f"It {join(parts)}." if parts else ""


def _facts(row: Row, zero: Row | None) -> list[Fact]:
    facts = []
    for key, label, write in (
        ("test_nll", "Test NLL, nats a token", words.nll),
        ("rouge1", "ROUGE-1 × 100", words.rouge),
    ):
        cell = row.cells[key]
        if cell.value is None:
            continue
        details = []
        if cell.low is not None and cell.high is not None:
            details.append(f"{write(cell.low)} to {write(cell.high)}")
        if zero is not None and zero.value(key) is not None:
            details.append(f"zero-shot {write(zero.value(key))}")
        facts.append(Fact(label=label, value=write(cell.value), details=tuple(details)))
    for key, label, write in (
        ("trainable_parameters", "Trainable parameters", words.count),
        ("epoch_mean", "Mean epoch", words.seconds),
        ("peak_memory_bytes", "Peak memory", words.size),
        ("adapter_bytes", "Adapter", words.size),
    ):
        if row.value(key) is not None:
            facts.append(Fact(label=label, value=write(row.value(key))))
    return facts


def _caveats(results: Mapping[str, Any], rows: list[Row], pick: Row | None) -> list[str]:
    told = []
    if results.get("status") == "partial":
        told.append("The study was cut off: this report shows what there was at that moment.")
    for row in rows:
        if not row.is_baseline and not row.ended_well:
            reason = f": {row.reason}" if row.reason else ""
            told.append(f"{row.name} {_was(row)}{words.state(row.state)}{reason}.")
    if pick is not None:
        told += _rouge_caveats(results, rows, pick)
    told += [found.warning for found in searched_methods(results) if found.warning]
    told += _data_caveats(results)
    return told


def _was(row: Row) -> str:
    return "is " if row.state in ("WAITING", "RUNNING") else ""


def _rouge_caveats(results: Mapping[str, Any], rows: list[Row], pick: Row) -> list[str]:
    told = []
    ours = pick.value("rouge1")
    ahead = [
        f"{row.name} ({words.rouge(row.value('rouge1'))})"
        for row in rows
        if not row.is_baseline and winner(results, pick.name, row.name, "rouge1") == row.name
    ]
    if ahead:
        told.append(
            f"The choice is made on test NLL. On ROUGE-1, {join(ahead)} "
            f"{'is' if len(ahead) == 1 else 'are'} ahead of {pick.name} ({words.rouge(ours)})."
        )
    for row in rows:
        theirs = row.value("rouge1") if row.is_baseline else None
        if ours is None or theirs is None or theirs <= ours:
            continue
        high, low = pick.cells["rouge1"].high, row.cells["rouge1"].low
        is_apart = high is not None and low is not None and high < low
        told.append(
            f"{row.label}, which trains nothing, "
            f"{'has the higher ROUGE-1' if is_apart else 'is not shown to be behind on ROUGE-1'}: "
            f"{words.rouge(theirs)} against {words.rouge(ours)}."
        )
    return told


def _data_caveats(results: Mapping[str, Any]) -> list[str]:
    told = []
    names = {str(c.get("method")) for c in map(mapping, _candidates(results))}
    seeds = {number(c.get("seed")) for c in map(mapping, _candidates(results))}
    if names and len(seeds) == 1:
        told.append(
            "One seed a method: the intervals tell of chance among test rows, not of chance in "
            "training."
        )
    tests = number(dig(results, "data", "test", "examples"))
    if tests is not None and tests < _FEW_TEST_EXAMPLES:
        told.append(f"Only {words.count(tests)} test examples: expect wide intervals.")
    leaked = number(dig(results, "data", "overlap", "train_test"))
    if leaked:
        told.append(f"{words.count(leaked)} test rows also stand in the training data.")
    return told


def _candidates(results: Mapping[str, Any]) -> list[Any]:
    return list(mapping(results.get("candidates")).values())

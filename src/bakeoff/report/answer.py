"""The first screen: the answer, what it costs, and what to know before trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.decide.choice import recommend
from bakeoff.decide.facts import comparisons, cost, dig, join, mapping, number, winner
from bakeoff.decide.limits import Limits
from bakeoff.page import words
from bakeoff.quantities import signed
from bakeoff.report.searched import searched_methods
from bakeoff.report.table import Row

_FEW_TEST_EXAMPLES = 200


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One figure of the recommended method."""

    label: str
    value: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rival:
    """Another method that took part, beside the recommended one."""

    name: str
    is_tie: bool
    told: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the reader came for."""

    method: str | None
    verdict: str
    """Two or three words: which."""
    sentence: str
    """What goes on from there: how sure, what ties with it, what it costs."""
    why: str
    sure: str
    """What the certainty rests on."""
    ties: list[str]
    recipe: str
    """The settings to use it with."""
    facts: list[Fact]
    rivals: list[Rival]
    changes: list[str]
    limits: list[str]
    outside: list[str]
    caveats: list[str]


def build_answer(
    results: Mapping[str, Any], rows: list[Row], limits: Limits | None = None
) -> Answer:
    """The recommendation by the present rules, and all that should be known beside it."""
    given = recommend(results, limits)
    by_name = {row.name: row for row in rows}
    method = given["method"]
    row = by_name.get(method) if method is not None else None
    rivals = [_rival(entry, str(method)) for entry in given["runners_up"]] if row else []
    return Answer(
        method=row.name if row else None,
        verdict=f"Use {row.name}" if row else "No recommendation",
        sentence=_sentence(results, row, given, rivals) if row else "",
        why=given["why"],
        sure=_sure(results) if row else "",
        ties=given["ties"],
        recipe=_recipe(results, row) if row else "",
        facts=_facts(row, by_name.get("zero_shot")) if row else [],
        rivals=rivals,
        changes=given["changes"],
        limits=given["limits"],
        outside=[f"{o['method']}: {join(o['reasons'])}" for o in given["outside"]],
        caveats=_caveats(results, rows, row),
    )


def _sentence(
    results: Mapping[str, Any], row: Row, given: Mapping[str, Any], rivals: list[Rival]
) -> str:
    """The rest of the one sentence that answers: how sure, what ties with it, what it costs."""
    ties: list[str] = given["ties"]
    within = " within the limits" if given["outside"] else ""
    behind = sum(not rival.is_tie for rival in rivals)
    beaten = []
    if behind:
        rest = len(rivals) - len(ties)
        which = f"the other {behind} methods" if behind == rest else f"{behind} of the others"
        beaten.append(f"{'the other method' if behind == rest == 1 else which}{within}")
    if number(dig(results, "baselines", "zero_shot", "test_nll")) is not None:
        beaten.append("the untuned base")
    parts = []
    if ties:
        parts.append(f"it ties with {join(ties) if len(ties) < 4 else f'{len(ties)} others'}")
        prices = {name: cost(name, mapping(dig(results, "methods", name))) for name in ties}
        if cost(row.name, mapping(dig(results, "methods", row.name))) < min(prices.values()):
            parts.append(f"is the {'cheaper' if len(ties) == 1 else 'cheapest of them'} to keep")
    if beaten:
        parts.append(f"{'' if parts else 'it '}beats {join(beaten)} beyond chance")
    told = join(parts) or f"it is the only method{within or ' that ended well'}"
    return f"{told}; {_cost(row)}." if _cost(row) else f"{told}."


def _cost(row: Row) -> str:
    parts = []
    if (epoch := row.value("epoch_mean")) is not None:
        parts.append(f"{words.seconds(epoch)} an epoch")
    if (memory := row.value("peak_memory_bytes")) is not None:
        parts.append(f"{words.size(memory)} of memory")
    if (adapter := row.value("adapter_bytes")) is not None:
        parts.append(f"{words.size(adapter)} to keep")
    return f"it costs {join(parts)}" if parts else ""


def _sure(results: Mapping[str, Any]) -> str:
    tests = number(dig(results, "data", "test", "examples"))
    pairs = sum(c.get("metric") == "test_nll" for c in comparisons(results))
    if not pairs:
        return ""
    rows = f"{words.count(tests)} test rows" if tests else "the test rows"
    return (
        f"Beyond chance: at the 95\u00a0% level of a paired bootstrap over {rows} and the seeds, "
        f"corrected (Holm) for the {pairs} pair{'' if pairs == 1 else 's'} compared; whatever is "
        "not shown to differ is called a tie."
    )


def _rival(entry: Mapping[str, Any], pick: str) -> Rival:
    value, low, high = (number(entry[key]) for key in ("difference", "low", "high"))
    gap = "" if value is None else f"{signed(value)} nats a token"
    if low is not None and high is not None:
        gap += f" ({signed(low)} to {signed(high)})"
    is_tie = entry["verdict"] == "tie"
    return Rival(
        name=entry["method"], is_tie=is_tie, told=f"{gap}{', a tie' if is_tie else ''}".lstrip(", ")
    )


def _recipe(results: Mapping[str, Any], row: Row) -> str:
    entry = mapping(dig(results, "methods", row.name))
    title = entry.get("title")
    what = f"{row.kind} ({title})" if title else row.kind
    told = [what] if what else []
    if row.learning_rate is not None:
        told.append(f"learning rate {words.rate(row.learning_rate)}")
    options = mapping(entry.get("options"))
    told += [
        f"{key} {words.plain(value)}"
        for key, value in options.items()
        if value is not None and not isinstance(value, Mapping | list)
    ]
    return ", ".join(told)


def _facts(row: Row, zero: Row | None) -> list[Fact]:
    facts = []
    for key, label, write, better in (
        ("test_nll", "Test NLL, nats a token", words.nll, "lower is better"),
        ("rouge1", "ROUGE-1 × 100", words.rouge, "higher is better"),
    ):
        cell = row.cells[key]
        if cell.value is None:
            continue
        details = []
        if cell.low is not None and cell.high is not None:
            details.append(f"{write(cell.low)} to {write(cell.high)}")
        if zero is not None and zero.value(key) is not None:
            details.append(f"zero-shot {write(zero.value(key))}")
        details.append(better)
        facts.append(Fact(label=label, value=write(cell.value), details=tuple(details)))
    for key, label, write in (
        ("trainable_parameters", "Trainable parameters", words.count),
        ("epoch_mean", "Mean epoch", words.seconds),
        ("peak_memory_bytes", "Peak memory", words.size),
        ("adapter_bytes", "Adapter", words.size),
        ("token_latency_seconds", "Latency a token", words.seconds),
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
            f"has the higher ROUGE-1: {words.rouge(theirs)} against {words.rouge(ours)}"
            f"{'.' if is_apart else ', though their intervals overlap.'}"
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
    methods = [mapping(row) for row in mapping(results.get("methods")).values()]
    if len(methods) > 1 and not any(mapping(row.get("search")) for row in methods):
        told.append(
            "One learning rate a method, the study's own: another may change the order. "
            "--set search.learning_rates=6 searches them all alike."
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

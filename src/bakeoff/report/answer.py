"""The first screen: the answer, what it costs, and what to know before trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bakeoff.decide.last_look import last_look
from bakeoff.decide.limits import Limits
from bakeoff.decide.recommendation import shown_recommendation, unit_of
from bakeoff.decide.sentences import margin_words, reached
from bakeoff.decide.verdicts import (
    best_baseline,
    finished_methods,
    label_of,
    metric_scale,
    metric_words,
    rank,
    unit_words,
    verdict_of,
)
from bakeoff.formatting import join, scale_of, shown_bytes, shown_rate, shown_seconds, shown_whole
from bakeoff.page import words
from bakeoff.report.caveats import caveats
from bakeoff.report.load import row_metric_of
from bakeoff.report.table import COSTS, Row, metric_label, money_columns
from bakeoff.runs.records import Comparable, MetricRecord, Recommendation, Results, RunnerUp


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
    verdict: Comparable
    text: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the reader came for.

    Attributes:
        verdict: two or three words: which.
        sentence: what goes on from there: what the best baseline reaches, and the method; its cost.
        why: what the rules say. sure: what the certainty rests on.
        level: at which one the recommendation is given, beside that of the pairs.
        standing: what is known of each other method that is not behind: equivalent, undecided.
        recipe: the settings to use it with.
    """

    method: str | None
    verdict: str
    sentence: str
    why: str
    sure: str
    level: str
    standing: Mapping[str, str]
    recipe: str
    facts: list[Fact]
    rivals: list[Rival]
    changes: tuple[str, ...]
    limits: tuple[str, ...]
    outside: list[str]
    caveats: list[str]


def build_answer(
    results: Results, rows: list[Row], limits: Limits | None = None, *, is_running: bool = False
) -> Answer:
    """The recommendation, and all that should be known beside it."""
    given = shown_recommendation(results, limits)
    by_name = {row.name: row for row in rows}
    row = None if given.method is None else by_name[given.method]
    sentence = headline(results, given)
    return Answer(
        method=given.method,
        verdict=verdict_words(given),
        sentence=lowered(f"{sentence} {_cost(row)}".strip() if row else sentence),
        # It begins with what the best baseline reaches, which the headline says already.
        why=given.why.removeprefix(sentence).strip(),
        sure=_sure(results, given),
        level=_own_level(results, given),
        standing={
            **dict.fromkeys(given.equivalent, "equivalent"),
            **dict.fromkeys(given.undecided, "undecided"),
        },
        recipe=_recipe(results, row) if row else "",
        facts=_facts(results, row) if row else [],
        rivals=[_rival(results, found) for found in given.runners_up],
        changes=given.changes,
        limits=given.limits,
        outside=[f"{found.method}: {join(found.reasons)}" for found in given.outside],
        caveats=caveats(results, rows, row, is_running=is_running),
    )


def verdict_words(given: Recommendation) -> str:
    """The answer in two or three words."""
    if given.method is not None:
        return f"Use {given.method}"
    return "Undecided" if given.verdict == "undecided" else "No recommendation"


def lowered(sentence: str) -> str:
    """A sentence as it goes on after a colon."""
    return f"the {sentence[4:]}" if sentence.startswith("The ") else sentence


def headline(results: Results, given: Recommendation) -> str:
    """What the best baseline reaches, and the recommended method or the best one beside it."""
    among = _inside(results, given) or list(finished_methods(results))
    leader = min(among, key=lambda name: rank(results, name), default=None)
    return reached(results, given.method or leader)


def _inside(results: Results, given: Recommendation) -> list[str]:
    """The finished methods that are within the limits."""
    outside = {found.method for found in given.outside}
    return [name for name in finished_methods(results) if name not in outside]


def _cost(row: Row) -> str:
    parts = []
    if (epoch := row.value("epoch_mean")) is not None:
        parts.append(f"{shown_seconds(epoch)} per epoch")
    if (memory := row.value("peak_memory_bytes")) is not None:
        parts.append(f"{shown_bytes(memory)} of memory")
    if (adapter := row.value("adapter_bytes")) is not None:
        parts.append(f"{shown_bytes(adapter)} to keep")
    return f"{row.label} costs {join(parts)}." if parts else ""


def _sure(results: Results, given: Recommendation) -> str:
    """By what the verdicts were reached, and how far they hold."""
    decision, primary = results.decision, results.primary
    compared = [c for c in results.comparisons if c.metric == primary.name and c.set == "test"]
    if decision is None or not compared or all(c.why is not None for c in compared):
        return ""
    num, margin = len(compared), decision.margins.get(primary.name)
    examples = compared[0].examples
    unit = unit_of(results, primary.name, examples)
    pairs = "the one pair" if num == 1 else f"all {num} pairs together (Holm's correction)"
    text = (
        f"Verdicts hold at the {100 * decision.level:.3g}\u00a0% level for {pairs} of "
        f"{metric_words(results)}, over other {unit} like these {shown_whole(examples)} and other "
        "seeds."
    )
    if margin is not None:
        text += (
            " Methods count as equivalent where they surely differ by less than "
            f"{margin_words(primary, margin)}."
        )
    return f"{text} {_two_families(results, given)}".rstrip()


def _two_families(results: Results, given: Recommendation) -> str:
    """Where the recommendation says more than a pair does: each is a family at the level."""
    if given.verdict != "best" or given.method is None:
        return ""
    others = [*results.baselines, *(found.method for found in given.runners_up)]
    said = {name: verdict_of(results, given.method, name) for name in others}
    parts = [
        f"with {join([label_of(results, name) for name in names])} reads {verdict}"
        for verdict in ("undecided", "equivalent")
        if (names := [name for name, found in said.items() if found == verdict])
    ]
    if not parts:
        return ""
    return (
        f"The recommendation is a family of its own {_own_level(results, given)}: {given.method} "
        f"is the best, although in the table of pairs the one {join(parts)}."
    )


def _own_level(results: Results, given: Recommendation) -> str:
    """At which level a recommendation is given, beside that of the pairs."""
    look = last_look(results, _inside(results, given))
    if look is None:
        return "at the same level"
    return f"at the level of its look, {100 * (1 - look.alpha):.3g}\u00a0%"


def _rival(results: Results, found: RunnerUp) -> Rival:
    scale = metric_scale(results)
    text = f"{scale.signed(found.difference)} {unit_words(results.primary.unit)}".rstrip()
    if found.low is not None and found.high is not None:
        text += f" ({scale.signed(found.low)} to {scale.signed(found.high)})"
    return Rival(name=found.method, verdict=found.verdict, text=f"{text}: {found.verdict}")


def _recipe(results: Results, row: Row) -> str:
    record = results.methods[row.name]
    parts = [f"{row.kind} ({record.title})" if record.title else row.kind]
    if record.learning_rate is not None:
        parts.append(f"learning rate {shown_rate(record.learning_rate)}")
    parts += [
        f"{key} {words.plain(value)}"
        for key, value in record.options.items()
        if value is not None and not isinstance(value, Mapping | list)
    ]
    return ", ".join(parts)


def _facts(results: Results, row: Row) -> list[Fact]:
    metrics = dict.fromkeys((results.primary, row_metric_of(results)))
    facts = [fact for metric in metrics if (fact := _quality(results, metric, row)) is not None]
    labels = {"token_latency_seconds": "Latency per token"}
    for column in COSTS:
        value = row.value(column.key)
        if value is not None and column.key != "epoch_max":
            label = labels.get(column.key, column.label)
            facts.append(Fact(label=label, value=column.write(value)))
    for column in money_columns([row]):
        value, unit = row.value(column.key), f" {column.unit}"
        facts.append(Fact(label=column.label, value=f"{column.write(value)}{unit}".rstrip()))
    return facts


def _quality(results: Results, metric: MetricRecord, row: Row) -> Fact | None:
    cell = row.cells.get(metric.name)
    if cell is None or cell.value is None:
        return None
    write = scale_of(metric.unit).write
    details = []
    if cell.low is not None and cell.high is not None:
        level = 0.95 if results.decision is None else results.decision.level
        details.append(f"{100 * level:.3g}\u00a0%: {write(cell.low)} to {write(cell.high)}")
    if (baseline := best_baseline(results, metric.name)) is not None:
        details.append(f"best baseline: {label_of(results, baseline[0])} {write(baseline[1].mean)}")
    details.append(f"{'higher' if metric.higher_is_better else 'lower'} is better")
    label = metric_label(metric)
    if metric.unit:
        label += f" {metric.unit}" if metric.unit.startswith("×") else f", {metric.unit}"
    return Fact(label=label, value=write(cell.value), details=tuple(details))

"""The first screen: the answer, what it costs, and what to know before trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bakeoff.decide.choice import recommend
from bakeoff.decide.limits import Limits
from bakeoff.decide.verdicts import ZERO_SHOT, cost_order, metric_scale, unit_words
from bakeoff.formatting import join, scale_of, shown_bytes, shown_rate, shown_seconds, shown_whole
from bakeoff.page import words
from bakeoff.report.caveats import caveats
from bakeoff.report.load import row_metric_of
from bakeoff.report.table import COSTS, Row, metric_label
from bakeoff.runs.records import MetricRecord, Recommendation, Results, RunnerUp


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
    text: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the reader came for.

    Attributes:
        verdict: two or three words: which.
        sentence: what goes on from there: how sure, what ties with it, what it costs.
        sure: what the certainty rests on.
        recipe: the settings to use it with.
    """

    method: str | None
    verdict: str
    sentence: str
    why: str
    sure: str
    ties: tuple[str, ...]
    recipe: str
    facts: list[Fact]
    rivals: list[Rival]
    changes: tuple[str, ...]
    limits: tuple[str, ...]
    outside: list[str]
    caveats: list[str]


def build_answer(results: Results, rows: list[Row], limits: Limits | None = None) -> Answer:
    """The recommendation by the present rules, and all that should be known beside it."""
    given = recommend(results, limits)
    by_name = {row.name: row for row in rows}
    row = None if given.method is None else by_name[given.method]
    rivals = [_rival(results, found) for found in given.runners_up]
    return Answer(
        method=given.method,
        verdict=f"Use {row.name}" if row else "No recommendation",
        sentence=_sentence(results, row, given, rivals) if row else "",
        why=given.why,
        sure=_sure(results) if row else "",
        ties=given.undecided,
        recipe=_recipe(results, row) if row else "",
        facts=_facts(results, row, by_name.get(ZERO_SHOT)) if row else [],
        rivals=rivals,
        changes=given.changes,
        limits=given.limits,
        outside=[f"{found.method}: {join(found.reasons)}" for found in given.outside],
        caveats=caveats(results, rows, row),
    )


def _sentence(results: Results, row: Row, given: Recommendation, rivals: list[Rival]) -> str:
    """The rest of the one sentence that answers: how sure, what ties with it, what it costs."""
    ties = given.undecided
    within = " within the limits" if given.outside else ""
    behind = sum(not rival.is_tie for rival in rivals)
    beaten = []
    if behind:
        rest = len(rivals) - len(ties)
        which = f"the other {behind} methods" if behind == rest else f"{behind} of the others"
        beaten.append(f"{'the other method' if behind == rest == 1 else which}{within}")
    zero = results.baselines.get(ZERO_SHOT)
    if zero is not None and results.primary.name in zero.test:
        beaten.append("the untuned base")
    parts = []
    if ties:
        parts.append(f"it ties with {join(ties) if len(ties) < 4 else f'{len(ties)} others'}")
        prices = [cost_order(name, results.methods[name]) for name in ties]
        if cost_order(row.name, results.methods[row.name]) < min(prices):
            parts.append(f"is the {'cheaper' if len(ties) == 1 else 'cheapest of them'} to keep")
    if beaten:
        parts.append(f"{'' if parts else 'it '}beats {join(beaten)} beyond chance")
    whole = join(parts) or f"it is the only method{within or ' that ended well'}"
    return f"{whole}; {_cost(row)}." if _cost(row) else f"{whole}."


def _cost(row: Row) -> str:
    parts = []
    if (epoch := row.value("epoch_mean")) is not None:
        parts.append(f"{shown_seconds(epoch)} per epoch")
    if (memory := row.value("peak_memory_bytes")) is not None:
        parts.append(f"{shown_bytes(memory)} of memory")
    if (adapter := row.value("adapter_bytes")) is not None:
        parts.append(f"{shown_bytes(adapter)} to keep")
    return f"it costs {join(parts)}" if parts else ""


def _sure(results: Results) -> str:
    primary = results.primary.name
    pairs = sum(c.metric == primary and c.set == "test" for c in results.comparisons)
    if not pairs:
        return ""
    return (
        "Beyond chance: at the 95\u00a0% level of a paired bootstrap over "
        f"{shown_whole(results.data.test.examples)} test rows and the seeds, corrected (Holm) for "
        f"the {pairs} pair{'' if pairs == 1 else 's'} compared; whatever is not shown to differ is "
        "called a tie."
    )


def _rival(results: Results, found: RunnerUp) -> Rival:
    scale = metric_scale(results)
    text = f"{scale.signed(found.difference)} {unit_words(results)}".rstrip()
    if found.low is not None and found.high is not None:
        text += f" ({scale.signed(found.low)} to {scale.signed(found.high)})"
    is_tie = found.verdict != "worse"
    return Rival(name=found.method, is_tie=is_tie, text=f"{text}, a tie" if is_tie else text)


def _recipe(results: Results, row: Row) -> str:
    record = results.methods[row.name]
    parts = [f"{row.kind} ({record.title})" if record.title else row.kind]
    parts.append(f"learning rate {shown_rate(record.learning_rate)}")
    parts += [
        f"{key} {words.plain(value)}"
        for key, value in record.options.items()
        if value is not None and not isinstance(value, Mapping | list)
    ]
    return ", ".join(parts)


def _facts(results: Results, row: Row, zero: Row | None) -> list[Fact]:
    metrics = dict.fromkeys((results.primary, row_metric_of(results)))
    facts = [fact for metric in metrics if (fact := _quality(metric, row, zero)) is not None]
    labels = {"token_latency_seconds": "Latency per token"}
    for column in COSTS:
        value = row.value(column.key)
        if value is not None and column.key != "epoch_max":
            label = labels.get(column.key, column.label)
            facts.append(Fact(label=label, value=column.write(value)))
    return facts


def _quality(metric: MetricRecord, row: Row, zero: Row | None) -> Fact | None:
    cell = row.cells.get(metric.name)
    if cell is None or cell.value is None:
        return None
    write = scale_of(metric.unit).write
    details = []
    if cell.low is not None and cell.high is not None:
        details.append(f"{write(cell.low)} to {write(cell.high)}")
    if zero is not None and (base := zero.value(metric.name)) is not None:
        details.append(f"zero-shot {write(base)}")
    details.append(f"{'higher' if metric.higher_is_better else 'lower'} is better")
    label = metric_label(metric)
    if metric.unit:
        label += f" {metric.unit}" if metric.unit.startswith("×") else f", {metric.unit}"
    return Fact(label=label, value=write(cell.value), details=tuple(details))

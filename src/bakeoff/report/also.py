"""Further test sets, a table each: what was reached, and the change against the untuned base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bakeoff.decide.verdicts import amount_words, baseline_label, comparison, untuned_of
from bakeoff.formatting import MISSING, join, scale_of, shown_share, shown_whole
from bakeoff.runs.records import Comparable, Estimate, MetricRecord, Results, TestSetRecord


@dataclass(frozen=True, kw_only=True)
class AlsoCell:
    """One metric of one method on a set, as written.

    Attributes:
        value: with ``interval``, empty where none is known. change: against the untuned base, with
            its own interval; both empty for the base itself.
        verdict: of the change; None where there is none.
    """

    value: str
    interval: str
    change: str
    change_interval: str
    verdict: Comparable | None


@dataclass(frozen=True, kw_only=True)
class AlsoTable:
    """One further test set.

    Attributes:
        name: the set's. lead: what it is, in a sentence. metrics: titles with units.
        lines: for each method and baseline that was tested there, its label and a cell a metric.
        warnings: what makes verdicts on it less certain than they look.
    """

    name: str
    lead: str
    metrics: list[str]
    lines: list[tuple[str, list[AlsoCell]]]
    warnings: list[str]

    @property
    def has_changes(self) -> bool:
        """Whether anything is compared with the untuned base."""
        return any(cell.change for _, cells in self.lines for cell in cells)


def also_tables(results: Results) -> list[AlsoTable]:
    """A table for each further test set, in the study's order."""
    return [_table(results, name, found) for name, found in results.also_test.items()]


def _table(results: Results, name: str, found: TestSetRecord) -> AlsoTable:
    reached = {one: record.also_test.get(name, {}) for one, record in results.methods.items()}
    labels = {one: one for one in reached}
    for one, record in results.baselines.items():
        if name in record.also_test:
            reached[one], labels[one] = record.also_test[name], baseline_label(one, record)
    warnings = () if results.decision is None else results.decision.warnings
    titles = {metric.name: metric.title for metric in found.metrics}
    return AlsoTable(
        name=name,
        lead=_lead(found),
        metrics=[f"{metric.title} {metric.unit}".strip() for metric in found.metrics],
        lines=[
            (labels[one], [_cell(results, name, one, metric, of) for metric in found.metrics])
            for one, of in reached.items()
        ],
        warnings=[
            *(f"{titles[w.metric]}: {w.text}." for w in warnings if w.set == name),
            *_faulty(found, labels),
        ],
    )


def _faulty(found: TestSetRecord, labels: Mapping[str, str]) -> list[str]:
    """Whose outputs on a set are empty, unfinished or invalid, and how many of them."""
    said = []
    for one, outputs in found.outputs.items():
        counts = {key: getattr(outputs, key) for key in ("empty", "unfinished", "invalid")}
        shares = [f"{shown_share(n / outputs.examples)} {key}" for key, n in counts.items() if n]
        if shares:
            said.append(f"{labels.get(one, one)}: {join(shares)}")
    return [f"Of what was written here: {'; '.join(said)}."] if said else []


def _lead(found: TestSetRecord) -> str:
    parts = [f"{shown_whole(found.examples)} rows of the kind {found.kind}"]
    if found.rows_skipped:
        parts.append(f"{shown_whole(found.rows_skipped)} bad ones left out")
    if found.rows_cut:
        parts.append(f"{shown_whole(found.rows_cut)} cut to fit")
    limits = [
        f"{metric.title} may be at most {amount_words(metric.unit, most)} worse than zero-shot's"
        for metric in found.metrics
        if (most := found.max_drop.get(metric.name)) is not None
    ]
    return ". ".join([", ".join(parts), *limits]) + "."


def _cell(
    results: Results, name: str, one: str, metric: MetricRecord, reached: dict[str, Estimate]
) -> AlsoCell:
    estimate, scale = reached.get(metric.name), scale_of(metric.unit)
    pair = None
    untuned = untuned_of(results, one)
    if one != untuned and estimate is not None:
        pair = comparison(results, one, untuned, metric.name, set=name)
    return AlsoCell(
        value=MISSING if estimate is None else scale.write(estimate.mean),
        interval=""
        if estimate is None or estimate.low is None or estimate.high is None
        else f"{scale.write(estimate.low)} to {scale.write(estimate.high)}",
        change="" if pair is None else scale.signed(pair.difference),
        change_interval=""
        if pair is None or pair.low is None or pair.high is None
        else f"{scale.signed(pair.low)} to {scale.signed(pair.high)}",
        verdict=None if pair is None else pair.verdict,
    )

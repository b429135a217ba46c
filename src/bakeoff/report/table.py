"""The main table: one row a method or baseline, and which cells are marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bakeoff.decide.baseline_money import money_of_baseline
from bakeoff.decide.money import Money, money_of, prices_of, shown_volume
from bakeoff.decide.verdicts import LEAD, ZERO_SHOT, cheapest, verdict_of
from bakeoff.decide.verdicts import baseline_label as baseline_label
from bakeoff.formatting import (
    scale_of,
    shown_amount,
    shown_bytes,
    shown_seconds,
    shown_share,
    shown_whole,
)
from bakeoff.runs.records import (
    BaselineRecord,
    EpochSeconds,
    Estimate,
    MethodRecord,
    MetricRecord,
    Outputs,
    Results,
)
from bakeoff.types import RunState

_BASELINES: Final = (ZERO_SHOT, LEAD)
"""Those that come first, in this order."""
Write = Callable[[float | None], str]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of figures; ``metric`` is None where it is a cost."""

    key: str
    label: str
    unit: str
    write: Write
    metric: MetricRecord | None = None

    @property
    def lower_is_better(self) -> bool:
        """Whether the lowest figure is the best."""
        return self.metric is None or not self.metric.higher_is_better


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A figure with its interval; ``value`` None means missing."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method or a baseline; ``state`` is None for a baseline. ``currency``: of its money."""

    name: str
    label: str
    is_baseline: bool
    state: RunState | None
    reason: str | None
    cells: Mapping[str, Cell]
    kind: str = ""
    currency: str = ""
    learning_rate: float | None = None

    def value(self, key: str) -> float | None:
        """The figure under ``key``, None where it is missing."""
        return self.cells[key].value if key in self.cells else None

    @property
    def ended_well(self) -> bool:
        """Whether its figures may be compared with others'."""
        return self.state is None or self.state.is_eligible


COSTS: Final = (
    Column(key="trainable_parameters", label="Trainable parameters", unit="", write=shown_whole),
    Column(key="epoch_max", label="Longest epoch", unit="", write=shown_seconds),
    Column(key="epoch_mean", label="Mean epoch", unit="", write=shown_seconds),
    Column(key="plain_epoch", label="Mean epoch, plain loop", unit="", write=shown_seconds),
    Column(key="peak_memory_bytes", label="Peak memory", unit="", write=shown_bytes),
    Column(key="adapter_bytes", label="Adapter", unit="", write=shown_bytes),
    Column(key="token_latency_seconds", label="Latency", unit="per token", write=shown_seconds),
)
MONEY: Final = (
    Column(key="training_cost", label="Cost of training", unit="", write=shown_amount),
    Column(key="search_cost", label="Cost of search", unit="", write=shown_amount),
    Column(key="serving_cost", label="Serving", unit="a month", write=shown_amount),
    Column(key="thousand_cost", label="Serving", unit="1,000 answers", write=shown_amount),
    Column(key="break_even", label="Break-even", unit="answers", write=shown_volume),
)
"""What a study with prices has besides, in its currency; each where any row has a figure."""
OUTPUTS: Final = (
    Column(key="empty", label="Empty answers", unit="", write=shown_share),
    Column(key="unfinished", label="Unfinished answers", unit="", write=shown_share),
    Column(key="invalid", label="Invalid answers", unit="", write=shown_share),
)
"""Shares of the answers, over all seeds; each has a column where any row has such answers."""
# Measured by newer runs only; where no row has it, it has no column.
_OPTIONAL: Final = ("plain_epoch", "token_latency_seconds")


def metric_label(metric: MetricRecord) -> str:
    """What a metric's column and figures are called: ``Test NLL``, ``ROUGE-1``."""
    return f"Test {metric.title}" if metric.primary else metric.title


def shown_columns(metrics: Sequence[MetricRecord], rows: Sequence[Row]) -> list[Column]:
    """The columns of a table with these rows: metrics, counts of faulty answers, costs."""
    quality = [
        Column(
            key=metric.name,
            label=metric_label(metric),
            unit=metric.unit,
            write=scale_of(metric.unit).write,
            metric=metric,
        )
        for metric in metrics
    ]
    costs = [
        column
        for column in COSTS
        if column.key not in _OPTIONAL or any(row.value(column.key) is not None for row in rows)
    ]
    outputs = [column for column in OUTPUTS if any(row.value(column.key) for row in rows)]
    return quality + outputs + costs + money_columns(rows)


def money_columns(rows: Sequence[Row]) -> list[Column]:
    """Those that have a figure, with the currency; a month's serving stands for a thousand's."""
    known = [c for c in MONEY if any(row.value(c.key) is not None for row in rows)]
    keys = {column.key for column in known}
    currency = next((row.currency for row in rows if row.currency), "")
    return [
        column
        if column.key == "break_even"
        else replace(column, unit=f"{currency} {column.unit}".strip())
        for column in known
        if not (column.key == "thousand_cost" and "serving_cost" in keys)
    ]


def build_rows(results: Results) -> list[Row]:
    """Methods in the study's order, then the baselines that were measured."""
    rows = [_method(results, name, record) for name, record in results.methods.items()]
    first = [name for name in _BASELINES if name in results.baselines]
    names = dict.fromkeys([*first, *results.baselines])
    return rows + [_baseline(results, name, results.baselines[name]) for name in names]


def build_marks(results: Results, rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """Which cells carry a word, by row name and column key.

    ``best`` marks the best method of a metric, ``equivalent`` and ``undecided`` those of which that
    is said against it, ``least`` the smallest cost, ``ahead`` baselines whose mean is better than
    the best method's. One method alone is compared with no one.
    """
    methods = [row for row in rows if not row.is_baseline and row.ended_well]
    marks: dict[tuple[str, str], str] = {}
    if len(methods) < 2:
        return marks
    for column in shown_columns(results.task.metrics, rows):
        if column in OUTPUTS:
            continue
        found = {r.name: v for r in methods if (v := r.value(column.key)) is not None}
        if len(found) < 2 or len(set(found.values())) == 1:
            continue
        best = (min if column.lower_is_better else max)(found.values())
        first = next(name for name, value in found.items() if value == best)
        for name, value in found.items():
            if value == best:
                marks[name, column.key] = "least" if column.metric is None else "best"
            elif column.metric is not None:
                verdict = verdict_of(results, name, first, column.key)
                if verdict in ("equivalent", "undecided"):
                    marks[name, column.key] = verdict
        if column.metric is not None:
            for row in rows:
                theirs = row.value(column.key) if row.is_baseline else None
                if theirs is None or column.write(theirs) == column.write(best):
                    continue
                if (theirs < best) == column.lower_is_better:
                    marks[row.name, column.key] = "ahead"
    return marks


def cheapest_tag(results: Results, rows: Sequence[Row]) -> tuple[str | None, str]:
    """The method that is cheapest to keep, where there is more than one, and by what it is.

    The smallest adapter decides, then the fastest epoch, then the fewest parameters.
    """
    finished = [row for row in rows if not row.is_baseline and row.ended_well]
    name = cheapest(results) if len(finished) > 1 else None
    if name is None:
        return None, ""
    rivals = [results.methods[row.name].cost for row in finished if row.name != name]
    ours = results.methods[name].cost
    if ours.adapter_bytes is not None and ours.adapter_bytes not in {
        r.adapter_bytes for r in rivals
    }:
        return name, "smallest adapter"
    alike = [r for r in rivals if r.adapter_bytes == ours.adapter_bytes]
    if ours.epoch_seconds is not None and all(r.epoch_seconds is not None for r in alike):
        return name, "fastest epoch of the smallest adapters"
    return name, "fewest parameters"


def _method(results: Results, name: str, record: MethodRecord) -> Row:
    cost = record.cost
    epoch = cost.epoch_seconds
    cells = {metric: _cell(found) for metric, found in record.test.items()}
    cells |= _counted(record.outputs)
    cells |= {
        "trainable_parameters": Cell(value=cost.trainable_parameters),
        "epoch_max": Cell(value=None if epoch is None else epoch.max),
        "epoch_mean": _cell(epoch),
        "plain_epoch": _cell(cost.plain_epoch_seconds),
        "peak_memory_bytes": Cell(value=cost.peak_memory_bytes),
        "adapter_bytes": Cell(value=cost.adapter_bytes),
        "token_latency_seconds": _cell(cost.token_latency_seconds),
        **_money(money_of(results, record)),
    }
    return Row(
        name=name,
        label=name if record.quantization == "none" else f"{name} ({record.quantization})",
        is_baseline=False,
        state=record.state,
        reason=record.reason,
        cells=cells,
        kind=record.kind,
        currency=prices_of(results).currency,
        learning_rate=record.learning_rate,
    )


def _money(found: Money) -> dict[str, Cell]:
    """What is known of a method or baseline in money; ``total_cost`` is for figures."""
    thousand = None if found.call is None else found.call.times(1000.0)
    amounts = {
        "training_cost": found.training,
        "search_cost": found.search,
        "serving_cost": found.month,
        "thousand_cost": thousand,
        "total_cost": found.total,
    }
    cells = {
        key: Cell(
            value=amount.mean,
            low=amount.low if amount.has_interval else None,
            high=amount.high if amount.has_interval else None,
        )
        for key, amount in amounts.items()
        if amount is not None
    }
    return (
        cells if found.break_even is None else {**cells, "break_even": Cell(value=found.break_even)}
    )


def _baseline(results: Results, name: str, record: BaselineRecord) -> Row:
    return Row(
        name=name,
        label=baseline_label(name, record),
        is_baseline=True,
        state=None,
        reason=None,
        cells={
            **{metric: _cell(found) for metric, found in record.test.items()},
            **_counted(record.outputs),
            **_money(money_of_baseline(results, record)),
        },
        currency=prices_of(results).currency,
    )


def _counted(outputs: Outputs | None) -> dict[str, Cell]:
    """The shares of answers that are empty, unfinished or invalid."""
    if outputs is None or not outputs.examples:
        return {}
    counts = {column.key: getattr(outputs, column.key) for column in OUTPUTS}
    return {
        key: Cell(value=None if count is None else count / outputs.examples)
        for key, count in counts.items()
    }


def _cell(found: Estimate | EpochSeconds | None) -> Cell:
    return Cell() if found is None else Cell(value=found.mean, low=found.low, high=found.high)

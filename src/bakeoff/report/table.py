"""The main table: one row a method or baseline, and which cells are marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.decide.facts import cheapest, comparisons, dig, mapping, number, winner
from bakeoff.page import words


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of figures."""

    key: str
    label: str
    unit: str
    write: Callable[[object], str]
    lower_is_better: bool
    is_quality: bool


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A figure with its interval; ``value`` None means missing."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method or a baseline."""

    name: str
    label: str
    is_baseline: bool
    state: str | None
    reason: str | None
    cells: Mapping[str, Cell]
    kind: str = ""
    learning_rate: float | None = None

    def value(self, key: str) -> float | None:
        """The figure under ``key``, None where it is missing."""
        return self.cells[key].value if key in self.cells else None

    @property
    def ended_well(self) -> bool:
        """Whether its figures may be compared with others'."""
        return self.state in (None, "COMPLETE", "STOPPED")


QUALITY = ("test_nll", "rouge1", "rouge2", "rougeL", "rougeLsum")
ROUGE_LABELS = {
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
}


def _column(
    key: str, label: str, unit: str, write: Callable[[object], str], lower: bool = True
) -> Column:
    return Column(
        key=key,
        label=label,
        unit=unit,
        write=write,
        lower_is_better=lower,
        is_quality=key in QUALITY,
    )


COLUMNS = (
    _column("test_nll", "Test NLL", "nats a token", words.nll),
    *(_column(k, label, "× 100", words.rouge, False) for k, label in ROUGE_LABELS.items()),
    _column("trainable_parameters", "Trainable parameters", "", words.count),
    _column("epoch_max", "Longest epoch", "", words.seconds),
    _column("epoch_mean", "Mean epoch", "", words.seconds),
    _column("peak_memory_bytes", "Peak memory", "", words.size),
    _column("adapter_bytes", "Adapter", "", words.size),
    _column("token_latency_seconds", "Latency", "a token", words.seconds),
)


# Measured by newer runs only; where no row has it, it has no column.
_OPTIONAL = ("token_latency_seconds",)


def shown_columns(rows: list[Row]) -> list[Column]:
    """The columns of a table with these rows."""
    return [
        column
        for column in COLUMNS
        if column.key not in _OPTIONAL or any(row.value(column.key) is not None for row in rows)
    ]


def build_rows(results: Mapping[str, Any]) -> list[Row]:
    """Methods in the study's order, then the baselines that were measured."""
    rows = [_method(name, mapping(e)) for name, e in mapping(results.get("methods")).items()]
    zero, lead = (mapping(dig(results, "baselines", name)) for name in ("zero_shot", "lead"))
    if zero:
        rows.append(_baseline("zero_shot", "zero-shot", zero))
    if lead:
        k = number(lead.get("k"))
        rows.append(_baseline("lead", "lead-k" if k is None else f"lead-{k:.0f}", lead))
    return rows


def build_marks(results: Mapping[str, Any], rows: list[Row]) -> dict[tuple[str, str], str]:
    """Which cells carry a word, by row name and column key.

    ``best`` stands on the best method of a quality, ``tie`` on those that are not shown to differ
    from it, ``least`` on the smallest cost. One method alone is compared with nobody.
    """
    methods = [row for row in rows if not row.is_baseline and row.ended_well]
    marks: dict[tuple[str, str], str] = {}
    if len(methods) < 2:
        return marks
    compared = {c.get("metric") for c in comparisons(results)}
    for column in COLUMNS:
        found = {r.name: v for r in methods if (v := r.value(column.key)) is not None}
        if len(found) < 2 or len(set(found.values())) == 1:
            continue
        choose = min if column.lower_is_better else max
        best = choose(found.values())
        first = next(name for name, value in found.items() if value == best)
        for name, value in found.items():
            if value == best:
                marks[name, column.key] = "best" if column.is_quality else "least"
            elif (
                column.is_quality
                and column.key in compared
                and winner(results, first, name, column.key) is None
            ):
                marks[name, column.key] = "tie"
    return marks


def cheapest_name(results: Mapping[str, Any], rows: list[Row]) -> str | None:
    """The method that is cheapest to keep, where there is more than one."""
    finished = [row for row in rows if not row.is_baseline and row.ended_well]
    return cheapest(results) if len(finished) > 1 else None


def _method(name: str, entry: Mapping[str, Any]) -> Row:
    interval = mapping(entry.get("test_nll_interval"))
    cells = {"test_nll": _cell(entry.get("test_nll"), interval)}
    for key in ROUGE_LABELS:
        found = mapping(entry.get(key))
        cells[key] = _cell(found.get("mean"), found)
    epoch = mapping(entry.get("epoch_seconds"))
    cells["epoch_max"], cells["epoch_mean"] = _cell(epoch.get("max")), _cell(epoch.get("mean"))
    for key in (
        "trainable_parameters",
        "peak_memory_bytes",
        "adapter_bytes",
        "token_latency_seconds",
    ):
        cells[key] = _cell(entry.get(key))
    state, reason = entry.get("state"), entry.get("reason")
    return Row(
        name=name,
        label=name,
        is_baseline=False,
        state=None if state is None else str(state),
        reason=None if reason is None else str(reason),
        cells=cells,
        kind=str(entry.get("kind") or ""),
        learning_rate=number(entry.get("learning_rate")),
    )


def _baseline(name: str, label: str, entry: Mapping[str, Any]) -> Row:
    cells = {key: _cell(entry.get(key), dig(entry, "intervals", key)) for key in QUALITY}
    return Row(name=name, label=label, is_baseline=True, state=None, reason=None, cells=cells)


def _cell(value: object, interval: object = None) -> Cell:
    found = mapping(interval)
    return Cell(value=number(value), low=number(found.get("low")), high=number(found.get("high")))

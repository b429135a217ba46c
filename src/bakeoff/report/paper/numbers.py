"""The study's figures as one table for programs: ``report.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from bakeoff.decide.money import prices_of
from bakeoff.decide.verdicts import finished_methods, rank, verdict_of
from bakeoff.report.table import COSTS, Row, build_rows
from bakeoff.runs.records import BaselineRecord, Estimate, MethodRecord, Recommendation, Results

_COST_NAMES = {
    "trainable_parameters": "trainable_parameters",
    "adapter_bytes": "adapter_bytes",
    "peak_memory_bytes": "peak_memory_bytes",
    "epoch_mean": "epoch_seconds",
    "epoch_max": "longest_epoch_seconds",
    "plain_epoch": "plain_epoch_seconds",
    "token_latency_seconds": "token_latency_seconds",
}
_MONEY_NAMES = {
    "training_cost": "training_cost",
    "search_cost": "search_cost",
    "serving_cost": "serving_cost_per_month",
    "thousand_cost": "serving_cost_per_thousand",
    "break_even": "break_even_answers",
}
_WITH_BOUNDS = ("epoch_mean", "plain_epoch", "token_latency_seconds")
Value = str | float | int | None


def reference_of(results: Results, given: Recommendation) -> str | None:
    """Whom verdicts of single rows are against: the recommended method, else the best mean."""
    finished = finished_methods(results)
    return given.method or min(finished, key=lambda name: rank(results, name), default=None)


def csv_text(results: Results, given: Recommendation) -> str:
    """One line for each method and baseline, with a header; what is not known is empty.

    Figures are in the metric's own unit (shares in 0..1, nats per token), seconds and bytes.
    ``verdict`` is of the row against ``verdict_against``, by the deciding metric on the test set.

    Args:
        results: the study's. given: the recommendation that is shown.
    """
    lines = [_line(results, row, given) for row in build_rows(results)]
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream, list(dict.fromkeys(key for line in lines for key in line)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()


def _line(results: Results, row: Row, given: Recommendation) -> dict[str, Value]:
    against = reference_of(results, given)
    method = results.methods.get(row.name) if not row.is_baseline else None
    record: MethodRecord | BaselineRecord = method or results.baselines[row.name]
    is_compared = against not in (None, row.name)
    line: dict[str, Value] = {
        "name": row.name,
        "role": "baseline" if method is None else "method",
        "kind": None if method is None else method.kind,
        "state": None if method is None else str(method.state),
        "learning_rate": None if method is None else method.learning_rate,
        "seeds": None if method is None else len(method.seeds),
        "converged": _word(None if method is None else method.converged),
        "recommended": _word(row.name == given.method and method is not None),
        "verdict": verdict_of(results, row.name, str(against)) if is_compared else None,
        "verdict_against": against if is_compared else None,
    }
    for metric in results.task.metrics:
        line |= _estimates(f"test_{metric.name}", record.test.get(metric.name))
        validation = record.validation.get(metric.name)
        line[f"validation_{metric.name}_mean"] = None if validation is None else validation.mean
    for name, found in results.also_test.items():
        reached: Mapping[str, Estimate] = record.also_test.get(name, {})
        for metric in found.metrics:
            line |= _estimates(f"{name}_{metric.name}", reached.get(metric.name))
    for column in COSTS:
        cell, name = row.cells.get(column.key), _COST_NAMES[column.key]
        line[name] = None if cell is None else cell.value
        if column.key in _WITH_BOUNDS:
            line[f"{name}_low"] = None if cell is None else cell.low
            line[f"{name}_high"] = None if cell is None else cell.high
    if prices_of(results).device_hour is not None or prices_of(results).tokens.is_known:
        line |= {name: row.value(key) for key, name in _MONEY_NAMES.items()}
    return line


def _estimates(name: str, found: Estimate | None) -> dict[str, Value]:
    return {
        f"{name}_mean": None if found is None else found.mean,
        f"{name}_low": None if found is None else found.low,
        f"{name}_high": None if found is None else found.high,
    }


def _word(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()

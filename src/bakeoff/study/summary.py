"""The terminal's last word on a study, and the list of methods."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from bakeoff.config import to_mapping
from bakeoff.errors import StoreError
from bakeoff.methods.registry import METHODS
from bakeoff.study.store import RESULTS_FILE, RunFolder
from bakeoff.study.units import shown_bytes, shown_count
from bakeoff.types import RunState


def print_summary(folder: RunFolder, console: Console) -> None:
    """Prints the table of a run and what it recommends."""
    results = folder.read_json(RESULTS_FILE)
    if not isinstance(results, Mapping):
        raise StoreError(f"{folder.path / RESULTS_FILE}: is missing or torn; run the study again")
    # Nothing is cut at 80 columns: the figures keep their width, and long names take more lines.
    table = Table(box=None, pad_edge=False)
    table.add_column("method", overflow="fold")
    for title in ("test NLL", "R-1", "R-2", "R-L", "params", "epoch", "memory", "adapter"):
        table.add_column(title, justify="right", no_wrap=True)
    baselines = results["baselines"]
    for name, title in (("zero_shot", "zero-shot"), ("lead", "lead")):
        if name in baselines:
            row = baselines[name]
            shown = f"{title}-{row['k']}" if "k" in row else title
            table.add_row(shown, *_quality(row), *[""] * 4, style="dim")
    for name, row in results["methods"].items():
        scores = {k: (v or {}).get("mean") for k, v in row.items() if k.startswith("rouge")}
        seconds = (row["epoch_seconds"] or {}).get("mean")
        table.add_row(
            name,
            *_quality({"test_nll": row["test_nll"], **scores}),
            shown_count(row["trainable_parameters"]),
            _shown(seconds, "{:.1f} s"),
            shown_bytes(row["peak_memory_bytes"]),
            shown_bytes(row["adapter_bytes"]),
        )
    console.print()
    console.print(table)
    console.print()
    console.print(results["recommendation"]["why"], highlight=False)
    for name, row in results["methods"].items():
        state = row.get("state")
        if state in (RunState.FAILED, RunState.DIVERGED):
            reason = escape(row.get("reason") or "no reason is known")
            console.print(f"[yellow]{escape(name)}[/] {state.lower()}: {reason}", highlight=False)
    if results.get("status") == "partial":
        console.print("The study is not complete; the same command tries the rest again.")


def _quality(row: Mapping[str, Any]) -> list[str]:
    rouge = [_shown(row.get(key), "{:.1f}", 0.01) for key in ("rouge1", "rouge2", "rougeL")]
    return [_shown(row.get("test_nll"), "{:.4f}"), *rouge]


def _shown(value: float | None, form: str, unit: float = 1.0) -> str:
    return "–" if value is None else form.format(value / unit)


def describe_methods() -> list[dict[str, Any]]:
    """Every method as a plain mapping."""
    described = []
    for kind, (method, _) in METHODS.items():
        options = method.options_type()
        described.append(
            {
                "kind": kind,
                "title": method.title,
                "paper": method.paper,
                "parameters": method.formula,
                "default_learning_rate": method.default_learning_rate,
                "learning_rate_source": method.learning_rate_source,
                "options": {
                    f.name: {"type": str(f.type), "default": to_mapping(options)[f.name]}
                    for f in dataclasses.fields(options)
                },
            }
        )
    return described


def print_methods(console: Console) -> None:
    """Prints every method with its options and their defaults."""
    for method in describe_methods():
        console.print(f"[bold]{method['kind']}[/]: {method['title']}", highlight=False)
        lines = [
            f"{method['paper']}; parameters: {method['parameters']}",
            f"learning_rate: {method['default_learning_rate']:g}  "
            f"({method['learning_rate_source']})",
        ]
        for name, option in method["options"].items():
            lines.append(f"{name}: {json.dumps(option['default'])}  ({option['type']})")
        for line in lines:
            console.print(Padding(escape(line), (0, 0, 0, 2)), highlight=False)

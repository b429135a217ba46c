"""The terminal's last word on a study, and the list of methods."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from bakeoff.config import to_mapping
from bakeoff.errors import StoreError
from bakeoff.methods.registry import METHODS
from bakeoff.study.store import RESULTS_FILE, RunFolder


def print_summary(folder: RunFolder, console: Console) -> None:
    """Prints the table of a run and what it recommends."""
    results = folder.read_json(RESULTS_FILE)
    if not isinstance(results, Mapping):
        raise StoreError(f"{folder.path / RESULTS_FILE}: is missing or torn; run the study again")
    table = Table(box=None, pad_edge=False)
    table.add_column("method")
    for title in (
        "test NLL",
        "ROUGE-1",
        "ROUGE-2",
        "ROUGE-L",
        "parameters",
        "epoch",
        "memory",
        "adapter",
    ):
        table.add_column(title, justify="right")
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
            f"{row['trainable_parameters']:,}",
            _shown(seconds, "{:.1f} s"),
            _shown(row["peak_memory_bytes"], "{:.0f} MiB", 2**20),
            _shown(row["adapter_bytes"], "{:.2f} MB", 1e6),
        )
    console.print()
    console.print(table)
    console.print()
    console.print(results["recommendation"]["why"], highlight=False)


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
        console.print(f"  {method['paper']}; parameters: {method['parameters']}", highlight=False)
        rate = f"{method['default_learning_rate']:g}"
        console.print(f"  learning rate {rate}: {method['learning_rate_source']}", highlight=False)
        for name, option in method["options"].items():
            console.print(
                f"  {name}: {option['default']!r}  ({option['type']})",
                highlight=False,
                markup=False,
            )

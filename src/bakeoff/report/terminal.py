"""The terminal's last word on a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bakeoff.decide.choice import recommend
from bakeoff.decide.limits import Limits
from bakeoff.errors import StoreError
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.reading import RESULTS_FILE
from bakeoff.types import RunState
from bakeoff.units import shown_bytes, shown_count


def print_summary(folder: RunFolder, console: Console, limits: Limits | None = None) -> None:
    """Prints the table of a run and what it recommends, within limits where there are any."""
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
    within = limits is not None and limits.items()
    answer = recommend(results, limits) if within else results["recommendation"]
    console.print(escape(answer["why"]), highlight=False)
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

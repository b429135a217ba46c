"""``bakeoff status``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import JsonOption
from bakeoff.cli.completing import folders
from bakeoff.errors import ConfigError


def status(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", autocompletion=folders, help="A run's folder.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="A cluster of Ray, whose nodes and workers are listed: auto, host:port."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Says how a run goes: its candidates, its workers with their jobs, and what was lost."""
    if (folder is None) == (address is None):
        raise ConfigError(
            "DIR or --address: give a run's folder or a cluster's address, one of both"
        )
    console = Console()
    if address is not None:
        from bakeoff.execution.ray.listing import in_words, listed

        found = listed(address)
        if as_json:
            sys.stdout.write(json.dumps(found, indent=2) + "\n")
            return
        for node in found["nodes"]:
            console.print(escape(f"{node['host']}: {node['text']}"), highlight=False)
        for worker in found["workers"]:
            console.print(escape(in_words(worker)), highlight=False, soft_wrap=True)
        for run in found["runs"]:
            console.print(escape(f"{run['run']}:"), highlight=False, soft_wrap=True)
            for line in run["lines"] or ["its folder is not seen from here"]:
                console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
        return
    from bakeoff.runs.progress import progress_of
    from bakeoff.runs.workers import workers_in_words, workers_of

    assert folder is not None
    progress, workers = progress_of(folder), workers_of(folder)
    if as_json:
        sys.stdout.write(json.dumps({**progress, "execution": workers}, indent=2) + "\n")
        return
    console.print(f"[bold]{escape(progress['study'])}[/]: {progress['text']}", highlight=False)
    if workers is None:
        return
    age = time.time() - float(workers.get("written", 0.0))
    if age > 60.0:
        console.print(f"[yellow]note[/] the driver last wrote {age:.0f} s ago", highlight=False)
    if workers.get("study"):
        console.print(escape(str(workers["study"])), highlight=False)
    for line in workers_in_words(workers):
        console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)

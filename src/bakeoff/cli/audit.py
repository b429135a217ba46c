"""``bakeoff audit``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.completing import any_files


def audit(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE ...",
            autocompletion=any_files,
            help="Published results: PEFT's method_comparison JSON, lm-eval's results with their "
            "samples, or CSV with the columns method, seed, row and the metrics. Folders are read "
            "whole.",
        ),
    ],
    json_file: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Writes what was found as JSON; - prints it."),
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Writes it as a page.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Looks at this metric only; may be repeated."),
    ] = None,
    lower_is_better: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC", help="Less of it is better; may be repeated."),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD", help="Not trained, so that one run is enough; may be repeated."
        ),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Number of test rows, for files of accuracies that do not say it."
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(metavar="X", help="A difference that does not matter, in the metric's unit."),
    ] = None,
    level: Annotated[
        float, typer.Option(help="Confidence level of all verdicts of a ranking together.")
    ] = 0.95,
) -> None:
    """Says which rankings of published results stand, and what is missing; fetches nothing."""
    from bakeoff.audits import audit as audit_files

    found = audit_files(
        files,
        metrics=metric or (),
        lower_is_better=lower_is_better or (),
        baselines=baseline or (),
        margin=margin,
        level=level,
        rows=rows,
    )
    if json_file == "-":
        sys.stdout.write(json.dumps(found.as_mapping(), indent=2) + "\n")
    else:
        from bakeoff.cli.audit_table import print_audit

        print_audit(found, Console())
    # Written last, so that a place that cannot be written does not cost the answer.
    from bakeoff.files import disk_errors, write_bytes

    if json_file not in (None, "-"):
        place = Path(str(json_file))
        with disk_errors(place):
            write_bytes(place, (json.dumps(found.as_mapping(), indent=2) + "\n").encode())
    if html_file is not None:
        from bakeoff.audits.page import build_page

        page = build_page(found)
        with disk_errors(html_file):
            write_bytes(html_file, page.encode("utf-8", "replace"))
        Console(stderr=True).print(escape(str(html_file)), soft_wrap=True, highlight=False)

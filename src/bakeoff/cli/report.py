"""``bakeoff report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import MaxAdapterSize, MaxCost, MaxLatency, MaxMemory, MaxTime
from bakeoff.cli.completing import folders as folders_from
from bakeoff.errors import ConfigError


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR ...", autocompletion=folders_from, help="Runs' folders."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Where the page of several studies goes; by default runs/side-by-side."),
    ] = None,
    mix: Annotated[
        bool,
        typer.Option(
            "--mix", help="Shows studies that were not measured alike, without ranking them."
        ),
    ] = False,
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORMS",
            help="Writes these and no other: html, md, csv, latex, json, parquet, with commas "
            "between; by default the page, the text and their figures.",
        ),
    ] = None,
    figures: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KINDS",
            help="Writes each figure at 85 and 175 mm besides: pdf, svg, png. LaTeX brings the "
            "PDFs by itself.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="prices.KEY=VALUE",
            help="Shows costs at this price; the folder's study.yaml has those that stay.",
        ),
    ] = None,
    max_memory: MaxMemory = None,
    max_time: MaxTime = None,
    max_adapter_size: MaxAdapterSize = None,
    max_latency: MaxLatency = None,
    max_cost: MaxCost = None,
) -> None:
    """Writes a run's report again, or one page of several studies side by side.

    With limits it recommends within them; a cost that was not measured is not shown to be within.
    """
    from bakeoff.decide.limits import limits_from
    from bakeoff.decide.recommendation import shown_recommendation
    from bakeoff.report import write_report, write_side_by_side
    from bakeoff.report.load import read_priced
    from bakeoff.report.paper.formats import FIGURE_FILES, FORMATS, chosen

    limits = limits_from(
        memory=max_memory,
        time=max_time,
        adapter_size=max_adapter_size,
        latency=max_latency,
        cost=max_cost,
    )
    formats = chosen(form or [], FORMATS, "--format")
    files = chosen(figures or [], FIGURE_FILES, "--figures")
    console = Console()
    if len(folders) > 1:
        if formats or files:
            raise ConfigError(
                f"{'--format' if formats else '--figures'}: is for one study; several have one "
                "page, so give one folder, or leave it out"
            )
        page = write_side_by_side(
            folders,
            out or Path("runs/side-by-side"),
            mix=mix,
            limits=limits,
            overrides=overrides or (),
        )
        places = [page]
    elif out is not None or mix:
        raise ConfigError(
            f"{'--out' if out else '--mix'}: is for several studies; one study's report goes into "
            "its own folder"
        )
    else:
        places = [] if formats else [write_report(folders[0], limits, overrides or ())]
        if formats or files:
            from bakeoff.report.paper.writing import write_forms

            places += write_forms(folders[0], formats, files, limits, overrides or ())
        if limits.items():
            why = shown_recommendation(read_priced(folders[0], overrides or ()), limits).why
            console.print(escape(why), soft_wrap=True, highlight=False)
    for place in places:
        console.print(escape(str(place)), soft_wrap=True, highlight=False)

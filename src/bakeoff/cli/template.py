"""``bakeoff template``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.completing import study_files


def template(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|STUDY.yaml",
            autocompletion=study_files,
            help="A run's folder, or a study's file.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write, which must not be there yet; by default DIR/template.jsonl."
        ),
    ] = None,
) -> None:
    """Writes the test rows' prompts as JSON lines to be filled in by any model.

    Each line's ``prediction`` is null; filled, the file is an entrant of the same study:
    methods: {ours: {kind: external, predictions: FILE.jsonl}}.
    """
    from bakeoff.inference.template import write_template
    from bakeoff.study.loading import load_study

    target = out or (place if place.is_dir() else place.parent) / "template.jsonl"
    rows = write_template(load_study(place), target)
    Console().print(
        f"{rows} prompts: {escape(str(target))}; fill in each line's prediction, then name the "
        "file in the study: methods: {ours: {kind: external, predictions: FILE.jsonl}}",
        soft_wrap=True,
        highlight=False,
    )

"""``bakeoff predict``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bakeoff.cli.common import DeviceOption, RunArgument, TrustOption, finished_run
from bakeoff.cli.completing import any_files


def predict(
    folder: RunArgument,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE ...]",
            autocompletion=any_files,
            help="Texts, one a file, or rows (csv, tsv, json, jsonl, parquet, arrow, xlsx) with "
            "the study's input columns; - or none is the standard input.",
        ),
    ] = None,
    candidates: Annotated[
        list[str] | None,
        typer.Option(
            "--candidate",
            metavar="ID",
            help="Which candidate answers; by default the recommended method's run nearest to its "
            "mean.",
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="text, csv, tsv, json, jsonl, parquet, arrow or xlsx; auto goes by endings.",
        ),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON per row.")] = False,
    merged: Annotated[
        bool,
        typer.Option(
            "--merged", help="Merges each candidate into the base's weights while it writes."
        ),
    ] = False,
    device: DeviceOption = "auto",
    trust_remote_code: TrustOption = False,
) -> None:
    """Answers rows with candidates of a run: one line per row."""
    from bakeoff.api import predictions
    from bakeoff.inference.predict import as_line, read_input

    run = finished_run(folder, device, trust=trust_remote_code)
    ids = run.named([*candidates] if candidates else [None])
    run = run.of(ids)
    inputs = read_input(run, files or [], form, sys.stdin.buffer)
    for prediction in predictions(run, inputs, ids, merged=merged):
        sys.stdout.write(as_line(prediction, as_json=as_json, with_id=len(ids) > 1))
        sys.stdout.flush()

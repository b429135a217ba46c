"""``bakeoff plan``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bakeoff.cli.common import DeviceOption, JsonOption, SeedsOption, SetOption, StudyArgument


def plan(
    study: StudyArgument = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    device: DeviceOption = "auto",
    gpu: Annotated[
        str | None,
        typer.Option(metavar="CARD", help="Plans for a card that is not here: T4, A100-40GB, ..."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="An earlier run whose scores show how this study's will vary; without it the "
            "study's own folder, or what is typical.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Simulates the schedule on so many workers, each with such a device; on a "
            "processor all of them share this machine's cores.",
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(min=0.0, help="Price of one worker for an hour; says what --workers cost."),
    ] = None,
    loss_rate: Annotated[
        float,
        typer.Option(
            "--loss-rate", min=0.0, help="How often an hour one of --workers is lost, as 0.05."
        ),
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Says what a study will cost, whether it fits, and which differences it can find.

    Trains nothing.
    """
    from bakeoff.api import Study
    from bakeoff.api import plan as plan_of

    loaded = Study.load(study, overrides or [], seeds=seeds)
    with Console(stderr=True).status("planning") as status:
        found = plan_of(
            loaded,
            device=device,
            gpu=gpu,
            report=lambda text: status.update(f"planning: {text}"),
            like=like,
            workers=workers,
            price=price,
            loss_rate=loss_rate,
        )
    if as_json:
        sys.stdout.write(json.dumps(found.as_mapping(), indent=2) + "\n")
    else:
        # Heavy, as their types are.
        from bakeoff.cli.plan_table import print_crossed, print_plan
        from bakeoff.study.crossed_plan import CrossedPlan

        if isinstance(found, CrossedPlan):
            print_crossed(found, Console())
        else:
            print_plan(found, Console())

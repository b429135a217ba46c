"""``bakeoff plan``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bakeoff.cli.common import DeviceOption, JsonOption, SetOption, StudyArgument


def plan(
    study: StudyArgument = None,
    overrides: SetOption = None,
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
    as_json: JsonOption = False,
) -> None:
    """Says what a study will cost, whether it fits, and which differences it can find.

    Trains nothing.
    """
    from bakeoff.study.options import load_study

    loaded = load_study(study, overrides or [])
    # Heavy, so loaded only once the study is known to be a good one.
    from bakeoff.cli.plan_table import print_plan
    from bakeoff.measure.cards import card_named
    from bakeoff.study.planning import plan_study

    card = None if gpu is None else card_named(gpu)
    with Console(stderr=True).status("planning") as status:
        found = plan_study(
            loaded,
            device,
            card,
            lambda text: status.update(f"planning: {text}"),
            like=like,
            folder=Path("runs") / loaded.options.name,
        )
    if as_json:
        sys.stdout.write(json.dumps(found.as_mapping(), indent=2) + "\n")
    else:
        print_plan(found, Console())

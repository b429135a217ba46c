"""``bakeoff plan``."""

from __future__ import annotations

import json
import sys
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
    as_json: JsonOption = False,
) -> None:
    """Says what each method of a study will cost, and whether it fits; trains nothing."""
    from bakeoff.study.options import load_study

    loaded = load_study(study, overrides or [], seeds=seeds)
    # Heavy, so loaded only once the study is known to be a good one.
    from bakeoff.cli.plan_table import print_plan
    from bakeoff.measure.cards import card_named
    from bakeoff.study.planning import plan_study

    card = None if gpu is None else card_named(gpu)
    with Console(stderr=True).status("planning") as status:
        found = plan_study(loaded, device, card, lambda text: status.update(f"planning: {text}"))
    if as_json:
        sys.stdout.write(json.dumps(found.as_mapping(), indent=2) + "\n")
    else:
        print_plan(found, Console())

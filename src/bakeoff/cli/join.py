"""``bakeoff join``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bakeoff.cli.common import DeviceOption
from bakeoff.cli.completing import folders as folders_from


def join(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR ...",
            autocompletion=folders_from,
            help="The folders that `bakeoff run --shard` left.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder of the whole.")],
    device: DeviceOption = "auto",
    mix_versions: Annotated[
        bool,
        typer.Option(
            "--mix-versions",
            help="Joins into a folder that other versions of bakeoff or its libraries began.",
        ),
    ] = False,
) -> None:
    """Makes one folder of a study's shards, as one run would have left it.

    What every shard has trained is taken, the search decides its next round where one is due, what
    follows the training is made here, and what no shard has run is left to `bakeoff run`.
    """
    console = Console()
    from bakeoff.api import RunSettings, Study
    from bakeoff.cli.run import run_in
    from bakeoff.study.sharding import Joining, check_shards

    study = check_shards(folders)
    settings = RunSettings(
        device=device, mix_versions=mix_versions, elsewhere=Joining([*map(Path, folders)])
    )
    run_in(Study.load(study.parent), out, console, settings)

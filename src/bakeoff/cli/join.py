"""``bakeoff join``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bakeoff.cli.common import DeviceOption, SetOption
from bakeoff.cli.completing import folders as folders_from
from bakeoff.errors import BakeoffError


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
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    mix_versions: Annotated[
        bool,
        typer.Option(
            "--mix-versions",
            help="Joins into a folder that other versions of bakeoff or its libraries began.",
        ),
    ] = False,
    mixed_devices: Annotated[
        bool,
        typer.Option(
            "--mixed-devices",
            help="Joins shards of different devices, whose sums round differently.",
        ),
    ] = False,
) -> None:
    """Makes one folder of a study's shards, as one run would have left it.

    What every shard has trained is taken, the search decides its next round where one is due, what
    follows the training is made here, and what no shard has run is left to `bakeoff run`. Base and
    data are looked for where the first shard had them; --set says where they are here.
    """
    console = Console()
    from bakeoff.api import RunSettings, Study
    from bakeoff.cli.run import run_in
    from bakeoff.study.sharding import Joining, check_moved, check_shards

    found = check_shards(folders, out, mixed_devices=mixed_devices)
    study = Study.load(found.parent, overrides or [])
    if overrides:
        check_moved(study.at(found.parent).resolved, found.parent)
    settings = RunSettings(
        device=device, mix_versions=mix_versions, elsewhere=Joining([*map(Path, folders)])
    )
    is_new = not out.exists()
    try:
        run_in(study, out, console, settings)
    except BakeoffError:
        if is_new:
            with suppress(OSError):  # it holds something
                out.rmdir()
        raise

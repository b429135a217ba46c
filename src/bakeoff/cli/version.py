"""``bakeoff version``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bakeoff.version import __version__


def version() -> None:
    """Prints the version."""
    sys.stdout.write(f"{__version__}\n")


def _printed(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


def start(
    asked: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_printed, help="Prints the version."),
    ] = False,
) -> None:
    """Options of ``bakeoff`` itself."""

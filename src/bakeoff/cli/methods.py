"""``bakeoff methods``."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from bakeoff.cli.common import JsonOption


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One method; by default all of them.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Lists the methods with their options and defaults."""
    from bakeoff.cli.catalogue import describe_methods, print_methods
    from bakeoff.methods.registry import method_specs, spec_of

    faults: dict[str, str] = {}
    if name is None:
        specs, faults = method_specs()
        chosen = list(specs.values())
    else:
        chosen = [spec_of(name, where="bakeoff methods")]
    for fault in faults.values():
        sys.stderr.write(f"note: {fault}\n")
    if as_json:
        sys.stdout.write(json.dumps(describe_methods(chosen), indent=2) + "\n")
    else:
        print_methods(Console(), chosen, with_families=name is not None)

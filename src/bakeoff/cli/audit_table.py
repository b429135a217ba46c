"""An audit on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from bakeoff.audits import wording
from bakeoff.audits.findings import Audit, RankingFinding, RepeatFinding
from bakeoff.tables import fits, print_table

_MOST_METHODS = 10
_MOST_LEFT_OUT = 5


def print_audit(audit: Audit, console: Console) -> None:
    """Prints what stands of each ranking, what repeats say, and what is missing."""
    for ranking in audit.rankings:
        _print_ranking(ranking, console)
    for repeat in audit.repeats:
        _print_repeat(repeat, console)
    for ranking in audit.together:
        _print_ranking(ranking, console)
    console.print("[bold]What this rests on[/]")
    for text in wording.rests_on(audit):
        _say(console, text)
    missing = wording.not_published(audit)
    if missing:
        console.print("[bold]What was not published[/]")
        for text in missing:
            _say(console, text)
    for one in audit.left_out[:_MOST_LEFT_OUT]:
        text = f"{one.place}: {one.reason}"
        console.print(f"[yellow]left out[/] {escape(text)}", highlight=False)
    more = len(audit.left_out) - _MOST_LEFT_OUT
    if more > 0:
        console.print(f"[yellow]left out[/] {more} more, which --json names", highlight=False)


def _print_ranking(found: RankingFinding, console: Console) -> None:
    title, head = escape(found.name), escape(wording.headline(found))
    console.print(f"[bold]{title}[/]: {head}", highlight=False)
    _say(console, wording.verdict(found))
    _print_methods(found, console)
    for text in (
        wording.pair_sentence(found) if found.pairs else None,
        wording.power_sentence(found),
        *found.warnings,
        *found.unlike,
    ):
        if text is not None:
            _say(console, text)
    console.print()


def _print_methods(found: RankingFinding, console: Console) -> None:
    write = wording.scale(found.is_share).write
    table = Table(box=None, pad_edge=False)
    table.add_column("place", justify="right")
    table.add_column("method", overflow="fold")
    for title in ("value", "interval", "may be place"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in found.methods[:_MOST_METHODS]:
        is_known = one.high - one.low < float("inf")
        table.add_row(
            str(one.place),
            escape(one.method) + (" [dim](worse)[/]" if one.standing == "separable" else ""),
            write(one.value),
            f"{write(one.low)} to {write(one.high)}" if is_known else "",
            f"{one.first_place} to {one.last_place}",
        )
    if fits(table, console, names=1):
        console.print(Padding(table, (0, 0, 0, 2)), highlight=False)
    else:
        print_table(table, console, names=1)
    more = len(found.methods) - _MOST_METHODS
    if more > 0:
        _say(console, f"... and {more} more, which --json and --html name")


def _print_repeat(found: RepeatFinding, console: Console) -> None:
    title = escape(f"{found.second} repeats {found.first}")
    console.print(f"[bold]{title}[/]: {escape(found.metric)}", highlight=False)
    for text in (
        wording.change_sentence(found),
        wording.run_sentence(found),
        wording.swap_sentence(found),
        wording.circumstance_sentence(found),
    ):
        if text is not None:
            _say(console, text)
    console.print()


def _say(console: Console, text: str) -> None:
    console.print(Padding(escape(text), (0, 0, 0, 2)), highlight=False)

"""``bakeoff init``."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import BaseOption, KindOption, MethodsOption, named_methods
from bakeoff.cli.completing import any_files


def init(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            autocompletion=any_files,
            help="Files (csv, tsv, tab, json, jsonl, ndjson or txt, each also .gz or .zst; "
            "parquet, arrow or xlsx), which are one table; or a folder with files for each of "
            "train, validation and test; or - for rows that are piped in.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the study goes.")] = Path(
        "study.yaml"
    ),
    base: BaseOption = None,
    kind: KindOption = None,
    methods: MethodsOption = None,
) -> None:
    """Looks at data and writes a study of them, with comments, ready to run.

    It says what it takes the columns for, and why; nothing is trained.
    """
    from bakeoff.api.starting import check_new, data_of, draft_of, write_study

    check_new(out)
    console = Console()
    given = data_of(data)
    with Console(stderr=True).status("looking") as status:
        draft = draft_of(
            given,
            base=base,
            kind=kind,
            methods=named_methods(methods),
            report=lambda text: status.update(text),
        )
    command = write_study(draft, out)
    print_guess(draft, console)
    console.print(f"\nWritten: [bold]{escape(str(out))}[/]", soft_wrap=True, highlight=False)
    console.print(f"Next: {escape(command)}", soft_wrap=True, highlight=False)


def print_guess(draft: object, console: Console) -> None:
    """Prints what was guessed and why; what goes on below is indented."""
    from bakeoff.first_contact.drafting import Draft
    from bakeoff.first_contact.writing import shown

    assert isinstance(draft, Draft)
    for line in shown(draft):
        indent = " " * (len(line) - len(line.lstrip()))
        first, *rest = textwrap.wrap(
            line, console.width, subsequent_indent=f"{indent}  ", break_on_hyphens=False
        )
        head, colon, after = first.partition(": ")
        console.print(f"[bold]{escape(head)}[/]{colon}{escape(after)}", highlight=False)
        for text in rest:
            console.print(escape(text), highlight=False)

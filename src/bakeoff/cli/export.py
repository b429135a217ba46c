"""``bakeoff export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import RunArgument


def export(
    folder: RunArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORM",
            help="peft: files for PeftModel.from_pretrained; merged: an ordinary Transformers "
            "checkpoint.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="A folder that does not exist yet.")],
    candidate: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Which; of the recommended method the run nearest the mean without."
        ),
    ] = None,
) -> None:
    """Writes a candidate's adapter, or its merged model, for other libraries.

    Beside it: the tokenizer, what an answer is asked with, and a model card.
    """
    from bakeoff.inference.export import Target, export_candidate, target_of
    from bakeoff.inference.finished import FinishedRun
    from bakeoff.inference.naming import named_base

    target = target_of(to)
    run = FinishedRun(folder, "cpu")
    kept = export_candidate(run, candidate, target, out)
    score = run.score_of(kept.id)
    beside = f" ({escape(score)})" if score else ""
    Console().print(
        f"{escape(kept.id)} ({target.value}): {escape(str(out))}{beside}",
        soft_wrap=True,
        highlight=False,
    )
    caution = named_base(run, out).caution
    if caution and target is Target.PEFT:
        Console(stderr=True).print(escape(caution), soft_wrap=True, highlight=False)

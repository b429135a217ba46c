"""``bakeoff export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import RunArgument
from bakeoff.errors import ConfigError


def export(
    folder: RunArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORM",
            help="peft: files for PeftModel.from_pretrained; merged: an ordinary Transformers "
            "checkpoint; lora: a LoRA for vLLM and others, made of whatever the method changes; "
            "gguf-lora: the same for llama.cpp.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="A folder that does not exist yet.")],
    candidate: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Which; of the recommended method the run nearest the mean without."
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(help="Of a LoRA; the smallest that loses nothing, at most 64, without."),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(help="Of merged: float32 or bfloat16, whose loss is measured."),
    ] = "float32",
) -> None:
    """Writes a candidate's adapter, or its merged model, for other libraries.

    Beside it: the tokenizer, what an answer is asked with, and a model card. Where a conversion
    loses anything, it is measured on the study's validation rows.
    """
    import torch

    from bakeoff.inference.export import Target, export_candidate, target_of
    from bakeoff.inference.finished import FinishedRun
    from bakeoff.inference.naming import named_base

    target = target_of(to)
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if precision not in formats:
        raise ConfigError(f"--precision: {precision!r} is none of {' and '.join(formats)}")
    run = FinishedRun(folder, "cpu")
    notes: list[str] = []
    kept = export_candidate(
        run,
        candidate,
        target,
        out,
        rank=rank,
        precision=formats[precision],
        note=notes.append,
    )
    score = run.score_of(kept.id)
    beside = f" ({escape(score)})" if score else ""
    Console().print(
        f"{escape(kept.id)} ({target.value}): {escape(str(out))}{beside}",
        soft_wrap=True,
        highlight=False,
    )
    for note in notes:
        Console().print(escape(note), soft_wrap=True, highlight=False)
    caution = named_base(run, out).caution
    if caution and target is not Target.MERGED:
        Console(stderr=True).print(escape(caution), soft_wrap=True, highlight=False)

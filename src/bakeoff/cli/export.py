"""``bakeoff export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import RunArgument, TrustOption, finished_run
from bakeoff.errors import ConfigError


def export(
    folder: RunArgument,
    out: Annotated[Path, typer.Option(help="A folder that does not exist yet.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORM",
            help="peft: files for PeftModel.from_pretrained; merged: an ordinary Transformers "
            "checkpoint; lora: a LoRA for vLLM and others, made of whatever the method changes; "
            "gguf-lora: the same for llama.cpp.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="TOOL",
            help="Instead of --to: the winner's run to be trained by trl, axolotl, llamafactory or "
            "peft.",
        ),
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Which candidate; by default the recommended method's run nearest to its mean.",
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            help="The rank of a LoRA; by default the smallest that loses nothing, at most 64."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="For --to merged: bfloat16, of which the loss is measured; by default float32."
        ),
    ] = None,
    trust_remote_code: TrustOption = False,
) -> None:
    """Writes a candidate's adapter, its merged model, or its training for other libraries.

    Beside the former: the tokenizer, what an answer is asked with, and a model card. Where a
    conversion loses anything, it is measured on the study's validation rows. A recipe has the rows,
    the settings and a script or a configuration; without a recommendation it is of the method that
    is the best on validation, and says so.
    """
    if (to is None) == (recipe is None):
        given = "nothing" if to is None else "--to and --recipe"
        raise ConfigError(
            f"bakeoff export: {given} says what is written; give one of --to peft, merged, lora or "
            "gguf-lora and --recipe trl, axolotl, llamafactory or peft"
        )
    if recipe is not None:
        from bakeoff.inference.recipes.writing import export_recipe, recipe_of

        tool = recipe_of(recipe)
        _refuse_with_recipe(tool.value, rank, precision)
        winner = export_recipe(finished_run(folder, trust=trust_remote_code), candidate, tool, out)
        _say(f"{winner.id} ({tool.value}): {out}. {winner.why}")
        return
    import torch

    from bakeoff.inference.export import Target, export_candidate, target_of
    from bakeoff.inference.naming import named_base

    target = target_of(to or "")
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    precision = precision or "float32"
    if precision not in formats:
        raise ConfigError(f"--precision: {precision!r} is none of {' and '.join(formats)}")
    run = finished_run(folder, trust=trust_remote_code)
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
    beside = f" ({score})" if score else ""
    _say(f"{kept.id} ({target.value}): {out}{beside}")
    for note in notes:
        _say(note)
    caution = named_base(run.of([kept.id]), out).caution
    if caution and target is not Target.MERGED:
        Console(stderr=True).print(escape(caution), soft_wrap=True, highlight=False)


def _refuse_with_recipe(tool: str, rank: int | None, precision: str | None) -> None:
    """Refuses what only conversions have, as a recipe would leave it out in silence.

    Raises:
        ConfigError: for either that was given.
    """
    given = (("--rank", rank, "lora or gguf-lora"), ("--precision", precision, "merged"))
    for option, value, targets in given:
        if value is not None:
            raise ConfigError(
                f"{option} {value}: has no effect with --recipe {tool}, which trains the winner "
                f"with the study's own settings; leave it out, or give --to {targets}"
            )


def _say(text: str) -> None:
    Console().print(escape(text), soft_wrap=True, highlight=False)

"""Writes a winner's run for another trainer: ``bakeoff export --recipe``."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any, Final

from torch import nn
from transformers.pytorch_utils import Conv1D

from bakeoff.base.checkpoint import write_checkpoint
from bakeoff.base.choice import THE_BASE
from bakeoff.base.model import Base
from bakeoff.base.quantized.models import linear_modules
from bakeoff.config import dump_yaml
from bakeoff.errors import ConfigError, StoreError
from bakeoff.files import disk_errors, new_folder
from bakeoff.formatting import shown_rate
from bakeoff.inference.finished import FinishedRun
from bakeoff.inference.naming import BASE_FOLDER, BaseName, named_base
from bakeoff.inference.recipes.configs import EPS, axolotl_config, llamafactory_config
from bakeoff.inference.recipes.rows import text_rows, token_rows, write_lines
from bakeoff.inference.recipes.winner import Winner, winner_of
from bakeoff.methods.specs.contract import FileFormat
from bakeoff.study.opening import load_base

_SCRIPTS: Final = "bakeoff.inference.recipes.scripts"
START: Final = "start"
TOKENIZER: Final = "tokenizer"


class Recipe(StrEnum):
    """For whom a run is written."""

    TRL = "trl"
    AXOLOTL = "axolotl"
    LLAMAFACTORY = "llamafactory"
    PEFT = "peft"


_COMMANDS: Final = {
    Recipe.TRL: "pip install trl peft\npython train.py",
    Recipe.PEFT: "pip install peft transformers\npython train.py",
    Recipe.AXOLOTL: "pip install axolotl\naxolotl train config.yaml",
    Recipe.LLAMAFACTORY: "pip install llamafactory\nllamafactory-cli train train.yaml",
}
_DIFFERS: Final = {
    Recipe.TRL: "Rows, their order, the start, optimizer and schedule are the run's own, so that "
    "losses follow it up to rounding.",
    Recipe.PEFT: "Rows, their order, the start, optimizer and schedule are the run's own, so that "
    "losses follow it up to rounding.",
    Recipe.AXOLOTL: "Tokens and labels are the run's own. The start and the order of rows are "
    "drawn by Axolotl, and it exempts biases and norms from weight decay.",
    Recipe.LLAMAFACTORY: "Rows are texts, tokenised by LLaMA-Factory under its template empty. The "
    "start and the order of rows are drawn there, and biases and norms are exempt from weight "
    "decay.",
}


def recipe_of(name: str) -> Recipe:
    """The command line's word for a recipe.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name not in list(Recipe):
        raise ConfigError(f"--recipe: {name!r} is not a recipe; give one of {', '.join(Recipe)}")
    return Recipe(name)


def export_recipe(run: FinishedRun, candidate_id: str | None, recipe: Recipe, out: Path) -> Winner:
    """Writes the winner's run for another trainer.

    Args:
        run: the study's. candidate_id: another candidate's; None takes the recommended method's,
            or the best on validation. recipe: for whom.
        out: a folder that does not exist; it appears whole or not at all.

    Raises:
        ConfigError: the trainer has no settings for this run.
        StoreError: if ``out`` exists, or cannot be written.
    """
    if out.exists() or out.is_symlink():
        raise StoreError(f"{out}: exists already, and nothing is overwritten; name a new folder")
    winner = winner_of(run, candidate_id)
    run = run.of([winner.id])
    base = named_base(run, out)
    name = BASE_FOLDER if base.beside else base.path
    writers: dict[Recipe, Callable[[Path], None]] = {
        Recipe.TRL: lambda folder: _script(winner, name, base, folder, "train_trl.py"),
        Recipe.PEFT: lambda folder: _script(winner, name, base, folder, "train_peft.py"),
        Recipe.AXOLOTL: lambda folder: _axolotl(winner, name, base, folder),
        Recipe.LLAMAFACTORY: lambda folder: _llamafactory(winner, name, base, folder),
    }
    _check_files(winner, recipe)
    with disk_errors(out), new_folder(out, existing="refuse") as beside:
        writers[recipe](beside)
        winner.base.tokenizer.save_pretrained(str(beside / TOKENIZER))
        if base.beside:
            write_checkpoint(_as_it_is(run, winner), {}, beside / BASE_FOLDER)
        (beside / "README.md").write_text(_readme(run, winner, recipe, base), encoding="utf-8")
    return winner


def _check_files(winner: Winner, recipe: Recipe) -> None:
    """Raises ConfigError where the start cannot be handed on in PEFT's files."""
    if recipe not in (Recipe.TRL, Recipe.PEFT):
        return
    kind = winner.method.kind
    if winner.method.file_format is FileFormat.PEFT:
        if getattr(winner.method.options, "init", None) == "pissa":
            raise ConfigError(
                f"--recipe {recipe}: {winner.id} starts from the base's principal parts, whose "
                "start PEFT's files do not hold; name another candidate"
            )
        return
    if kind == "full" and recipe is Recipe.TRL:
        return
    raise ConfigError(
        f"--recipe {recipe}: {winner.id} is trained by {kind}, which is not in PEFT's files, so "
        f"that {recipe} cannot train it; name another candidate with --candidate"
    )


def _script(winner: Winner, name: str, base: BaseName, folder: Path, script: str) -> None:
    source = resources.files(_SCRIPTS).joinpath(script).read_text(encoding="utf-8")
    (folder / "train.py").write_text(source, encoding="utf-8")
    write_lines(folder / "train.jsonl", token_rows(winner.train))
    write_lines(folder / "validation.jsonl", token_rows(winner.validation))
    (folder / "steps.json").write_text(json.dumps(winner.steps) + "\n", encoding="utf-8")
    protocol = winner.protocol
    is_full = winner.method.kind == "full"
    run = {
        "candidate": winner.id,
        "base": name,
        "base_is_beside": base.beside,
        "revision": base.revision,
        # A base that is trained itself is held in float32.
        "dtype": "float32" if is_full else str(winner.base.compute_dtype).removeprefix("torch."),
        "quantization": winner.base.quantization,
        "not_quantized": _not_quantized(winner),
        "pad_id": int(winner.base.tokenizer.pad_token_id),
        "seed": winner.record.seed,
        "learning_rate": winner.record.rate,
        "loraplus_lr_ratio": winner.method.rate_ratio,
        "schedule": protocol.schedule,
        "updates": winner.updates,
        "schedule_updates": winner.schedule_updates,
        "warmup_ratio": protocol.warmup_ratio,
        "betas": list(protocol.betas),
        "optimizer_states": protocol.optimizer_states,
        "eps": EPS,
        "weight_decay": protocol.decay_of(winner.method.spec.weight_decay),
        "max_grad_norm": protocol.max_grad_norm,
        "micro_batch_size": protocol.micro_batch_size,
        "grad_accum_steps": protocol.grad_accum_steps,
    }
    (folder / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    if not is_full:
        winner.method.save(winner.start(), folder / START)


def _as_it_is(run: FinishedRun, winner: Winner) -> Base:
    """The base before it is quantized, which the trainer does by itself."""
    if winner.base.quantization == "none":
        return winner.base
    return load_base(run.study, run.device, choice=THE_BASE)


def _not_quantized(winner: Winner) -> list[str]:
    """Names of linear layers, such as the head, that stay as they are in a quantized base."""
    if winner.base.quantization == "none":
        return []
    model = winner.base.source.model
    meant = linear_modules(model)
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and name not in meant
    ]


def _axolotl(winner: Winner, name: str, base: BaseName, folder: Path) -> None:
    config = axolotl_config(winner, name, base.revision)
    (folder / "config.yaml").write_text(dump_yaml(config), encoding="utf-8")
    write_lines(folder / "train.jsonl", token_rows(winner.train))
    write_lines(folder / "validation.jsonl", token_rows(winner.validation))


def _llamafactory(winner: Winner, name: str, base: BaseName, folder: Path) -> None:
    config = llamafactory_config(winner, name, base.revision)
    (folder / "train.yaml").write_text(dump_yaml(config), encoding="utf-8")
    info: dict[str, Any] = {}
    for split, part in (("train", winner.train), ("validation", winner.validation)):
        write_lines(folder / f"{split}.jsonl", text_rows(part, winner.base.tokenizer))
        info[f"bakeoff_{split}"] = {
            "file_name": f"{split}.jsonl",
            "columns": {"prompt": "prompt", "response": "completion"},
        }
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


def _command(recipe: Recipe, winner: Winner) -> str:
    """What installs the trainer and starts it."""
    install, start = _COMMANDS[recipe].split("\n")
    needed = winner.base.quantization != "none" or winner.protocol.optimizer_states == "8bit"
    return f"{install}{' bitsandbytes' if needed else ''}\n{start}"


def _readme(run: FinishedRun, winner: Winner, recipe: Recipe, base: BaseName) -> str:
    protocol = winner.protocol
    facts = {
        "run": winner.id,
        "method": f"{winner.method.kind} ({winner.method.title})",
        "learning rate": shown_rate(winner.record.rate),
        "rows of an update": f"{protocol.rows_per_step} "
        f"({protocol.micro_batch_size} × {protocol.grad_accum_steps})",
        "updates": f"{winner.updates:,}, to the epoch that was kept, of "
        f"{winner.schedule_updates:,} that the learning rate is laid over",
        "training rows": f"{len(winner.train):,}",
        "precision": str(winner.base.compute_dtype).removeprefix("torch."),
        "base held in": winner.base.quantization,
    }
    if winner.base.quantization == "none":
        del facts["base held in"]
    lines = [
        f"# {run.study.options.name}: the winner's run for {recipe}",
        "",
        winner.why,
        "",
        "```",
        _command(recipe, winner),
        "```",
        "",
        _DIFFERS[recipe],
        *(["", base.caution] if base.caution else []),
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {key} | {value} |" for key, value in facts.items()),
        "",
    ]
    return "\n".join(lines)

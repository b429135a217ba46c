"""A candidate leaves its run's folder: as PEFT's files, as a LoRA, or merged into a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import torch

from bakeoff.base.checkpoint import write_checkpoint
from bakeoff.config import to_mapping
from bakeoff.decide.representative import best_validation
from bakeoff.errors import ConfigError, StoreError
from bakeoff.files import disk_errors, new_folder
from bakeoff.formatting import join
from bakeoff.inference.card import TASK_FILE, Card, card_text
from bakeoff.inference.drift import validation_of
from bakeoff.inference.finished import FinishedRun, Kept
from bakeoff.inference.gguf_lora import check_architecture, write_gguf_lora
from bakeoff.inference.merging import MERGE_FILE, MERGED_FORMAT, merge_content
from bakeoff.inference.naming import BASE_FOLDER, BaseName, base_license, named_base
from bakeoff.inference.to_lora import can_be_lora, to_lora
from bakeoff.methods.files import PEFT_CONFIG, write_json
from bakeoff.methods.specs.contract import FileFormat
from bakeoff.version import __version__

Note = Callable[[str], None]
CONVERSION_FILE: Final = "bakeoff_conversion.json"
"""What an export that is no mere copy left out, and what that costs."""
_CHAT_TEMPLATE: Final = "chat_template.jinja"
"""Where Transformers' tokenizers look for one."""
_OF_DATA: Final = ("source", "metrics", "select_by", "on_bad_row", "allow_overlap")
"""Options of a task that say nothing of how an answer is asked for, and may name local files."""


class Target(StrEnum):
    """What an export can be."""

    PEFT = "peft"
    MERGED = "merged"
    LORA = "lora"
    GGUF_LORA = "gguf-lora"

    @property
    def is_whole(self) -> bool:
        """Whether it is a model that needs no base."""
        return self is Target.MERGED

    @property
    def is_converted(self) -> bool:
        """Whether it is a LoRA that is made of whatever the method changes."""
        return self in (Target.LORA, Target.GGUF_LORA)


def target_of(name: str) -> Target:
    """The command line's word for a target.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name not in list(Target):
        raise ConfigError(
            f"--to: {name!r} is not a form of export; give {join(list(Target), 'or')}"
        )
    return Target(name)


def export_candidate(
    run: FinishedRun,
    candidate_id: str | None,
    to: Target,
    out: Path,
    *,
    rank: int | None = None,
    precision: torch.dtype = torch.float32,
    note: Note = lambda _: None,
    named: Callable[[BaseName], BaseName] = lambda base: base,
) -> Kept:
    """Writes one candidate for other libraries.

    Args:
        run: the run.
        candidate_id: None takes the run of the recommended method that is nearest the mean of its
            runs on validation. Where none is recommended, ``lora`` and ``gguf-lora`` take the best
            on validation, and say so.
        to: ``peft`` loads with ``PeftModel.from_pretrained``, ``merged`` with
            ``AutoModelForCausalLM.from_pretrained``; ``lora`` is a LoRA in PEFT's files made of
            whatever the method changes, ``gguf-lora`` the same for llama.cpp.
        out: a folder that does not exist; it appears whole or not at all.
        rank: of a LoRA that is made; None takes the smallest that loses nothing, at most 64.
        precision: of a merged model's weights.
        note: called with sentences on what was chosen and lost.
        named: changes how an adapter names its base, as where it is to leave this machine.

    Returns:
        The candidate that was exported.

    Raises:
        ConfigError: if there is no such candidate, or its method has no such form.
        StoreError: if ``out`` exists, or cannot be written.
        CheckpointError: if the candidate's adapter is not whole.
    """
    if out.exists() or out.is_symlink():
        raise StoreError(f"{out}: exists already, and nothing is overwritten; name a new folder")
    _check_settings(to, rank, precision)
    if candidate_id is None and to.is_converted:
        candidate_id = _chosen(run, note)
    kept = run.candidate(candidate_id)
    run = run.of([kept.id])
    if to is Target.GGUF_LORA:
        check_architecture(run.base)
    base = named_base(run, out)
    if not to.is_whole:
        base = named(base)
    write = _writer(run, kept, to, rank, precision, note)
    with disk_errors(out), new_folder(out, existing="refuse") as beside:
        write(beside)
        if to.is_whole and kept.method.base.quantization != "none":
            write_json(merge_content(run, kept, beside), beside / MERGE_FILE)
        adapter = _name_base(run, base, beside) if not to.is_whole else {}
        run.base.tokenizer.save_pretrained(str(beside))
        if run.task.chat is not None:
            # Who loads it must lay conversations out as they were learnt.
            (beside / _CHAT_TEMPLATE).write_text(run.task.chat.text, encoding="utf-8")
        write_json(task_content(run), beside / TASK_FILE)
        card = Card(
            run=run,
            kept=kept,
            is_merged=to.is_whole,
            base=base,
            license=base_license(run),
            adapter=adapter,
            folder=out.name,
            conversion=_conversion(beside),
        )
        # Over what libraries may have put there.
        (beside / "README.md").write_text(card_text(card), encoding="utf-8")
    return kept


def _check_settings(to: Target, rank: int | None, precision: torch.dtype) -> None:
    if rank is not None and not to.is_converted:
        raise ConfigError(f"--rank has no effect with --to {to}; it is of lora and gguf-lora")
    if rank is not None and rank < 1:
        raise ConfigError(f"--rank: {rank} is below 1; give 1 or more")
    if precision != torch.float32 and not to.is_whole:
        raise ConfigError(f"--precision has no effect with --to {to}; it is of merged")


def _chosen(run: FinishedRun, note: Note) -> str | None:
    """The recommended method's; the best on validation where there is none, which is said."""
    if run.results.recommendation.method is not None:
        return None
    kept = run.kept
    ordered = sorted(kept, key=lambda name: (best_validation(run.results.candidates[name]), name))
    best = next((name for name in ordered if can_be_lora(run.candidate(name))), None)
    if best is None:
        return None
    note(
        f"The study recommends no method ({run.results.recommendation.verdict}), so this is the "
        f"one with the lowest NLL on validation that can be a LoRA, {best}; that alone makes none "
        "the best."
    )
    return best


def _writer(
    run: FinishedRun,
    kept: Kept,
    to: Target,
    rank: int | None,
    precision: torch.dtype,
    note: Note,
) -> Callable[[Path], None]:
    if to is Target.PEFT:
        return _as_peft(kept)
    if to is Target.MERGED:
        return _merged(run, kept, precision, note)
    return _as_lora(run, kept, to, rank, note)


def task_content(run: FinishedRun) -> dict[str, Any]:
    """``bakeoff_task.json``: all that an answer depends on besides the weights."""
    task = run.task
    options = to_mapping(task.options)
    return {
        "bakeoff": __version__,
        "kind": task.kind,
        "template": options.get("template"),
        "chat_template": None if task.chat is None else _CHAT_TEMPLATE,
        "input_columns": dict(task.input_keys),
        "labels": list(task.labels),
        "max_length": task.max_length,
        "stop_tokens": list(task.stop_tokens),
        "generation": to_mapping(run.study.options.generation),
        "options": {key: value for key, value in options.items() if key not in _OF_DATA},
    }


def _name_base(run: FinishedRun, base: BaseName, folder: Path) -> dict[str, Any]:
    """Names the base in PEFT's file as others find it, which it returns; writes it if it must."""
    path = folder / PEFT_CONFIG
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.path}
    if base.revision is not None:
        config["revision"] = base.revision
    write_json(config, path)
    if base.beside:
        write_checkpoint(run.base, {}, folder / BASE_FOLDER)
    return config


def _conversion(folder: Path) -> dict[str, Any]:
    """What was written on a conversion; nothing where the export is a mere copy."""
    path = folder / CONVERSION_FILE
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _as_peft(kept: Kept) -> Callable[[Path], None]:
    method = kept.method
    if method.file_format is not FileFormat.PEFT:
        other = "; --to merged works" if method.is_mergeable() else ""
        raise ConfigError(
            f"--to peft: PEFT has no files for {method.kind}; the adapter, in files of "
            f"{method.file_format.value}, is in {kept.adapter}{other}"
        )
    # Read first, so that an adapter that is not whole is never handed on.
    tensors = kept.load()
    return lambda folder: method.write(tensors, folder)


def _merged(
    run: FinishedRun, kept: Kept, precision: torch.dtype, note: Note
) -> Callable[[Path], None]:
    base = kept.method.base
    tensors = kept.load()
    weights = kept.method.merged_weights(tensors)
    if base.quantization != "none":
        # What was packed has no more than 16 bits' worth in it; ``MERGE_FILE`` says what it loses.
        return lambda folder: write_checkpoint(base, weights, folder, dtype=MERGED_FORMAT)
    if precision == torch.float32:
        return lambda folder: write_checkpoint(base, weights, folder)
    validation = validation_of(run, base)
    content: dict[str, Any] = {"from": kept.id, "to": str(Target.MERGED), "dtype": str(precision)}
    if isinstance(validation, str):
        note(f"What {precision} loses is not measured: {validation}.")
    else:
        after = validation.nll_merged(weights, precision)
        drift = validation.drift((kept.method, tensors), after)
        content |= drift.record()
        note(f"In {str(precision).removeprefix('torch.')} {drift.sentence()}.")

    def write(folder: Path) -> None:
        write_checkpoint(base, weights, folder, dtype=precision)
        write_json(content, folder / CONVERSION_FILE)

    return write


def _as_lora(
    run: FinishedRun, kept: Kept, to: Target, rank: int | None, note: Note
) -> Callable[[Path], None]:
    made = to_lora(kept, rank, str(to))
    content: dict[str, Any] = {
        "from": kept.id,
        "kind": kept.method.kind,
        "to": str(to),
        "rank": made.rank,
        "update_norm_left_out": made.left_out,
        "parameters_left_out": list(made.parameters_left_out),
    }
    lost = f"Rank {made.rank} leaves out {100 * made.left_out:.3g} % of the update's norm"
    if made.parameters_left_out:
        lost += f", and {len(made.parameters_left_out)} parameters that no LoRA holds"
    validation = validation_of(run, kept.method.base)
    if isinstance(validation, str):
        note(f"{lost}. What that costs is not measured: {validation}.")
    else:
        after = validation.nll(made.method, made.tensors)
        drift = validation.drift((kept.method, kept.load()), after)
        content |= drift.record()
        note(f"{lost}; {drift.sentence()}.")

    def write(folder: Path) -> None:
        made.method.save(made.tensors, folder)
        if to is Target.GGUF_LORA:
            write_gguf_lora(made, run.base, folder)
        write_json(content, folder / CONVERSION_FILE)

    return write

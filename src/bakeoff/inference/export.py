"""A candidate leaves its run's folder: as PEFT's files, or merged into an ordinary checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from bakeoff.base.checkpoint import write_checkpoint
from bakeoff.config import to_mapping
from bakeoff.errors import ConfigError, StoreError
from bakeoff.files import disk_errors, new_folder
from bakeoff.inference.card import TASK_FILE, Card, card_text
from bakeoff.inference.finished import FinishedRun, Kept
from bakeoff.inference.merging import MERGE_FILE, MERGED_FORMAT, merge_content
from bakeoff.inference.naming import BASE_FOLDER, BaseName, base_license, named_base
from bakeoff.methods.files import PEFT_CONFIG, write_json
from bakeoff.methods.specs.contract import FileFormat
from bakeoff.version import __version__

_CHAT_TEMPLATE: Final = "chat_template.jinja"
"""Where Transformers' tokenizers look for one."""
_OF_DATA: Final = ("source", "metrics", "select_by", "on_bad_row", "allow_overlap")
"""Options of a task that say nothing of how an answer is asked for, and may name local files."""


class Target(StrEnum):
    """What an export can be."""

    PEFT = "peft"
    MERGED = "merged"


def target_of(name: str) -> Target:
    """The command line's word for a target.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name not in list(Target):
        raise ConfigError(f"--to: {name!r} is not a form of export; give {' or '.join(Target)}")
    return Target(name)


def export_candidate(run: FinishedRun, candidate_id: str | None, to: Target, out: Path) -> Kept:
    """Writes one candidate for other libraries.

    Args:
        run: the run.
        candidate_id: None takes the best one of the recommended method.
        to: ``peft`` loads with ``PeftModel.from_pretrained``, ``merged`` with
            ``AutoModelForCausalLM.from_pretrained``.
        out: a folder that does not exist; it appears whole or not at all.

    Returns:
        The candidate that was exported.

    Raises:
        ConfigError: if there is no such candidate, or its method has no such form.
        StoreError: if ``out`` exists, or cannot be written.
        CheckpointError: if the candidate's adapter is not whole.
    """
    if out.exists() or out.is_symlink():
        raise StoreError(f"{out}: exists already, and nothing is overwritten; name a new folder")
    kept = run.candidate(candidate_id)
    write = _as_peft(kept) if to is Target.PEFT else _merged(kept)
    base = named_base(run, out)
    with disk_errors(out), new_folder(out, existing="refuse") as beside:
        write(beside)
        if to is Target.MERGED and kept.method.base.quantization != "none":
            write_json(merge_content(run, kept, beside), beside / MERGE_FILE)
        adapter = _name_base(run, base, beside) if to is Target.PEFT else {}
        run.base.tokenizer.save_pretrained(str(beside))
        if run.task.chat is not None:
            # Who loads it must lay conversations out as they were learnt.
            (beside / _CHAT_TEMPLATE).write_text(run.task.chat.text, encoding="utf-8")
        write_json(task_content(run), beside / TASK_FILE)
        card = Card(
            run=run,
            kept=kept,
            is_merged=to is Target.MERGED,
            base=base,
            license=base_license(run),
            adapter=adapter,
            folder=out.name,
        )
        # Over what libraries may have put there.
        (beside / "README.md").write_text(card_text(card), encoding="utf-8")
    return kept


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


def _merged(kept: Kept) -> Callable[[Path], None]:
    base = kept.method.base
    weights = kept.method.merged_weights(kept.load())
    # What was packed has no more than 16 bits' worth in it.
    dtype = None if base.quantization == "none" else MERGED_FORMAT
    return lambda folder: write_checkpoint(base, weights, folder, dtype=dtype)

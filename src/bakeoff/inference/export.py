"""A candidate leaves its run's folder: as PEFT's files, or merged into an ordinary checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

from bakeoff.base.checkpoint import write_checkpoint
from bakeoff.errors import ConfigError, StoreError
from bakeoff.files import disk_errors, new_folder
from bakeoff.inference.finished import FinishedRun, Kept
from bakeoff.methods.specs.contract import FileFormat

_CHAT_TEMPLATE: Final = "chat_template.jinja"
"""Where Transformers' tokenizers look for one."""


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
    with disk_errors(out), new_folder(out, existing="refuse") as beside:
        write(beside)
        if to is Target.MERGED and run.task.chat is not None:
            # Who loads it must lay conversations out as they were learnt.
            (beside / _CHAT_TEMPLATE).write_text(run.task.chat.text, encoding="utf-8")
    return kept


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
    return lambda folder: method.save(tensors, folder)


def _merged(kept: Kept) -> Callable[[Path], None]:
    weights = kept.method.merged_weights(kept.load())
    return lambda folder: write_checkpoint(kept.method.base, weights, folder)

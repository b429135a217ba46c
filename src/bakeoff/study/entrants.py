"""Entrants from elsewhere are opened here, so that their errors come before training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from transformers import PreTrainedTokenizerBase

from bakeoff.base.model import Base
from bakeoff.base.precision import choose_dtype
from bakeoff.base.weights.sources import load_source
from bakeoff.data.taskdata import TaskData
from bakeoff.decide.referee.pairs import MIN_SEEDS
from bakeoff.engine.entrants import Checkpoint, Entrant, EntrantRun
from bakeoff.errors import BakeoffError, ConfigError, DataError
from bakeoff.execution.entrants import outputs_of
from bakeoff.files import cache_folder, sha256_of
from bakeoff.methods.contract import Method
from bakeoff.methods.external import ExternalEntry
from bakeoff.methods.from_peft import method_of_peft
from bakeoff.metrics.contract import Ask
from bakeoff.study.embedded import check_embedded
from bakeoff.study.given_answers import read_answers
from bakeoff.study.study import Study
from bakeoff.tasks.contract import Task
from bakeoff.tasks.preparation.prepare import prepare, with_found

_BASE_CONFIG: Final = "config.json"
_TEXTS_COMPARED: Final = 100
"""Inputs that two tokenizers must cut alike, beside having one vocabulary."""


def open_entrants(study: Study, base: Base, task: Task, data: TaskData) -> tuple[Entrant, ...]:
    """Every entrant from elsewhere of a study, with its files read as far as errors may come.

    Args:
        study: whose. base: loaded. task, data: with what the training rows decided.

    Raises:
        ConfigError: a folder holds no adapter or checkpoint that fits.
        DataError: a file of predictions does not answer the test rows.
    """
    return tuple(_entrant(study, base, task, data, entry) for entry in study.externals)


def files_of(entry: ExternalEntry, root: Path) -> list[Path]:
    """The files that its results rest on, as far as they are there."""
    found: list[Path] = []
    for place in entry.places:
        path = root / Path(place).expanduser()
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        found += inside if path.is_dir() else [path]
    return found


def _entrant(study: Study, base: Base, task: Task, data: TaskData, entry: ExternalEntry) -> Entrant:
    where = f"methods.{entry.name}.{entry.form}"
    runs, notes = [], []
    for id, place in zip(entry.ids(), entry.places, strict=True):
        path = study.root / Path(place).expanduser()
        if not path.exists():
            raise ConfigError(
                f"{where}: nothing is at {path}; paths start from the working directory or from "
                "the study's folder"
            )
        run = EntrantRun(id=id, place=path, sha256=_digest(path))
        if entry.form == "adapter":
            run = replace(run, adapter=_adapter(study, base, task, path, where))
        elif entry.form == "checkpoint":
            run = replace(run, checkpoint=_checkpoint(study, base, task, data, path, where))
        else:
            _check_written(task, where)
            given = read_answers(path, data.splits["test"], where=where, name=place)
            run = replace(run, answers=given.texts)
            try:
                outputs_of(task, run, data.splits["test"])
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
            if given.by_index:
                notes.append(
                    f"{entry.name}: answers of {place} were matched by index, which does not show "
                    "that they belong to these rows; an id for each line does"
                )
        if run.checkpoint is not None and run.checkpoint.data is not None:
            notes.append(
                f"{entry.name}: {place} has a tokenizer of its own, so that it has no likelihood "
                "per token to be compared"
            )
        runs.append(run)
    same = [run.sha256 for run in runs]
    if len(set(same)) < len(same):
        raise ConfigError(
            f"{where}: two of its {len(same)} places hold the same content; one run counted twice "
            "would look like two seeds, so name each once"
        )
    return Entrant(entry=entry, runs=tuple(runs), notes=(_runs_note(entry), *notes))


def _runs_note(entry: ExternalEntry) -> str:
    number = len(entry.places)
    if number == 1:
        very, other = (
            ("these very answers", "others")
            if entry.form == "predictions"
            else (f"this very {entry.form}", "another")
        )
        return (
            f"{entry.name} is external and one run: what is said of it holds for {very} and not "
            f"for {other} made the same way"
        )
    return f"{entry.name} is external: {number} runs, taken for as many seeds" + (
        ", and nothing is said from fewer than three" if number < MIN_SEEDS else ""
    )


def _digest(path: Path) -> str:
    """A SHA-256 of a file, or of all files of a folder with their names."""
    if path.is_file():
        return sha256_of(path)
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()


def _check_written(task: Task, where: str) -> None:
    if not {Ask.TEXT, Ask.CHOICE} & task.asks:
        raise ConfigError(
            f"{where}: the metrics of this study ({', '.join(m.name for m in task.metrics)}) score "
            "likelihoods, which texts do not have; name one that scores text in task.metrics, or "
            "give an adapter or a checkpoint"
        )


def _adapter(study: Study, base: Base, task: Task, path: Path, where: str) -> Method:
    method = method_of_peft(path, base, where=where)
    if base.has_values:
        try:
            method.load(path)  # so that a wrong base is said before training
        except BakeoffError as error:
            raise ConfigError(f"{where}: {error}") from error
    _check_room(study, task, base, method.extra_positions, where)
    return method


def _check_room(study: Study, task: Task, base: Base, before: int, where: str) -> None:
    if base.max_positions is None:
        return
    written = study.options.generation.max_new_tokens if Ask.TEXT in task.asks else 0
    prompt = task.max_length - task.options.max_target_tokens + written
    needed = before + max(task.max_length, prompt)
    if needed > base.max_positions:
        raise ConfigError(
            f"{where}: needs {needed} positions for this study's rows and answers, but its model "
            f"has {base.max_positions}; lower task.max_length"
        )


def _checkpoint(
    study: Study, base: Base, task: Task, data: TaskData, path: Path, where: str
) -> Checkpoint:
    if not (path / _BASE_CONFIG).is_file():
        raise ConfigError(
            f"{where}: {path} holds no {_BASE_CONFIG}; give a folder with a whole model and its "
            "tokenizer, as save_pretrained writes them"
        )

    def load(*, meta: bool = False) -> Base:
        source = load_source(
            str(path.resolve()),
            root=study.root,
            cache_dir=cache_folder(),
            trust_remote_code=study.options.trust_remote_code,
            meta=meta,
        )
        if meta:
            return Base(source, device=torch.device("cpu"), dtype=torch.float32, probe=False)
        dtype = choose_dtype(study.options.precision, base.device)
        opened = Base(source, device=base.device, dtype=dtype)
        opened.may_capture = study.options.engine.cuda_graph is not False
        return opened

    try:
        shapes = load(meta=True)
    except BakeoffError as error:
        raise ConfigError(f"{where}: {error}") from error
    _check_room(study, task, shapes, 0, where)
    texts = list(data.splits["test"].shown[:_TEXTS_COMPARED])
    if _encode_alike(base.tokenizer, shapes.tokenizer, texts):
        return Checkpoint(open=load)
    return Checkpoint(open=load, data=_in_own_tokens(study, task, data, shapes, path, where))


def _encode_alike(
    a: PreTrainedTokenizerBase, b: PreTrainedTokenizerBase, texts: Sequence[str]
) -> bool:
    """Whether two tokenizers have one vocabulary and cut some texts into the same tokens."""
    if a.get_vocab() != b.get_vocab() or a.eos_token_id != b.eos_token_id:
        return False
    return all(a(text)["input_ids"] == b(text)["input_ids"] for text in texts)


def _in_own_tokens(
    study: Study, task: Task, data: TaskData, shapes: Base, path: Path, where: str
) -> TaskData:
    """The study's rows in the tokens of another tokenizer; the same rows, in the same order."""
    own = prepare(
        with_found(study.task, {"max_length": task.max_length}),
        shapes.tokenizer,
        root=study.root,
        cache_dir=cache_folder() / "data",
        tokenizer_id=str(path),
        room=shapes.max_positions,
    )
    for split in ("validation", "test"):
        check_embedded(shapes, own.splits[split], f"{where}: {split}")
        if own.splits[split].row_ids != data.splits[split].row_ids:
            raise ConfigError(
                f"{where}: in the tokens of {path} other {split} rows fit into task.max_length "
                f"{task.max_length}, so that its answers could not be compared; raise it, or give "
                "its answers as predictions"
            )
    return own

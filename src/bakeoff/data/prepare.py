"""From a task's options to tokenised examples, once: later calls read the cache."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from bakeoff.data import cache
from bakeoff.data.encode import PieceEncoder
from bakeoff.data.layout import Layout
from bakeoff.data.options import TaskOptions
from bakeoff.data.overlap import Overlap, OverlapRow, find_overlap
from bakeoff.data.rows import take_rows
from bakeoff.data.sources import Source, open_source
from bakeoff.data.taskdata import SplitData, TaskData, from_cache, to_cache
from bakeoff.types import SPLITS, Split


def prepare(
    task: TaskOptions,
    tokenizer: PreTrainedTokenizerBase,
    *,
    root: Path,
    cache_dir: Path | None,
    workers: int | None = None,
    tokenizer_id: str,
) -> TaskData:
    """Reads, cleans, splits and tokenises a task's data.

    Args:
        task: see ``TaskOptions``.
        tokenizer: the base's.
        root: the folder that relative paths in ``task.source`` start from.
        cache_dir: where prepared data are kept under a key of their content; None keeps nothing.
        workers: 1 tokenises in one thread; None in as many as the machine has.
        tokenizer_id: the base's name, for messages.

    Raises:
        ConfigError: an option out of range, or a ``max_length`` without room for a document.
        DataError: data that cannot be found, read or used; see ``task.on_bad_row``.
    """
    task.validate()
    source = open_source(task, root=root)
    if cache_dir is None:
        return _prepare(task, source, tokenizer, tokenizer_id, workers)
    options = {**dataclasses.asdict(task), "source": None}
    key = cache.cache_key(
        [
            json.dumps(options, sort_keys=True),
            *cache.tokenizer_identity(tokenizer, tokenizer_id),
            *source.fingerprint(),
        ]
    )
    folder = cache_dir / f"task-{key[:32]}"
    if (kept := cache.load(folder)) is not None:
        return from_cache(*kept)
    data = _prepare(task, source, tokenizer, tokenizer_id, workers)
    try:
        cache.store(folder, *to_cache(data))
    except OSError as error:
        data.warnings.append(
            f"The prepared data could not be kept in {cache_dir} ({error.strerror or error}), so "
            "the next run prepares them again."
        )
    return data


def _prepare(
    task: TaskOptions,
    source: Source,
    tokenizer: PreTrainedTokenizerBase,
    tokenizer_id: str,
    workers: int | None,
) -> TaskData:
    layout = Layout.of(task, PieceEncoder(tokenizer, tokenizer_id=tokenizer_id, workers=workers))
    # Documents, which take the time, come last, so that whatever is wrong shows within seconds.
    rows = {split: take_rows(task, source, split) for split in SPLITS}
    completed = {split: layout.complete(rows[split]) for split in SPLITS}
    splits = {split: layout.prompt(completed[split]) for split in SPLITS}
    overlap = find_overlap({split: _compared(part) for split, part in splits.items()})
    return TaskData(
        splits=splits,
        overlap=overlap,
        warnings=_warnings(task, splits, overlap),
        seed=task.seed,
    )


def _compared(part: SplitData) -> list[OverlapRow]:
    return [
        OverlapRow(int(row), document, summary)
        for row, document, summary in zip(part.rows, part.documents, part.summaries, strict=True)
    ]


def _warnings(task: TaskOptions, splits: dict[Split, SplitData], overlap: Overlap) -> list[str]:
    warnings = []
    for split, part in splits.items():
        asked = task.examples.of(split)
        if asked is not None and len(part) < asked:
            warnings.append(
                f"task.examples.{split} asks for {asked} rows; there are {len(part)} usable ones."
            )
        if part.rows_skipped:
            warnings.append(f"{part.rows_skipped} bad rows of {split} were left out.")
    for first, second, count in (
        ("train", "test", overlap.train_test),
        ("train", "validation", overlap.train_validation),
        ("validation", "test", overlap.validation_test),
    ):
        if count:
            warnings.append(f"{count} rows of {second} have a document that is in {first} too.")
    if overlap.train_duplicates:
        warnings.append(f"{overlap.train_duplicates} rows of train repeat an earlier document.")
    return warnings

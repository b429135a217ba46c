"""From a task's options to tokenised examples, once: later calls read the cache.

An example is ``prompt + completion``. The prompt holds the template up to the summary, with the
document's tail cut so that both together fit ``max_length``; the completion is the summary, whole,
with the end-of-text token. Pieces are tokenised one by one and joined as tokens, so that where a
document is cut does not change how the rest is tokenised.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from bakeoff.data import cache
from bakeoff.data.encode import Ids, PieceEncoder
from bakeoff.data.options import TaskOptions
from bakeoff.data.overlap import Overlap, OverlapRow, find_overlap
from bakeoff.data.ragged import Ragged, Texts
from bakeoff.data.rows import Rows, rows_text, take_rows
from bakeoff.data.sources import Source, open_source
from bakeoff.data.taskdata import SplitData, TaskData, from_cache, to_cache
from bakeoff.data.template import Template
from bakeoff.errors import ConfigError, DataError
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
    layout = _Layout.of(task, PieceEncoder(tokenizer, tokenizer_id=tokenizer_id, workers=workers))
    # All splits are read before any is tokenised, so that bad data show within seconds.
    rows = {split: take_rows(task, source, split) for split in SPLITS}
    splits = {split: layout.tokenise(rows[split]) for split in SPLITS}
    overlap = find_overlap({split: _compared(part) for split, part in splits.items()})
    return TaskData(
        splits=splits,
        overlap=overlap,
        warnings=_warnings(task, splits, overlap),
        seed=task.seed,
    )


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """The template in tokens, and the room that it leaves."""

    task: TaskOptions
    encoder: PieceEncoder
    lead: str
    head: Ids
    middle: Ids
    tail: Ids

    @classmethod
    def of(cls, task: TaskOptions, encoder: PieceEncoder) -> _Layout:
        template = Template.parse(task.template)
        head = encoder.piece(template.prefix, at_start=True)
        if not np.array_equal(head[: len(encoder.start_ids)], encoder.start_ids):
            head = np.concatenate([encoder.start_ids, head])
        tail = encoder.piece(template.suffix, at_start=False)
        if not (len(tail) and tail[-1] == encoder.eos_id):
            tail = np.append(tail, np.int32(encoder.eos_id))
        layout = cls(
            task=task,
            encoder=encoder,
            lead=template.lead,
            head=head,
            middle=encoder.piece(template.middle, at_start=False),
            tail=tail,
        )
        if layout.room_after(task.max_summary_tokens) < 1:
            least = task.max_length + 1 - layout.room_after(task.max_summary_tokens)
            raise ConfigError(
                f"task.max_length is {task.max_length}: the template's {layout.num_fixed} tokens "
                f"and task.max_summary_tokens ({task.max_summary_tokens}) leave no room for a "
                f"document. Set task.max_length to at least {least}, or shorten the others."
            )
        return layout

    @property
    def num_fixed(self) -> int:
        """Tokens of every prompt that are not the document's."""
        return len(self.head) + len(self.middle)

    def room_after(self, num_reserved: int) -> int:
        """Returns the tokens left for a document beside the template and a summary's room."""
        return self.task.max_length - self.num_fixed - num_reserved

    def tokenise(self, rows: Rows) -> SplitData:
        """Encodes a split's rows and cuts their documents to fit."""
        encode, reserved = self.encoder.encode, self.task.max_summary_tokens
        begins_text = not self.task.template.index("{document}")
        documents = encode(rows.documents, at_start=begins_text, literal=True)
        summaries = encode(
            [self.lead + text for text in rows.summaries], at_start=False, literal=True
        )
        plain = encode(rows.summaries, at_start=True, literal=True) if self.lead else summaries
        prompts: list[Ids] = []
        completions: list[Ids] = []
        for_generation: list[Ids] = []
        kept: list[int] = []
        too_long: list[tuple[int, int]] = []
        num_raw = num_cut = 0
        for i, document in enumerate(documents):
            completion = np.concatenate([summaries[i], self.tail])
            if self.room_after(len(completion)) < 1:
                too_long.append((rows.numbers[i], len(completion)))
                continue
            room = self.room_after(max(reserved, len(completion)))
            prompt = np.concatenate([self.head, document[:room], self.middle])
            usual = document[: self.room_after(reserved)]
            kept.append(i)
            prompts.append(prompt)
            completions.append(completion)
            for_generation.append(np.concatenate([self.head, usual, self.middle]))
            num_cut += len(document) > room
            num_raw += len(document) + len(plain[i])
        self._refuse(rows, too_long, left=len(kept))
        joined = Ragged.from_rows(completions)
        return SplitData(
            documents=Texts.from_rows(rows.documents[i] for i in kept),
            raw_documents=Texts.from_rows(rows.raw_documents[i] for i in kept),
            summaries=Texts.from_rows(rows.summaries[i] for i in kept),
            rows=np.array([rows.numbers[i] for i in kept], dtype=np.int64),
            prompts=Ragged.from_rows(prompts),
            completions=joined,
            generation_prompts=Ragged.from_rows(for_generation),
            tokens_raw=num_raw,
            tokens_supervised=len(joined.values),
            documents_truncated=num_cut,
            rows_skipped=rows.num_skipped + len(too_long),
            desks=[rows.desks[i] for i in kept] if any(rows.desks) else None,
        )

    def _refuse(self, rows: Rows, too_long: list[tuple[int, int]], *, left: int) -> None:
        if not too_long or (self.task.on_bad_row == "skip" and left):
            return
        least = self.num_fixed + max(length for _, length in too_long) + 1
        raise DataError(
            f"task.max_length is {self.task.max_length}, which is too small for the summary of "
            f"{rows_text([row for row, _ in too_long])} of {rows.place}: a summary is never cut, "
            f"and at least one token of its document must fit beside it. Set task.max_length to "
            f"{least} or more, or task.on_bad_row: skip to leave such rows out."
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
            warnings.append(f"{count} rows of {second} have a document that stands in {first} too.")
    if overlap.train_duplicates:
        warnings.append(f"{overlap.train_duplicates} rows of train repeat an earlier document.")
    return warnings

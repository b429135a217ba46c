"""From a task and its source to tokenised examples, once: later calls read the cache."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from bakeoff.data import cache
from bakeoff.data.encode import TextEncoder
from bakeoff.data.examples import Example
from bakeoff.data.hygiene.lengths import ANSWER, ASKED, NEEDED, ROW, cutting, least_length
from bakeoff.data.layout import Laid, LaidPrompt, Layout, windows
from bakeoff.data.ragged import Ragged, Texts
from bakeoff.data.readers import Record
from bakeoff.data.rows import Rows, take_rows
from bakeoff.data.sources import Source, notes_of, open_source
from bakeoff.data.taskdata import SplitData, TaskData, from_cache, to_cache
from bakeoff.tasks.contract import Task, columns_of
from bakeoff.tasks.conversation.chat_rendering import InChat, note_on, plain_of, template_for
from bakeoff.tasks.preparation.checks import check_fit, check_input
from bakeoff.tasks.preparation.choices import Choices, choices_of
from bakeoff.tasks.preparation.examined import benchmark_named, examine
from bakeoff.tasks.preparation.known import all_columns, known_beforehand, source_of
from bakeoff.tasks.preparation.known import with_found as with_found
from bakeoff.tasks.preparation.warnings import warnings_of
from bakeoff.tasks.texts import group_of
from bakeoff.types import SPLITS, Split

MAX_LENGTH: Final = "max_length"
_FEWEST_OF_INPUT: Final = 16
"""Tokens of the input that have room beside the longest answer, at least."""
_STEP: Final = 16
"""Lengths are multiples of it, as the widths of batches are."""


def prepare(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    *,
    root: Path,
    cache_dir: Path | None,
    workers: int | None = None,
    tokenizer_id: str,
    room: int | None = None,
) -> TaskData:
    """Reads, cleans, splits and tokenises a task's data.

    Args:
        task: which; its options name the source.
        tokenizer: the base's.
        root: the folder that relative paths in ``task.source`` start from.
        cache_dir: where prepared data are kept under a key of their content; None keeps nothing.
        workers: 1 tokenises in one thread; None in as many as the machine has.
        tokenizer_id: the base's name, for messages.
        room: tokens of a row that the base has positions for, where ``task.max_length`` is null;
            None: any number.

    Raises:
        ConfigError: an option out of range, or one that does not suit the source.
        DataError: data that cannot be found, read or used; see ``task.on_bad_row``.
    """
    task.options.validate()
    template = template_for(task, tokenizer, root)
    known = known_beforehand(task, template, partial(open_source, root=root))
    notes, task = note_on(task, template), with_found(task, known)
    source = source_of(task, root)

    def made() -> TaskData:
        data = Preparation(task, source, tokenizer, tokenizer_id, workers).run(room)
        return dataclasses.replace(
            data,
            found={**known, **data.found},
            warnings=[*notes, *notes_of(source), *data.warnings],
        )

    open_length = task.options.max_length is None
    # Metrics score what is prepared, and change nothing of it.
    options = {**dataclasses.asdict(task.options), "source": None, "metrics": None}
    key = [
        json.dumps(
            [
                options,
                known,
                task.reads_whole_rows,
                benchmark_named(task),
                *([room] if open_length else []),
            ],
            sort_keys=True,
        ),
        *cache.tokenizer_identity(tokenizer, tokenizer_id),
        *source.fingerprint(),
    ]
    return cached(made, key, cache_dir)


def longest_of(task: Task, room: int | None) -> int:
    """Tokens of a row where ``task.max_length`` is null, at most.

    Args:
        task: whose kind has a most of its own. room: that the base has positions for, or None.
    """
    return task.starting.max_length if room is None else min(task.starting.max_length, room)


def cached(made: Callable[[], TaskData], parts: Sequence[str], cache_dir: Path | None) -> TaskData:
    """Prepared data from the cache, or made and kept there.

    Args:
        made: makes them. parts: all that they follow from. cache_dir: None keeps nothing.
    """
    if cache_dir is None:
        return made()
    key = cache.cache_key(parts)
    folder = cache_dir / f"task-{key[:32]}"
    if (kept := cache.load(folder)) is not None:
        return from_cache(*kept)
    data = made()
    try:
        cache.store(folder, *to_cache(data))
    except OSError as error:
        data.warnings.append(
            f"The prepared data could not be kept in {cache_dir} ({error.strerror or error}), so "
            "the next run prepares them again."
        )
    return data


class Preparation:
    """One task's data on their way from rows to arrays.

    Args:
        task: whose. source: opened. tokenizer: the base's. tokenizer_id: for messages.
        workers: as of ``prepare``.
    """

    def __init__(
        self,
        task: Task,
        source: Source,
        tokenizer: PreTrainedTokenizerBase,
        tokenizer_id: str,
        workers: int | None,
    ) -> None:
        self._task = task
        self._source = source
        self._options = task.options
        self._shots: Sequence[Example] = ()
        self._encoder = TextEncoder(tokenizer, tokenizer_id=tokenizer_id, workers=workers)

    def run(self, room: int | None = None) -> TaskData:
        """See ``prepare``."""
        check_input(self._task, self._source)
        train = self._rows("train")
        found = self._task.found([record.values for record in train.records])
        if found:
            self._task = with_found(self._task, found)
            train.examples = [self._lay(record) for record in train.records]
        if self._options.max_length is None:
            found |= {MAX_LENGTH: self._length(train, room)}
            self._task = with_found(self._task, found)
        rows: dict[Split, Rows] = {
            "train": train,
            **{split: self._rows(split) for split in SPLITS if split != "train"},
        }
        layout = self._layout
        splits: dict[Split, SplitData] = {
            split: _split_data(self._task, layout, rows[split]) for split in SPLITS
        }
        examined = examine(self._task, rows, splits)
        return TaskData(
            splits=splits,
            found=found,
            overlap=examined.overlap,
            warnings=[
                *warnings_of(self._task, splits),
                *examined.warnings,
                *self._task.warnings(train.examples),
            ],
            cautions=examined.cautions,
            seed=self._options.seed,
        )

    def split(self, split: Split, shots: Sequence[Example] = ()) -> SplitData:
        """One split alone, of a task that knows already what the training rows decide.

        Args:
            shots: solved examples before each prompt.
        """
        self._shots = shots
        return _split_data(self._task, self._layout, self._rows(split))

    def drawn(self, count: int, seed: int, *, most: int) -> list[Example] | None:
        """Training examples at random, in the order of the draw; None where there are too few.

        Args:
            count: how many. seed: of the draw. most: tokens of each, at most.
        """
        examples = self._rows("train").examples
        order = np.random.default_rng(seed).permutation(len(examples))
        found: list[Example] = []
        for index in order:
            if len(found) == count:
                break
            [laid] = self._layout.rows([examples[index]])
            if len(laid.ids) <= most and not laid.is_cut and not laid.missing:
                found.append(examples[index])
        return found if len(found) == count else None

    def _length(self, train: Rows, room: int | None) -> int:
        """What cuts 1 % of the training rows, within what the kind and the base allow."""
        most, answer = longest_of(self._task, room), self._options.max_target_tokens
        layout = self._layout
        rows, prompts = layout.rows(train.examples), layout.prompts(train.examples)
        wanted = cutting(_lengths(rows, prompts, answer)[:, NEEDED])
        length: int = min(most, max(-(-wanted // _STEP) * _STEP, answer + _FEWEST_OF_INPUT))
        return length

    @property
    def _layout(self) -> Layout:
        return Layout(
            self._encoder,
            self._task.shorten,
            max_length=self._task.max_length,
            max_target_tokens=self._options.max_target_tokens,
        )

    def _rows(self, split: Split) -> Rows:
        columns = columns_of(self._task)
        if self._task.reads_whole_rows:
            columns = all_columns(self._task, self._source)
        return take_rows(self._options, columns, self._source, split, self._lay)

    def _lay(self, record: Record) -> Example:
        example = self._task.example(record.values, self._shots)
        if self._options.group is None:
            return example
        return dataclasses.replace(example, group=group_of(record.values, self._options.group))


def _split_data(task: Task, layout: Layout, rows: Rows) -> SplitData:
    """The rows that fit, as arrays."""
    laid = layout.rows(rows.examples)
    prompts = layout.prompts(rows.examples)
    kept = [
        index
        for index, (row, prompt) in enumerate(zip(laid, prompts, strict=True))
        if not row.missing and not prompt.missing and row.is_target.any()
    ]
    check_fit(task, rows, laid, prompts, kept)
    fit = set(kept)
    found = choices_of(task, layout, rows, laid, kept)
    pieces = {i: windows(laid[i], task.max_length) for i in found.kept}
    counts = [len(of_row) for of_row in pieces.values()]
    kept = [i for i in found.kept for _ in pieces[i]]
    fitting = [piece for of_row in pieces.values() for piece in of_row]
    groups: list[str] | None = None
    if task.options.group is not None:
        groups = [row.example.group or "" for row in fitting]
    elif len(kept) > len(pieces):  # the rows of one text hang together
        groups = [str(rows.records[i].row) for i in kept]
    # Of rows that cannot be read, and of those that can but not be used.
    why = (rows.skipped_why, _why_left(task, rows, laid, fit, found))
    return SplitData(
        rows=np.array([rows.records[i].row for i in kept], dtype=np.int64),
        tokens=Ragged.from_rows([row.ids for row in fitting]),
        is_target=np.concatenate([row.is_target for row in fitting]),
        prompts=Ragged.from_rows([prompts[i].ids for i in kept]),
        shown=Texts.from_rows(
            [
                (rows.examples[i] if len(pieces[i]) == 1 else row.example).shown
                for i, row in zip(kept, fitting, strict=True)
            ]
        ),
        targets=Texts.from_rows([row.example.target for row in fitting]),
        target_bytes=np.array([_bytes_learnt(task, row.example) for row in fitting], np.float64),
        references=[list(row.example.references) for row in fitting],
        gold=np.repeat(found.gold, counts),
        choice_set=np.repeat(found.chosen, counts),
        choice_sets=found.sets,
        groups=groups,
        whole_rows=[_plain(rows.records[i]) for i in kept] if task.reads_whole_rows else None,
        lengths=_lengths(laid, prompts, task.options.max_target_tokens),
        tokens_raw=sum(row.num_data for row in fitting),
        # Also where the row with its own answer fits, and the room kept free for one does not.
        rows_cut=sum(row.is_cut or prompts[i].is_cut for i, row in zip(kept, fitting, strict=True)),
        rows_skipped=rows.num_skipped + len(rows) - len(pieces),
        skipped_why="; ".join(filter(None, why)) or None,
        rows_at_least=sum(row.is_at_least for row in laid),
        at_least=min((row.lengths[ROW] for row in laid if row.is_at_least), default=None),
    )


def _bytes_learnt(task: Task, example: Example) -> int:
    """Bytes of what a row teaches, as plain text has them whatever the base's chat template is."""
    plain = plain_of(example) if isinstance(task, InChat) else example
    return len(plain.target.encode("utf-8"))


def _lengths(laid: Sequence[Laid], prompts: Sequence[LaidPrompt], answer: int) -> NDArray[np.int64]:
    """[rows, 4] of rows and their prompts, with ``answer`` tokens free; see ``hygiene.lengths``."""
    found = np.zeros((len(laid), 4), dtype=np.int64)
    for lengths, row, prompt in zip(found, laid, prompts, strict=True):
        lengths[ROW], lengths[ANSWER], before = row.lengths
        lengths[ASKED] = max(before, prompt.length)
    found[:, NEEDED] = least_length(found[:, ROW], found[:, ASKED], answer)
    # What becomes several rows is not cut.
    in_pieces = np.array([row.example.windows for row in laid], dtype=np.bool_)
    found[in_pieces, NEEDED] = found[in_pieces, ROW]
    return found


def _why_left(
    task: Task, rows: Rows, laid: list[Laid], fit: set[int], found: Choices
) -> str | None:
    """Why the first row that was read and could not be used is left out."""
    for index, row in enumerate(laid):
        if index not in fit:
            name = rows.records[index].name
            if not row.is_target.any():
                return f"in {name} the {task.output_word} has no tokens to learn"
            return f"{name} does not fit task.max_length ({task.max_length})"
    return found.why_bad


def _plain(record: Record) -> dict[str, Any]:
    """A row as JSON holds it: dates and the like become text."""
    found: dict[str, Any] = json.loads(json.dumps(dict(record.values), default=str))
    return found

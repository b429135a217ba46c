"""Lengths of the data in a base's tokens, by the very preparation that a run does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from bakeoff.base.weights.sources import load_source
from bakeoff.data.hygiene.lengths import ASKED, ROW, least_length
from bakeoff.data.taskdata import SplitData
from bakeoff.files import cache_folder
from bakeoff.metrics.contract import Ask
from bakeoff.tasks.contract import Task
from bakeoff.tasks.conversation.chat_rendering import template_for
from bakeoff.tasks.preparation.prepare import prepare
from bakeoff.tasks.preparation.warnings import unread_warning
from bakeoff.tasks.registry import read_task, task_type
from bakeoff.types import SPLITS

_MOST_POSITIONS: Final = 8192
ROWS_MEASURED: Final = 1000
"""Of each split, where the first ones will do."""


@dataclass(frozen=True, kw_only=True)
class BaseFacts:
    """What a base decides of a study; its weights are not read.

    Attributes:
        reference: as the study names it. description: one line for people.
        positions: the most tokens of one row. parameters: how many it has.
        tokenizer: its own.
    """

    reference: str
    description: str
    positions: int
    parameters: int
    tokenizer: PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Tokens of the rows that were measured.

    Attributes:
        rows: [rows] of whole rows, before anything is cut. asked: [rows] of what stands before
            their last answers. answers: [rows] of what is learnt or chosen from, the longest choice
            of each row; of a conversation its last answer.
        at_least: lengths of rows from this one on are lower bounds, as such texts are not read to
            their end; None where all are exact.
        skipped: rows that cannot be used. warnings: of the preparation.
    """

    rows: NDArray[np.int64]
    asked: NDArray[np.int64]
    answers: NDArray[np.int64]
    at_least: int | None
    skipped: int
    warnings: tuple[str, ...]

    def needed(self, answer: int) -> NDArray[np.int64]:
        """[rows] the least ``max_length`` of each, with ``answer`` tokens free for its answer."""
        return least_length(self.rows, self.asked, answer)


def base_facts(reference: str) -> BaseFacts:
    """The facts of a base.

    Raises:
        BaseModelError: it is not here and cannot be reached.
    """
    source = load_source(reference, root=Path.cwd(), cache_dir=cache_folder(), meta=True)
    positions = getattr(source.model.config, "max_position_embeddings", None)
    return BaseFacts(
        reference=reference,
        description=source.description,
        positions=min(int(positions or _MOST_POSITIONS), _MOST_POSITIONS),
        parameters=int(source.model.num_parameters()),
        tokenizer=source.tokenizer,
    )


def has_chat_template(task: Task, base: BaseFacts) -> bool:
    """Whether prompt and answer become messages with this base."""
    return template_for(task, base.tokenizer, Path.cwd()) is not None


def measure(section: Mapping[str, Any], base: BaseFacts, *, most: int | None, room: int) -> Lengths:
    """Prepares the first rows of each split.

    Args:
        section: the task section, without lengths. base: whose tokens are counted.
        most: rows of each split; None takes all. room: tokens of a row, at most.

    Raises:
        DataError: rows that cannot be used at all.
    """
    given: dict[str, Any] = {"max_length": room}
    if _has_answers(section):
        # Every choice must fit; any other answer's length is yet to be found, and what is kept
        # free for it would only keep rows out.
        chooses = Ask.CHOICE in read_task(section).asks
        given["max_target_tokens"] = room // 2 if chooses else 1
    examples = dict.fromkeys(SPLITS, most)
    # Splits that are the same are the user's to put right, after the first look.
    looking = {"examples": examples, "on_bad_row": "skip", "allow_overlap": True}
    task = read_task({**section, **given, **looking})
    data = prepare(
        task, base.tokenizer, root=Path.cwd(), cache_dir=None, tokenizer_id=base.reference
    )
    train = data.splits["train"]
    # That there are fewer rows than are looked at, and how far they were read for this look, is
    # nothing to report.
    unread = [unread_warning(split, part, room) for split, part in data.splits.items()]
    warnings = [
        text
        for text in data.warnings
        if not text.startswith("task.examples.") and text not in unread
    ]
    warnings += data.cautions[len(data.overlap.contained) :]
    warnings += [
        f"{found.shared} of {found.rows} rows of {found.smaller} are in {found.larger} too, so "
        "that a run stops before it trains; give other files, or set task.allow_overlap: true."
        for found in data.overlap.contained
    ]
    # A text without an answer becomes several rows, each of which is counted.
    whole = _has_answers(section)
    rows = train.lengths[:, ROW] if whole else np.diff(train.tokens.offsets)
    asked = train.lengths[:, ASKED] if whole else rows - train.target_counts
    return Lengths(
        rows=rows,
        asked=asked,
        answers=_answers(train, base.tokenizer),
        at_least=train.at_least if whole else None,
        skipped=sum(part.rows_skipped for part in data.splits.values()),
        warnings=tuple(warnings),
    )


def _has_answers(section: Mapping[str, Any]) -> bool:
    return task_type(section["kind"]).starting.max_target_tokens > 1


def _answers(part: SplitData, tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    if part.choice_sets:
        longest = [max(map(len, found.tokens)) for found in part.choice_sets]
        return np.array([longest[i] for i in part.choice_set if i >= 0], dtype=np.int64)
    texts = [references[0] for references in part.references if references]
    if not texts:
        return part.target_counts
    # Of several answers in a row, room is kept for the last one; and for what ends it.
    return np.array([len(ids) for ids in tokenizer(texts)["input_ids"]], dtype=np.int64) + 2

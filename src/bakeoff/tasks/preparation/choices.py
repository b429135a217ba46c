"""What the rows of a split choose from, as tokens, checked that the model can choose from it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.layout import Laid, Layout
from bakeoff.data.rows import Rows
from bakeoff.data.taskdata import ChoiceSet
from bakeoff.errors import DataError
from bakeoff.metrics.contract import Ask
from bakeoff.tasks.contract import Task
from bakeoff.tasks.preparation.checks import check_beginnings, check_choices

_BAD = -2
"""In place of a set of choices that the model cannot choose from."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """What rows choose from.

    Attributes:
        kept: [rows] indices of those that stay. gold, chosen: as ``SplitData.gold`` and
            ``choice_set``, of these. sets: the different sets. why_bad: what is wrong with the
            choices of one that does not.
    """

    kept: list[int]
    gold: NDArray[np.int64]
    chosen: NDArray[np.int64]
    sets: tuple[ChoiceSet, ...]
    why_bad: str | None


def choices_of(
    task: Task, layout: Layout, rows: Rows, laid: list[Laid], kept: list[int]
) -> Choices:
    """The choices of the rows that are kept, as tokens; rows with bad ones of their own go.

    Raises:
        DataError: choices that the model cannot choose from, where rows may not be skipped or all
            rows share them.
    """
    examples = [laid[index].example for index in kept]
    tokens = layout.choices([e.prompt for e in examples], [e.choices for e in examples])
    places: dict[int, int] = {}
    sets: list[ChoiceSet] = []
    stay, chosen = [], []
    may_skip = task.options.on_bad_row == "skip" and not task.labels
    last: DataError | None = None
    for index, example, ids in zip(kept, examples, tokens, strict=True):
        # Equal choices of equal tokens are one object.
        if example.choices and id(ids) not in places:
            answers = tuple(map(task.answer_shown, example.choices))
            found = ChoiceSet(texts=example.choices, answers=answers, tokens=ids)
            what = f"{place_of(rows, index)}: the {task.output_word}"
            places[id(ids)] = len(sets)
            try:
                check_choices(found, what, task.options.max_target_tokens)
                sets.append(found)
            except DataError as error:
                if not may_skip:
                    raise
                places[id(ids)] = _BAD
                last = error
        place = places[id(ids)] if example.choices else -1
        if place != _BAD:
            stay.append(index)
            chosen.append(place)
    if last is not None and not stay:
        raise last
    if task.labels and Ask.CHOICE in task.asks:
        for found in sets:
            check_beginnings(found, f"task.source: {rows.place}: the {task.output_word}")
    gold = [laid[index].example.gold for index in stay]
    return Choices(
        kept=stay,
        gold=np.array([-1 if g is None else g for g in gold], dtype=np.int64),
        chosen=np.array(chosen, dtype=np.int64),
        sets=tuple(sets),
        why_bad=None if last is None else str(last).removeprefix("task.source: ").rstrip("."),
    )


def place_of(rows: Rows, index: int) -> str:
    """A row as messages name it."""
    return f"task.source: {rows.records[index].name} of {rows.place}"

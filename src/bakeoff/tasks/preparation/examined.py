"""What is found out about the rows of all splits together, in sentences for the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from bakeoff.data.cleaning import normalise
from bakeoff.data.examples import Example
from bakeoff.data.hygiene.answers import labels_in_inputs, targets_in_inputs
from bakeoff.data.hygiene.benchmarks import benchmark_of_rows, named_benchmark
from bakeoff.data.hygiene.contained import Contained
from bakeoff.data.hygiene.groups import shared_groups
from bakeoff.data.hygiene.order import stands_by_label
from bakeoff.data.hygiene.overlap import PAIRS, Overlap, OverlapRow, find_overlap
from bakeoff.data.hygiene.talks import SharedTalks, Talk, shared_talks
from bakeoff.data.rows import Rows
from bakeoff.data.sources import named_files
from bakeoff.data.taskdata import SplitData
from bakeoff.errors import DataError
from bakeoff.formatting import counted, join, shown_whole
from bakeoff.tasks.contract import Task
from bakeoff.types import SPLITS, Split

_MOST_CHARACTERS: Final = 10_000_000
_LOOKED_AT: Final = 1000
"""Rows of a split that answers are looked for in, spread evenly over it."""


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What was found.

    Attributes:
        overlap: rows that are in two splits. warnings, cautions: as of ``TaskData``.
    """

    overlap: Overlap
    warnings: list[str]
    cautions: list[str]


def examine(task: Task, rows: Mapping[Split, Rows], splits: Mapping[Split, SplitData]) -> Examined:
    """Compares the splits with each other, inputs with answers, and the test set with known ones.

    Args:
        task: whose. rows: as they were read. splits: the same without those that do not fit.

    Raises:
        DataError: two splits are equal or one is mostly in the other, and ``task.allow_overlap``
            does not say that this is meant.
    """
    overlap = find_overlap({split: _compared(task, rows[split], splits[split]) for split in SPLITS})
    same = [_same(task, found) for found in overlap.contained]
    if same and not task.options.allow_overlap:
        found = overlap.contained[0]
        raise DataError(
            f"task.source: {same[0]} ({rows[found.smaller].place} and "
            f"{rows[found.larger].place}). Scores on rows that were learnt or chosen by say "
            "nothing of new ones. Give other files; where rows repeat by nature, as very short "
            "texts do, set task.allow_overlap: true, and the report carries a warning."
        )
    cautions = [
        f"{text[0].upper()}{text[1:]}: task.allow_overlap let the study go on, but its scores "
        "there are of rows that were seen before."
        for text in same
    ]
    cautions += _groups(task, splits)
    cautions += _talks({split: _said(task, rows[split], splits[split]) for split in SPLITS})
    cautions += [said for split in SPLITS if (said := _answers(task, split, rows[split].examples))]
    for split in SPLITS:
        if said := order_caution(task, split, splits[split], is_cut=rows[split].is_cut):
            cautions.append(said)
    if said := benchmark_caution(task, splits["test"]):
        cautions.append(said)
    return Examined(overlap=overlap, warnings=_repeats(task, overlap), cautions=cautions)


def benchmark_named(task: Task) -> str | None:
    """The well-known benchmark that a task's source is named as, if any."""
    source, config = task.options.source, task.options.config
    parts = [source["test"], source["train"]] if isinstance(source, dict) else [source]
    places = [name for part_of in parts for name in named_files(part_of)]
    return named_benchmark([*places, *([config] if config else [])])


def benchmark_caution(task: Task, part: SplitData) -> str | None:
    """Says so where a test set is a benchmark that the base may have seen.

    Args:
        task: whose options name the source. part: the test set's rows.
    """
    known = benchmark_of_rows([*text.split("\n"), text] for text in part.shown)
    name = benchmark_named(task)
    if known is not None:
        name, count = known
        why = f"holds {count} or more rows of the test set of {name}"
    elif name is not None:
        why = f"is named as {name}"
    else:
        return None
    return _on_benchmark(why)


def named_benchmark_caution(task: Task) -> str | None:
    """The same from the source's name alone, where the rows are kept in files of other names."""
    name = benchmark_named(task)
    return None if name is None else _on_benchmark(f"is named as {name}")


def _on_benchmark(why: str) -> str:
    return (
        f"The test set {why}, a well-known benchmark: the base may have seen it in pretraining, so "
        "scores there may promise more than new data will keep."
    )


def seen_in_training(where: str, word: str, train: Sequence[str], test: Sequence[str]) -> list[str]:
    """Says so where a further test set has inputs of the training rows.

    Args:
        where: the set's path in the study. word: what an input is called.
        train, test: inputs. Ones that are nearly the same are looked for where all of them
            together are not more than is read in a second or two, as this is done at every start.
    """
    size = sum(map(len, train)) + sum(map(len, test))
    if size > _MOST_CHARACTERS:
        known = set(map(normalise, train))
        same, near = sum(normalise(text) in known for text in test), 0
    else:
        rows: dict[Split, list[OverlapRow]] = {
            "train": [OverlapRow(i, (text,), None, "") for i, text in enumerate(train, 1)],
            "test": [OverlapRow(i, (text,), None, "") for i, text in enumerate(test, 1)],
        }
        found = find_overlap({**rows, "validation": []})
        same, near = found.train_test, found.train_test_near
    said = []
    if same:
        said.append(
            f"{where}: {counted(same, 'row has', 'rows have')} a {word} that is in the training "
            "rows too."
        )
    if near:
        said.append(
            f"{where}: {counted(near, 'row has', 'rows have')} nearly the {word} of a training row."
        )
    return said


def parts_of(example: Example, *, with_choices: bool) -> tuple[str, ...]:
    """What is compared of a row: each column or message of its input.

    A text that is learnt whole is compared itself. Choices of a row's own belong to the question.
    """
    parts = example.inputs or (example.target,)
    if with_choices and example.choices:
        return (*parts, "\n".join(sorted(example.choices)))
    return parts


def _compared(task: Task, rows: Rows, part: SplitData) -> list[OverlapRow]:
    numbers = set(part.rows.tolist())
    return [
        OverlapRow(
            row=record.row,
            parts=parts_of(e, with_choices=not task.labels),
            target=e.target if task.has_free_answers else None,
            answer=e.target,
        )
        for record, e in zip(rows.records, rows.examples, strict=True)
        if record.row in numbers
    ]


def _same(task: Task, found: Contained) -> str:
    """Which splits are the same, without an end."""
    examples = join(
        [f"{a} and {b}" for a, b in zip(found.smaller_rows[:3], found.larger_rows, strict=False)]
    )
    such = f"such as rows {examples}"
    columns = f"{task.input_word} and {task.output_word} alike"
    if task.input_word == task.output_word:
        columns = f"the same {task.input_word}"
    if found.are_equal:
        return (
            f"{found.smaller} and {found.larger} are the same set: all "
            f"{shown_whole(found.rows)} rows of {found.smaller} are in {found.larger}, {columns}, "
            f"{such}"
        )
    return (
        f"{found.smaller} is mostly in {found.larger}: {shown_whole(found.shared)} of its "
        f"{shown_whole(found.rows)} rows are there, {columns}, {such}"
    )


def _repeats(task: Task, overlap: Overlap) -> list[str]:
    """Rows that are in two splits, or twice in train."""
    found = []
    for first, second in PAIRS:
        same = getattr(overlap, f"{first}_{second}")
        near = getattr(overlap, f"{first}_{second}_near")
        if same:
            found.append(f"{_rows(same, second)} a {task.input_word} that is in {first} too.")
        if near:
            example = next(e for e in overlap.near_examples if e[0:3:2] == (first, second))
            found.append(
                f"{_rows(near, second)} nearly the {task.input_word} of a row "
                f"of {first}, such as row {example.second_row} that of row {example.first_row}."
            )
    if overlap.train_duplicates:
        found.append(
            counted(overlap.train_duplicates, "row of train repeats", "rows of train repeat")
            + f" an earlier {task.input_word}."
        )
    if overlap.train_near:
        found.append(
            f"{_rows(overlap.train_near, 'train')} nearly the {task.input_word} of another."
        )
    return found


def _rows(number: int, split: str) -> str:
    return counted(number, f"row of {split} has", f"rows of {split} have")


def _groups(task: Task, splits: Mapping[Split, SplitData]) -> list[str]:
    column = task.options.group
    if column is None:
        return []
    groups = {split: part.groups or [] for split, part in splits.items()}
    return [
        f"{shown_whole(found.num_groups)} groups (task.group: {column}) are in {found.first} and "
        f"in {found.second}, such as {join([repr(group) for group in found.groups])}: "
        f"{shown_whole(found.rows)} of the {len(groups[found.second])} rows of {found.second} are "
        "of groups that were seen before. Divide the files by group, or give one file, which is "
        "divided so here."
        for found in shared_groups(groups, PAIRS)
    ]


def _said(task: Task, rows: Rows, part: SplitData) -> list[Talk]:
    """The rows of a split in which something is said."""
    numbers = set(part.rows.tolist())
    talks = [
        Talk(record.row, task.said_in(example))
        for record, example in zip(rows.records, rows.examples, strict=True)
        if record.row in numbers
    ]
    return [talk for talk in talks if talk.messages]


def _talks(talks: Mapping[Split, Sequence[Talk]]) -> list[str]:
    """Rows of one talk that are in two splits."""
    pairs = [_pair(found, len(talks[found.second])) for found in shared_talks(talks, PAIRS)]
    if not pairs:
        return []
    return [
        "Talks seem to be written as a row for each answer, with all that was said before, and are "
        f"in two splits: {'; '.join(pairs)}. A longer row holds the answer of a shorter one, so "
        "that scores are of talks that were seen before. Keep the longest row of each talk; or "
        "give one file with a column that says of which talk a row is, and name it as task.group, "
        "by which the file is divided."
    ]


def _pair(found: SharedTalks, num_rows: int) -> str:
    """What two splits share.

    Args:
        num_rows: of the second split.
    """
    first, second = found.first, found.second
    of_all = f"of the {shown_whole(num_rows)} rows of {second}"
    said = []
    if found.begin:
        are = "is" if found.begin == 1 else "are"
        said.append(
            f"{shown_whole(found.begin)} {of_all} {are} the beginning of a conversation of {first}"
        )
    if found.go_on:
        go = "goes" if found.go_on == 1 else "go"
        said.append(
            f"{shown_whole(found.go_on)} {go} on from one"
            if found.begin
            else f"{shown_whole(found.go_on)} {of_all} {go} on from a conversation of {first}"
        )
    own, other = found.example
    return f"{' and '.join(said)}, such as row {own} of {second} and row {other} of {first}"


def order_caution(task: Task, split: Split, part: SplitData, *, is_cut: bool) -> str | None:
    """Says so where the rows of a split are the first ones of a file in the order of its labels.

    Args:
        task: whose. part: the split's rows. is_cut: whether ``task.examples`` ended its reading.
    """
    if not (is_cut and task.labels):
        return None
    used, limit = np.unique(part.gold), task.options.examples.of(split) or 0
    rows = f"rows of {split} that are used (task.examples.{split}: {shown_whole(limit)})"
    remedy = (
        "Rows after these, which are left out, may have other labels. Shuffle the file, or leave "
        f"task.examples.{split} out."
    )
    if len(used) == 1:
        label = task.labels[int(used[0])]
        return f"All {rows} have the label {label!r}. {remedy}"
    if stands_by_label(part.gold):
        return f"The {rows} stand in the order of their labels. {remedy}"
    return None


def _answers(task: Task, split: Split, examples: Sequence[Example]) -> str | None:
    """Says so where the inputs of most rows hold their answer."""
    edges = [i * len(examples) // _LOOKED_AT for i in range(_LOOKED_AT + 1)]
    if len(examples) > _LOOKED_AT:
        examples = [examples[first] for first, _ in pairwise(edges)]
    looked_at = [e for e in examples if e.inputs]
    if not looked_at:
        return None
    word, answer = task.input_word, task.output_word
    if task.has_free_answers:
        # Of what is learnt, a chat template's mark at the end of a turn is in no input.
        found = targets_in_inputs(
            ("\n".join(e.inputs), e.references[0] if e.references else e.target) for e in looked_at
        )
        what = f"the {answer} stands word for word in the {word}, whole or sentence by sentence"
        meant = f"where a {answer} is an extract of its {word}, this is as it should be"
    else:
        found = labels_in_inputs(
            ("\n".join(e.inputs), [*map(task.answer_shown, e.choices)], e.gold)
            for e in looked_at
            if e.gold is not None
        )
        what = f"the {word} names the right {answer} and no other"
        meant = f"where the {word} is meant to name it, this is as it should be"
    if not found.is_most:
        return None
    return (
        f"In {shown_whole(found.found)} of {shown_whole(found.rows)} rows of {split} that were "
        f"looked at, {what}. If it got there by mistake, it is a leak and scores say nothing; "
        f"{meant}."
    )

"""Data that can be read and cannot be learnt from, refused before anything is trained."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from bakeoff.data.layout import Laid, LaidPrompt
from bakeoff.data.rows import Rows, close_records, records_text
from bakeoff.data.sources import Source
from bakeoff.data.taskdata import ChoiceSet
from bakeoff.errors import DataError
from bakeoff.formatting import join
from bakeoff.tasks.contract import Task
from bakeoff.types import Split

_NUMBER: Final = re.compile(r"[+-]?(\d[\d,]*(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def check_input(task: Task, source: Source, split: Split = "train") -> None:
    """Refuses an input column of numbers, such as a row's id, where a text was meant.

    Tasks that read several columns may well put numbers among them.

    Args:
        task: which. source: its rows. split: that is looked at.
    """
    if len(task.input_keys) != 1 or task.takes_numbers:
        return
    [(key, column)] = task.input_keys.items()
    numbers = []
    records = source.records(split)
    for record in records:
        value = record.values.get(column)
        if value is None:
            continue
        if not _is_number(value):
            close_records(records)
            return  # mostly at the first row
        numbers.append(value)
    if len(numbers) < 2:
        return
    others = [repr(name) for name in source.column_names() if name not in task.columns]
    raise DataError(
        f"task.{key} is {column!r}: every row of {source.place(split)} holds a plain number "
        f"there, such as {numbers[0]!r} and {numbers[1]!r}, where a text to read is needed. Set "
        f"task.{key} to a column of texts{f' (there are also {join(others)})' if others else ''}; "
        "if the numbers are meant, put a word before each."
    )


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value.strip()) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_fit(
    task: Task, rows: Rows, laid: list[Laid], prompts: list[LaidPrompt], kept: list[int]
) -> None:
    """Refuses rows that do not fit, or have nothing to learn, where they may not be skipped."""
    options = task.options
    left = sorted(set(range(len(rows))) - set(kept))
    if not left or (options.on_bad_row == "skip" and kept):
        return
    silent = [i for i in left if not laid[i].is_target.any()]
    if silent:
        raise DataError(
            f"task.source: {records_text([rows.records[i] for i in silent])} of {rows.place}: the "
            f"{task.output_word} has no tokens to learn. Correct them, or set task.on_bad_row: "
            "skip to leave such rows out."
        )
    which = f"{records_text([rows.records[i] for i in left])} of {rows.place}"
    needed = [task.max_length + max(laid[i].missing, prompts[i].missing) for i in left]
    if options.on_bad_row == "skip":
        remedy = (
            "So no row is left. Set task.max_length to "
            f"{max(needed)} or more for all of them to fit, or to {min(needed)} or more for one."
        )
    else:
        remedy = (
            f"Set task.max_length to {max(needed)} or more, or task.on_bad_row: skip to leave such "
            "rows out."
        )
    if any(prompts[i].missing for i in left):
        raise DataError(
            f"task.max_length is {task.max_length}: what surrounds the {task.input_word} and "
            f"task.max_target_tokens ({options.max_target_tokens}) leave no room for the "
            f"{task.input_word} of {which}. {remedy}"
        )
    raise DataError(
        f"task.max_length is {task.max_length}, which is too small for the {task.output_word} "
        f"of {which}: it is never cut, and some of its {task.input_word} must fit beside it. "
        f"{remedy}"
    )


def check_choices(found: ChoiceSet, what: str, most_tokens: int) -> None:
    """Refuses choices that the model cannot tell apart, or that prompts leave no room for.

    Args:
        what: how an error names one. most_tokens: ``task.max_target_tokens``.
    """
    seen: dict[tuple[int, ...], str] = {}
    for choice, ids in zip(found.texts, found.tokens, strict=True):
        text, key = choice.strip(), tuple(ids.tolist())
        if not key:
            raise DataError(
                f"{what} {text!r} has no tokens with this base, so no likelihood can be given to "
                "it. Give it a text that the tokenizer knows."
            )
        if (other := seen.setdefault(key, text)) != text:
            raise DataError(
                f"{what} {text!r} has the same tokens as {other!r} with this base, so the model "
                "cannot tell them apart. Give them texts that differ in more than what the "
                "tokenizer drops, such as case or spaces."
            )
    # All follow one prompt, which keeps so many tokens free: a longer one would go beyond
    # task.max_length, and a row would be cut by how long its right answer is.
    longest = max(range(len(found.tokens)), key=lambda i: len(found.tokens[i]))
    if (count := len(found.tokens[longest])) > most_tokens:
        raise DataError(
            f"task.max_target_tokens is {most_tokens}: {what} {found.texts[longest].strip()!r} has "
            f"{count} tokens with this base, and every choice must fit. Set "
            f"task.max_target_tokens to {count} or more, or give shorter words."
        )


def check_beginnings(found: ChoiceSet, what: str) -> None:
    """Refuses a choice that begins with all of another.

    The likelihood of its tokens is a product that has the other's as a factor, so that it is never
    chosen. For choices that all rows share: of a row's own ones, some may well be so.
    """
    ordered = sorted(
        (tuple(ids.tolist()), text.strip())
        for text, ids in zip(found.texts, found.tokens, strict=True)
    )
    # What begins with a text follows it at once in this order, or something else does that
    # begins with it too.
    for (short, text), (long, other) in pairwise(ordered):
        if long[: len(short)] == short:
            raise DataError(
                f"{what} {other!r} begins with all tokens of {text!r} with this base, so that the "
                "latter is always the likelier one. Give them other words, or let task.template go "
                "on after it, with a line end for example (and task.chat_template: none, where a "
                "chat template is named)."
            )

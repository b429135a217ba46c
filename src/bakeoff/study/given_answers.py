"""Answers to the test rows from a file: one JSON line for each, in any order.

A line has ``prediction`` and names its row by ``id``, which ``bakeoff template`` and every
candidate's ``predictions.jsonl`` write; other keys are passed over. Lines without an ``id`` name it
by ``index``, the row's place in the test set from 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bakeoff.data.taskdata import SplitData
from bakeoff.errors import DataError
from bakeoff.formatting import counted, join

_NAMED: Final = 3
"""Faults of one kind that a message names."""
_TEMPLATE: Final = "`bakeoff template RUN` writes a file with a line for each test row"


@dataclass(frozen=True, kw_only=True)
class GivenAnswers:
    """What a file holds.

    Attributes:
        texts: [test rows] in the set's order. by_index: whether any line named its row by its
            place alone, which does not show that the answer belongs to its content.
    """

    texts: tuple[str, ...]
    by_index: bool


def read_answers(path: Path, part: SplitData, *, where: str, name: str = "") -> GivenAnswers:
    """Reads the answers to a test set.

    Args:
        path: the file. part: the set. where: the path in the study, for errors.
        name: what errors call the file; its path without.

    Raises:
        DataError: the file cannot be read; a line is no answer; or rows are missing, there twice,
            or foreign, each named by file, line and row.
    """
    file = name or str(path)
    places = {id: index for index, id in enumerate(part.row_ids)}
    texts: dict[int, str] = {}
    lines: dict[int, int] = {}
    foreign, twice, by_index = [], [], False
    for number, row in _lines(path, f"{where}: {file}"):
        at = f"{file}, line {number}"
        place, named = _place_of(row, places, len(part), at, where)
        by_index |= "id" not in row
        if place is None:
            foreign.append(f"line {number}: {named}")
            continue
        if place in texts:
            twice.append(f"{named} in lines {lines[place]} and {number}")
            continue
        texts[place], lines[place] = _text_of(row, at, named, where), number
    missing = [
        f"id {id} (index {index}, row {int(part.rows[index])} of the source)"
        for id, index in places.items()
        if index not in texts
    ]
    faults = [
        _fault(
            foreign,
            "line names a row that is not in the test set",
            "lines name rows that are not in it",
        ),
        _fault(twice, "row is answered twice", "rows are answered twice"),
        _fault(missing, "test row has no answer", "test rows have no answer"),
    ]
    if any(faults):
        raise DataError(
            f"{where}: {file}: {'; '.join(filter(None, faults))}. Each of the {len(part)} test "
            f"rows needs one answer; {_TEMPLATE}"
        )
    return GivenAnswers(texts=tuple(texts[i] for i in range(len(part))), by_index=by_index)


def _fault(found: Sequence[str], one: str, many: str) -> str:
    if not found:
        return ""
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    shown = "; ".join(found[:_NAMED])
    return f"{counted(len(found), one, many)} ({shown}{more})"


def _lines(path: Path, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(its number from 1, its content) of each line that is not blank."""
    try:
        # As the study's own rows, with the mark that some programs put before UTF-8.
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{where} cannot be read ({error}); give a file of JSON lines. {_TEMPLATE}"
        ) from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{where}, line {number}: is no JSON ({error}); each line is one object, "
                'such as {"id": "...", "prediction": "..."}'
            ) from None
        if not isinstance(row, dict):
            raise DataError(
                f"{where}, line {number}: is no JSON object; each line is one, such as "
                '{"id": "...", "prediction": "..."}'
            )
        yield number, row


def _place_of(
    row: dict[str, Any], places: dict[str, int], num_rows: int, at: str, where: str
) -> tuple[int | None, str]:
    """(the row's place in the set, or None; what the line calls it)."""
    if "id" in row:
        return places.get(str(row["id"])), f"id {row['id']}"
    index = row.get("index")
    if type(index) is not int:
        raise DataError(
            f"{where}: {at}: names no row; give the id that `bakeoff template` wrote for it"
        )
    return (index if 0 <= index < num_rows else None), f"index {index}"


def _text_of(row: dict[str, Any], at: str, named: str, where: str) -> str:
    """The answer; a number, as a label may be, is its digits.

    NaN, as tables have it where nothing is, is no answer.
    """
    if "prediction" not in row:
        raise DataError(
            f"{where}: {at}: has no key prediction, which holds the answer to {named}; it has "
            f"{join(list(row))}"
        )
    found = row["prediction"]
    is_text = isinstance(found, str | int | float) and not isinstance(found, bool)
    if not is_text or (isinstance(found, float) and not math.isfinite(found)):
        raise DataError(
            f"{where}: {at}: the prediction of {named} is {json.dumps(found)}, not a text; fill in "
            'what was answered, or "" for an empty answer'
        )
    return str(found)

"""Looks at data: a file, or a folder of splits."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from bakeoff.data.columns import Table
from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import OptionalColumn, Record, format_of
from bakeoff.data.sources import ALIASES, Source, open_source
from bakeoff.errors import DataError
from bakeoff.types import SPLITS, Split

_ROWS_KEPT: Final = 2000
_FEWEST_ROWS: Final = 10
_UNREADABLE: Final = 0.01
_SEED: Final = 0


@dataclass(frozen=True, kw_only=True)
class Data:
    """Data that were looked at.

    Attributes:
        source: as ``task.source`` names it. is_whole: whether one file holds everything.
        table: rows drawn at random, of all splits, as columns.
        first: the first training rows. counts: rows of each split.
        num_bad: rows that could not be read. notes: sentences for the user.
    """

    source: str
    is_whole: bool
    table: Table
    first: Table
    counts: Mapping[Split, int]
    num_bad: int
    notes: tuple[str, ...]

    @cached_property
    def num_rows(self) -> int:
        """Of all splits."""
        return sum(self.counts.values())


def look_at(place: str | Path, *, first: int) -> Data:
    """Reads all rows once, and keeps some thousand of them drawn at random.

    Args:
        place: a file, or a folder. first: how many of the first training rows are kept in order.

    Raises:
        DataError: there is nothing, it cannot be read, or it holds nothing to learn from.
    """
    path = Path(place).expanduser()
    if not path.exists():
        raise DataError(
            f"{place}: there is no such file or folder. Give the path of a file (.csv, .json, "
            ".jsonl, each also .gz, or .parquet) or of a folder with a file for each of train, "
            "validation and test"
        )
    path, notes = _one_source(path)
    source = open_source(TaskOptions(kind="text", source=str(path.absolute())), {}, root=Path.cwd())
    names = source.column_names()
    _check_header(path, names)
    # Where no column is found, reading says why.
    columns = {name: OptionalColumn(name) for name in names or ("text",)}
    source = open_source(
        TaskOptions(kind="text", source=str(path.absolute())), columns, root=Path.cwd()
    )
    drawn, head, counts, bad = _drawn(source, first)
    found = sum(counts.values())
    _check_rows(path, found, bad)
    if not names and bad:
        row, problem = bad[0]
        raise DataError(
            f"{path}: its columns cannot be seen, as row {row} is among the first and cannot be "
            f"read ({problem}). Correct it, or take it out"
        )
    table = Table.of(drawn, names)
    if all(column.shape == "empty" for column in table.columns):
        listed = ", ".join(map(repr, names)) or "none"
        raise DataError(
            f"{path}: all values of all {found:,} rows are missing (columns: {listed}). Give data "
            "with texts"
        )
    return Data(
        source=str(place) if path == Path(place).expanduser() else str(path),
        is_whole=path.is_file(),
        table=table,
        first=Table.of(head, names),
        counts=counts,
        num_bad=len(bad),
        notes=tuple(notes),
    )


def _one_source(path: Path) -> tuple[Path, list[str]]:
    """The folder of splits, or the only file of a folder that lacks some."""
    if not path.is_dir():
        return path, []
    files = sorted(file for file in path.iterdir() if file.is_file() and format_of(file))
    by_split = {
        split: [file for file in files if file.name.split(".")[0].lower() in names]
        for split, names in ALIASES.items()
    }
    if all(len(found) == 1 for found in by_split.values()):
        return path, []
    if len(files) == 1:
        note = f"{path} holds one file, {files[0].name}, which is split by a hash of each input"
        return files[0], [note]
    lacking = [split for split in SPLITS if not by_split[split]]
    if len(by_split["train"]) == 1 and lacking and all(len(f) <= 1 for f in by_split.values()):
        left = [file.name for file in files if file not in by_split["train"]]
        note = (
            f"{path} has no file for {' and none for '.join(lacking)}, so {files_name(by_split)} "
            f"alone is used and split by a hash of each input; {', '.join(left)} is not read. To "
            f"use it, hold out rows of your own as {lacking[0]}"
        )
        return by_split["train"][0], [note]
    return path, []  # whose error says what the folder holds


def files_name(by_split: Mapping[Split, list[Path]]) -> str:
    """The name of the training file."""
    return by_split["train"][0].name


def _check_header(path: Path, names: list[str]) -> None:
    if len(names) == 1 and (found := re.search(r"[;\t|]", names[0])):
        character = {"\t": "tabs"}.get(found[0], repr(found[0]))
        raise DataError(
            f"{path}: its header is one column, {names[0]!r}, which {character} seem to divide. "
            "Save it with commas (CSV, UTF-8)"
        )


def _check_rows(path: Path, found: int, bad: list[tuple[int, str]]) -> None:
    total = found + len(bad)
    unreadable = [one for one in bad if "UTF-8" in one[1]]
    if unreadable and len(unreadable) >= _UNREADABLE * total:
        row, problem = unreadable[0]
        raise DataError(
            f"{path}: {len(unreadable):,} of {total:,} rows are not UTF-8, the first one row {row} "
            f"({problem}). Save the file as UTF-8, such as with iconv -f latin1 -t utf-8"
        )
    if found < _FEWEST_ROWS:
        first = f"; row {bad[0][0]}: {bad[0][1]}" if bad else ""
        raise DataError(
            f"{path}: holds {found} usable rows{first}. A study needs rows to train, to choose and "
            f"to test with: {_FEWEST_ROWS} at the very least, and some hundred to say anything"
        )


def _drawn(
    source: Source, first: int
) -> tuple[list[Mapping[str, object]], list[Mapping[str, object]], dict[Split, int], list[_Bad]]:
    """(rows drawn in one pass, in their order; the first training rows; counts; bad rows)."""
    kept: list[tuple[int, Mapping[str, object]]] = []
    head: list[Mapping[str, object]] = []
    counts: dict[Split, int] = dict.fromkeys(SPLITS, 0)
    bad: list[_Bad] = []
    generator = random.Random(_SEED)
    seen = 0
    for split in SPLITS:
        for record in source.records(split):
            if (problem := _problem(record)) is not None:
                bad.append((record.row, problem))
                continue
            counts[split] += 1
            if split == "train" and len(head) < first:
                head.append(record.values)
            if len(kept) < _ROWS_KEPT:
                kept.append((seen, record.values))
            elif (place := generator.randrange(seen + 1)) < _ROWS_KEPT:
                kept[place] = (seen, record.values)
            seen += 1
    kept.sort(key=lambda row: row[0])
    return [values for _, values in kept], head, counts, bad


_Bad = tuple[int, str]


def _problem(record: Record) -> str | None:
    if record.problem is not None:
        return record.problem
    for name, value in _texts(record):
        if isinstance(value, bytes):
            return f"column {name!r} is not UTF-8"
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return f"column {name!r} is not UTF-8"
    return None


def _texts(record: Record) -> Iterator[tuple[str, str | bytes]]:
    for name, value in record.values.items():
        if isinstance(value, str | bytes):
            yield name, value

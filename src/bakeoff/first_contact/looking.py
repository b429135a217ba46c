"""Looks at data: files, or a folder of splits."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Final

from bakeoff.data.columns import Column, Table, num_words
from bakeoff.data.options import SplitShares, TaskOptions
from bakeoff.data.readers import ENDINGS, OTHER_WIDTH, SAVE_AS_UTF_8, OptionalColumn, Record
from bakeoff.data.readers.arrow_values import Binary
from bakeoff.data.readers.fields import root_of
from bakeoff.data.readers.plain_text import rows_of_text
from bakeoff.data.sources import Source, is_there, is_whole, named_files, notes_of, open_source
from bakeoff.data.sources.finding import find_files
from bakeoff.data.sources.folders import data_files, files_in
from bakeoff.errors import DataError
from bakeoff.formatting import counted
from bakeoff.types import SPLITS, Split

SourceOption = str | list[str] | dict[str, str | list[str]]
Place = Path | SourceOption
_ROWS_KEPT: Final = 2000
_FEWEST_ROWS: Final = 10
_UNREADABLE: Final = 0.01
_TORN: Final = 0.5
_WORDS_OF_TEXT: Final = 3
_WORDS_OF_TITLE: Final = 2
_SEED: Final = 0


@dataclass(frozen=True, kw_only=True)
class Data:
    """Data that were looked at.

    Attributes:
        source: as ``task.source`` names it. is_whole: whether one table holds everything.
        table: rows drawn at random, of all splits, as columns.
        first: the first rows of each split that has any. counts: rows of each split.
        filled: names of the columns that hold something, by split.
        holds_out: whether the validation rows come out of train, by a hash.
        num_bad: rows that could not be read. notes: sentences for the user.
    """

    source: SourceOption
    is_whole: bool
    table: Table
    first: Mapping[Split, Table]
    counts: Mapping[Split, int]
    filled: Mapping[Split, Collection[str]]
    holds_out: bool = False
    num_bad: int
    notes: tuple[str, ...]

    @cached_property
    def num_rows(self) -> int:
        """Of all splits."""
        return sum(self.counts.values())

    def has_in_train_alone(self, column: str) -> bool:
        """Whether the training rows have values of a column, or a path into one, and test none."""
        in_train, in_test = (root_of(column, self.filled[split]) for split in ("train", "test"))
        return self.counts["test"] > 0 and in_train is not None and in_test is None


def look_at(place: Place, *, first: int, learnt: str | None = None) -> Data:
    """Reads all rows once, and keeps some thousand of them drawn at random.

    Args:
        place: what ``task.source`` may be, but for names of the Hub: a file, a folder, a pattern,
            a list of these, or a mapping from split to them.
        first: how many of the first rows of each split are kept in order.
        learnt: a column that the test file of a folder lacks, so that it cannot be one.

    Raises:
        DataError: there is nothing, it cannot be read, or it holds nothing to learn from.
    """
    given, notes = _one_source(place, learnt)
    # A name alone may be one of the study's own words.
    located = str(Path(given).expanduser().absolute()) if isinstance(given, str) else given
    task = TaskOptions(kind="text", source=located)
    task.validate()
    source = open_source(task, {}, root=Path.cwd())
    shown = given if isinstance(given, str) else ", ".join(named_files(given))
    # A study cannot name a column without a name, such as an index that pandas wrote.
    header = source.column_names()
    names = [name for name in header if name.strip()]
    _check_header(shown, header)
    # Where no column is found, reading says why.
    columns = {name: OptionalColumn(name) for name in names or ("text",)}
    source = open_source(task, columns, root=Path.cwd())
    drawn, head, counts, filled, bad = _drawn(source, first)
    found = sum(counts.values())
    if holds_out := bool(notes_of(source)):
        # The columns that will decide are not known yet, so the rows held out are estimated.
        held = round(SplitShares().validation * (counts["train"] + counts["validation"]))
        counts |= {"train": counts["train"] + counts["validation"] - held, "validation": held}
    _check_rows(shown, found, bad)
    table = Table.of(drawn, names)
    if all(column.shape == "empty" for column in table.columns):
        listed = ", ".join(map(repr, names)) or "none"
        raise DataError(
            f"{shown}: all values of all {found:,} rows are missing (columns: {listed}). Give data "
            "with texts"
        )
    notes += [*_notes_of_header(table), *_notes_of_texts(task)]
    return Data(
        source=given,
        is_whole=is_whole(source),
        table=table,
        first={split: Table.of(rows, names) for split, rows in head.items() if rows},
        counts=counts,
        filled=filled,
        holds_out=holds_out,
        num_bad=len(bad),
        notes=tuple(notes),
    )


def _one_source(place: Place, learnt: str | None) -> tuple[SourceOption, list[str]]:
    """What ``task.source`` is to be: what was given, or of a folder that lacks splits its files.

    Args:
        place: as given. learnt: a column that the test file lacks.
    """
    if not isinstance(place, str | Path):
        return place, []
    path = Path(place).expanduser()
    if not path.exists():
        if is_there(str(place), Path.cwd()):
            return str(place), []
        raise DataError(
            f"{place}: there is no such file or folder. Give the path of a file ({ENDINGS}), "
            "several of them, or a folder with files for each of train and test"
        )
    if not path.is_dir():
        return str(place), []
    found = files_in(path)
    if isinstance(found, tuple) or (learnt is None and {"train", "test"} <= found.keys()):
        return str(place), []
    files = data_files(path)
    if learnt is None and len(files) == 1:
        note = f"{path} holds one file, {files[0].name}, which is split by a hash of each input"
        return str(files[0]), [note]
    if train := found.get("train"):
        others = [file for split, own in found.items() if split != "train" for file in own]
        others += [file for file in files if file not in train and file not in others]
        left = [_within(path, file) for file in others]
        unused = (
            f"; {', '.join(left)} {'is' if len(left) == 1 else 'are'} not read. To use "
            f"{'it' if len(left) == 1 else 'them'}, hold out rows of your own as test"
            if left
            else ""
        )
        lacking = "no file for " + " and none for ".join(s for s in SPLITS if s not in found)
        if learnt is not None:
            lacking = f"a file for test without any {learnt!r}"
        note = (
            f"{path} has {lacking}, so {', '.join(_within(path, file) for file in train)} alone "
            f"is used and split by a hash of each input{unused}"
        )
        return (str(train[0]) if len(train) == 1 else [str(file) for file in train]), [note]
    return str(place), []  # whose error says what the folder holds


def _within(folder: Path, file: Path) -> str:
    """A file's path from a folder on; its name where it is elsewhere."""
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name


def _check_header(path: str, names: list[str]) -> None:
    is_alone = len(names) > 1 and not "".join(names[1:]).strip()
    if is_alone and num_words(names[0]) >= _WORDS_OF_TITLE:
        raise DataError(
            f"{path}: its first row has nothing but {names[0]!r}, and there are more columns, so "
            "it seems to be a title. Remove the rows above the names of the columns; or name all "
            "columns"
        )
    if len(names) == 1 and (found := re.search(r"[;\t|]", names[0])):
        character = {"\t": "tabs"}.get(found[0], repr(found[0]))
        raise DataError(
            f"{path}: its header is one column, {names[0]!r}, which {character} seem to divide. "
            "Save it with commas (CSV, UTF-8)"
        )


def _notes_of_texts(task: TaskOptions) -> list[str]:
    """What a row of plain text is."""
    found = find_files(task, Path.cwd())
    if found is None or not (files := found.plain_texts):
        return []
    return [f"each {rows_of_text(files[0])} of {files[0].name} is a row"]


def _notes_of_header(table: Table) -> list[str]:
    """That a file seems to have no header: names of columns are like their own values.

    Those of two columns, where one of them is also a value; of texts of which each is there once,
    those of all columns.
    """
    columns = [c for c in table.columns if c.present]
    repeated = [c for c in columns if c.is_label_like and _num_named(c) > 1]
    alike = sum(map(_is_named_as_value, columns))
    if repeated and alike >= min(2, len(columns)):
        seen = (
            f"{repeated[0].name!r} is the name of a column and also stands in it "
            f"{_num_named(repeated[0]):,} times"
        )
    elif table.prose and alike == len(columns):
        seen = f"all columns have names like their values, such as {table.prose[0].name!r}"
    else:
        return []
    return [
        f"{seen}, so the first row seems to be data, which is not read as such; write a row of "
        "names above it"
    ]


def _num_named(column: Column) -> int:
    """How often a column holds its own name."""
    return sum(text.strip() == column.name.strip() for text in column.texts)


def _is_named_as_value(column: Column) -> bool:
    """Whether its name could be one of its values."""
    if column.is_prose:
        return num_words(column.name) >= max(_WORDS_OF_TEXT, column.words / 3)
    alone = Column(name=column.name, values=[column.name])
    return _num_named(column) > 1 or (column.shape == "number" and alone.shape == "number")


def _check_rows(path: str, found: int, bad: list[_Bad]) -> None:
    total = found + len(bad)
    unreadable = [one for one in bad if "UTF-8" in one[1]]
    if unreadable and len(unreadable) >= _UNREADABLE * total:
        row, problem = unreadable[0]
        raise DataError(
            f"{path}: {len(unreadable):,} of {total:,} rows are not UTF-8, the first one {row} "
            f"({problem}). {SAVE_AS_UTF_8}"
        )
    torn = [one for one in bad if OTHER_WIDTH in one[1]]
    if len(torn) > _TORN * total:
        row, problem = torn[0]
        raise DataError(
            f"{path}: {len(torn):,} of {total:,} rows do not have the columns of the header; of "
            f"the first one, {row}, {problem}. The rows must be divided as the header is, and a "
            "field that holds the delimiter must be quoted; save the table so"
        )
    if found < _FEWEST_ROWS:
        first = f"; {bad[0][0]}: {bad[0][1]}" if bad else ""
        count = counted(found, "usable row", "usable rows")
        raise DataError(
            f"{path}: holds {count}{first}. A study needs rows to train, to choose and "
            f"to test with: {_FEWEST_ROWS} at the very least, and some hundred to say anything"
        )


def _of_bytes(rows: list[Record]) -> set[str]:
    """Columns of bytes that are no texts in more than a few rows, such as hashes."""
    found: Counter[str] = Counter()
    for record in rows:
        found.update(name for name, value in record.values.items() if isinstance(value, Binary))
    return {name for name, count in found.items() if count >= _UNREADABLE * len(rows)}


def _drawn(
    source: Source, first: int
) -> tuple[
    list[Mapping[str, object]],
    dict[Split, list[Mapping[str, object]]],
    dict[Split, int],
    dict[Split, set[str]],
    list[_Bad],
]:
    """(rows drawn in one pass, in their order; the first of each split; counts; columns that hold
    something; bad rows)."""
    kept: list[tuple[int, Mapping[str, object]]] = []
    head: dict[Split, list[Mapping[str, object]]] = {split: [] for split in SPLITS}
    counts: dict[Split, int] = dict.fromkeys(SPLITS, 0)
    filled: dict[Split, set[str]] = {split: set() for split in SPLITS}
    bad: list[_Bad] = []
    generator = random.Random(_SEED)
    seen = 0
    found = {split: source.records(split) for split in SPLITS}
    begun = {split: list(islice(records, _ROWS_KEPT)) for split, records in found.items()}
    # A column of bytes is passed over, and must not make all rows bad.
    binary = _of_bytes([record for records in begun.values() for record in records])
    for split in SPLITS:
        for record in chain(begun.pop(split), found[split]):
            if (problem := _problem(record, binary)) is not None:
                bad.append((record.name, problem))
                continue
            counts[split] += 1
            filled[split].update(k for k, v in record.values.items() if v is not None and v != "")
            if len(head[split]) < first:
                head[split].append(record.values)
            if len(kept) < _ROWS_KEPT:
                kept.append((seen, record.values))
            elif (place := generator.randrange(seen + 1)) < _ROWS_KEPT:
                kept[place] = (seen, record.values)
            seen += 1
    kept.sort(key=lambda row: row[0])
    return [values for _, values in kept], head, counts, filled, bad


_Bad = tuple[str, str]


def _problem(record: Record, binary: Collection[str]) -> str | None:
    if record.problem is not None:
        return record.problem
    for name, value in _texts(record):
        if name in binary:
            continue
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

"""Rows given in Python, as data frames, data sets or lists: checked, and written as JSON lines.
Those of the standard input are kept as they are.

A study's rows must be there again when it is taken up, when costs are measured in a process of
their own, and for those who read the folder later. So what is given becomes files, named by a hash
of their content; from there on they are like any other source.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bakeoff.data.readers import Columns, missing_column, present
from bakeoff.data.readers.arrow_values import NARROW, plain_of_row, shortest
from bakeoff.data.sources import ALIASES
from bakeoff.errors import DataError
from bakeoff.files import disk_errors, new_folder
from bakeoff.types import SPLITS

WHOLE: Final = "rows"
"""What the file of a table that is not split is called, without its ending."""
_DIGITS: Final = 32
_NARROW: Final = {np.dtype(kind).itemsize: kind for kind in NARROW.values()}
_ACCEPTED: Final = (
    "give a path, a data set's id, a DataFrame, a datasets.Dataset or a list of mappings, or a "
    "mapping from train, validation and test to one of these"
)


@dataclass(frozen=True, kw_only=True)
class GivenRows:
    """Rows as files: JSON lines where they were given in Python.

    Attributes:
        files: by file name, the content.
    """

    files: Mapping[str, bytes]

    @property
    def is_whole(self) -> bool:
        """Whether one file holds everything, to be split by a hash of each row's input."""
        return len(self.files) == 1

    @property
    def name(self) -> str:
        """What the folder of these files is called: ``rows-`` and a hash of their content."""
        digest = hashlib.sha256()
        for name, content in self.files.items():
            digest.update(f"{name} {len(content)}\n".encode() + content)
        return f"rows-{digest.hexdigest()[:_DIGITS]}"

    def source(self, folder: Path) -> str:
        """The ``task.source`` of these rows once they are written below ``folder``."""
        place = folder / self.name
        return str(place / next(iter(self.files)) if self.is_whole else place)

    def write(self, folder: Path) -> Path:
        """Writes the files below ``folder`` unless they are there; returns the folder of them.

        Raises:
            StoreError: they cannot be written.
        """
        place = folder / self.name
        with disk_errors(place):
            if not self._are_at(place):
                with new_folder(place) as beside:
                    for name, content in self.files.items():
                        (beside / name).write_bytes(content)
        return place

    def _are_at(self, place: Path) -> bool:
        try:
            return all((place / name).read_bytes() == c for name, c in self.files.items())
        except OSError:
            return False


def is_reference(source: object) -> bool:
    """Whether a source names data instead of being them."""
    if isinstance(source, Mapping):
        return bool(source) and all(map(_names_files, source.values()))
    return _names_files(source)


def _names_files(value: object) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, str | Path) for item in value)
    return isinstance(value, str | Path)


def given_rows(source: object, columns: Columns, *, whole: bool = False) -> GivenRows:
    """Rows given in Python as files' contents; only the columns that the task reads are kept.

    Args:
        source: a DataFrame, a ``datasets.Dataset`` or a list of mappings, split by a hash of each
            row's input; or a mapping (a ``datasets.DatasetDict``) from split to one of these,
            where rows of train are held out if there is none for validation; or given rows.
        columns: what the task reads of a row, by the option that names each.
        whole: keeps every other column too, for metrics that are given whole rows; there, what
            JSON has no form for becomes a text, as dates of files do.

    Raises:
        DataError: it is none of these, a split is missing, a column is missing everywhere, or a
            value has no form in JSON.
    """
    if isinstance(source, GivenRows):
        return source
    if isinstance(source, Mapping):
        return GivenRows(files=_splits(source, columns, whole))
    content = _content(source, columns, "task.source", whole)
    return GivenRows(files={f"{WHOLE}.jsonl": content})


def _splits(source: Mapping[Any, object], columns: Columns, whole: bool) -> dict[str, bytes]:
    if len(source) == 1:
        [(name, table)] = source.items()
        return {f"{WHOLE}.jsonl": _content(table, columns, f"task.source[{name!r}]", whole)}
    files = {}
    for split in SPLITS:
        names = [name for name in source if str(name).lower() in ALIASES[split]]
        if not names and split == "validation":
            continue
        if len(names) != 1:
            raise DataError(
                f"task.source: has {len(names) or 'no'} entries for {split} (called "
                f"{' or '.join(ALIASES[split])}); it has {', '.join(map(repr, source)) or 'none'}. "
                "Give one for each of train and test, and for validation unless rows of train are "
                "to be held out, or all rows as one table, which is split by a hash of each row's "
                "input."
            )
        place = f"task.source[{names[0]!r}]"
        files[f"{split}.jsonl"] = _content(source[names[0]], columns, place, whole)
    return files


def _content(table: object, columns: Columns, place: str, whole: bool) -> bytes:
    found: set[str] = set()
    lines = []
    for number, row in enumerate(table_rows(table, columns, place, whole=whole), start=1):
        found.update(map(str, row))
        read = present(columns, row)
        others = [name for name in row if name not in read] if whole else []
        kept = {name: _plain(row[name], f"{place}, row {number}, column {name!r}") for name in read}
        kept |= {str(name): _plain(row[name], place, or_text=True) for name in others}
        lines.append(json.dumps(kept) + "\n")
    if not lines:
        raise DataError(f"{place}: holds no rows; every split needs at least one")
    if error := missing_column(place, columns, found):
        raise error
    return "".join(lines).encode("ascii")


def table_rows(
    table: Any, columns: Columns, place: str, *, whole: bool = False
) -> Iterator[Mapping[Any, Any]]:
    """The rows of one table as mappings; of a data frame only the columns that are asked for.

    Args:
        table: a DataFrame, a ``datasets.Dataset`` or an iterable of mappings.
        columns: by the option that names each. place: what holds the rows, for errors.
        whole: gives all columns of a data frame.

    Raises:
        DataError: it is none of these, or lacks a column.
    """
    if _is_a(table, "pandas", "DataFrame"):
        there = list(table.columns)
        if error := missing_column(place, columns, map(str, there)):
            raise error
        names = list(dict.fromkeys(there)) if whole else present(columns, there)
        if twice := [name for name in names if there.count(name) > 1]:
            raise DataError(f"{place}: has two columns {twice[0]!r}; rename one of them")
        # Only the column knows of how many bits its numbers were.
        narrow = {name: kind for name in names if (kind := _narrow(table[name].dtype)) is not None}
        for values in table[names].itertuples(index=False, name=None):
            row = dict(zip(names, values, strict=True))
            yield row | {name: shortest(kind, row[name]) for name, kind in narrow.items()}
    elif _is_a(table, "datasets", "Dataset"):
        if error := missing_column(place, columns, table.column_names):
            raise error
        names = table.column_names if whole else present(columns, table.column_names)
        read = table.select_columns(names)
        yield from map(plain_of_row(read), read)
    elif isinstance(table, Iterable) and not isinstance(table, str | bytes | Mapping):
        for number, row in enumerate(table, start=1):
            if not isinstance(row, Mapping):
                raise DataError(
                    f"{place}, row {number}: is of the type {type(row).__name__} and no mapping "
                    f"from column to value; {_ACCEPTED}"
                )
            yield row
    else:
        raise DataError(f"{place}: is of the type {type(table).__name__}; {_ACCEPTED}")


def _is_a(value: object, module: str, name: str) -> bool:
    """Whether it is of a class of a library; one that is not loaded has made no value."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def _narrow(dtype: Any) -> type[np.floating[Any]] | None:
    """The type of numbers of fewer bits than Python's, of a dtype of NumPy or pandas, else None."""
    stored = getattr(dtype, "subtype", dtype)  # of a sparse column
    if getattr(stored, "kind", "") != "f":
        return None
    return _NARROW.get(getattr(stored, "itemsize", 0))


def _plain(value: Any, place: str, *, or_text: bool = False) -> Any:
    """A value as JSON knows it; what is not a number, pandas' missing value too, becomes None.

    Args:
        value: of a row. place: where it is, for errors. or_text: makes a text of any other.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, np.floating) and (kind := _narrow(value.dtype)) is not None:
        value = shortest(kind, value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item, place, or_text=or_text) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, place, or_text=or_text) for item in value]
    if type(value).__name__ in ("NAType", "NaTType"):  # pandas' own, which is not imported for it
        return None
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays
        return _plain(value.tolist(), place, or_text=or_text)
    if or_text:
        return str(value)
    raise DataError(
        f"{place}: is of the type {type(value).__name__}, which rows cannot keep; make it a text, "
        "a number, a boolean, a list or a mapping of these"
    )

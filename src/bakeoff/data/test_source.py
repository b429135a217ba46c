"""Where the rows of a further test set come from: nothing is trained on it, so only a test split is
needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import (
    Columns,
    Record,
    column_names,
    format_of,
    missing_column,
    present,
    read_records,
)
from bakeoff.data.sources import (
    ALIASES,
    WIRE,
    Source,
    WireSource,
    load_from_hub,
    looks_like_path,
    refuse_config,
    resolve,
)
from bakeoff.errors import DataError
from bakeoff.files import sha256_of
from bakeoff.types import Split

_TEST = ALIASES["test"]


def open_test_source(task: TaskOptions, columns: Columns, *, root: Path) -> Source:
    """Finds the data of a further test set.

    Args:
        task: its ``source`` decides: a folder that has a test file, a file that is taken whole,
            ``wire``, or a Hub data set with a test split or with one split.
        columns: what is read of each row. root: the folder that relative paths start from.

    Returns:
        A source that has the same rows, the test's, as every split.

    Raises:
        ConfigError: an option that the kind of source has no use for.
        DataError: data that are not there, are ambiguous, or cannot be fetched.
    """
    source = task.source
    if not isinstance(source, str):
        raise DataError(
            f"task.source is {source!r}: a further test set has one place. Give its file, or "
            "{test: file}."
        )
    if source == WIRE:
        refuse_config(task, WIRE)
        return WireSource(task, columns)
    path = resolve(source, root)
    if path.is_dir():
        refuse_config(task, "a folder")
        return _OneFile(_test_file(path), columns)
    if path.exists():
        refuse_config(task, "a file")
        return _OneFile(path, columns)
    if looks_like_path(source):
        raise DataError(
            f"task.source is {source!r}: there is no file or folder {path}. Correct the path; "
            f"relative ones start from {root}."
        )
    return _HubSplit(task, columns, looked_at=path)


class _OneFile:
    """A file that is taken whole."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._path, self._columns = path, columns

    def place(self, split: Split) -> str:
        return str(self._path)

    def records(self, split: Split) -> Iterator[Record]:
        return read_records(self._path, self._columns)

    def fingerprint(self) -> list[str]:
        try:
            return [self._path.name, sha256_of(self._path)]
        except OSError as error:
            raise DataError(
                f"task.source: {self._path} cannot be read: {error.strerror or error}. Check the "
                "path and its permissions."
            ) from error

    def column_names(self) -> list[str]:
        return column_names(self._path)


class _HubSplit:
    """The test split of a data set of the Hub, or its only split."""

    def __init__(self, task: TaskOptions, columns: Columns, *, looked_at: Path) -> None:
        self._name = f"{task.source}" + (f" ({task.config})" if task.config else "")
        self._columns = columns
        loaded = load_from_hub(task, looked_at)
        named = [name for name in loaded if name in _TEST] or (
            list(loaded) if len(loaded) == 1 else []
        )
        if not named:
            raise DataError(
                f"task.source: {self._name} has the splits {sorted(loaded)} and none called "
                f"{' or '.join(_TEST)}. Save the rows as a local file and name that."
            )
        self._split, self._loaded = named[0], loaded[named[0]]
        place = f"split {self._split!r} of {self._name}"
        if error := missing_column(place, columns, self._loaded.column_names):
            raise error

    def place(self, split: Split) -> str:
        return f"{self._name}, {self._split}"

    def records(self, split: Split) -> Iterator[Record]:
        names = present(self._columns, self._loaded.column_names)
        for row, values in enumerate(self._loaded.select_columns(names), start=1):
            yield Record(row, values)

    def fingerprint(self) -> list[str]:
        return [self._name, f"{self._split} {self._loaded._fingerprint}"]

    def column_names(self) -> list[str]:
        return list(self._loaded.column_names)


def _test_file(folder: Path) -> Path:
    files = sorted(path for path in folder.iterdir() if path.is_file() and format_of(path))
    found = [path for path in files if path.name.split(".")[0].lower() in _TEST]
    if len(found) == 1:
        return found[0]
    listing = ", ".join(path.name for path in files) or "no data files"
    raise DataError(
        f"task.source: {folder} must hold exactly one file for test (named {' or '.join(_TEST)}); "
        f"found {', '.join(path.name for path in found) or 'none'}. The folder holds: {listing}. "
        "Rename or remove files, or name the file itself."
    )

"""Data sets of the Hugging Face Hub, read by Datasets; no code of a data set's own is ever run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import Columns, Record, missing_column, present, with_fields
from bakeoff.data.readers.arrow_values import plain_of_row
from bakeoff.data.sources.contract import ALIASES
from bakeoff.errors import DataError
from bakeoff.types import SPLITS, Split


class HubPart:
    """One split of a data set.

    Args:
        name: the data set's. split: its own name of the split. loaded: the split itself.
        columns: what is read of each row.

    Raises:
        DataError: a column is missing.
    """

    def __init__(self, name: str, split: str, loaded: Any, columns: Columns) -> None:
        self._name, self._split, self._loaded, self._columns = name, split, loaded, columns
        if error := missing_column(f"split {split!r} of {name}", columns, loaded.column_names):
            raise error

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self._name}, {self._split}"

    def records(self) -> Iterator[Record]:
        """Its rows in their order."""
        names = present(self._columns, self._loaded.column_names)
        loaded = self._loaded.select_columns(names)
        plain = plain_of_row(loaded)
        for row, values in enumerate(loaded, start=1):
            yield Record(row, with_fields(plain(values), self._columns.values()))

    def fingerprint(self) -> list[str]:
        """As Datasets has it."""
        return [self._name, f"{self._split} {self._loaded._fingerprint}"]

    def digests(self) -> tuple[str, ...]:
        """None: it has no files of ours."""
        return ()

    def column_names(self) -> list[str]:
        """The columns that its rows have."""
        return list(self._loaded.column_names)


def hub_parts(
    task: TaskOptions, columns: Columns, looked_at: Path
) -> dict[Split, HubPart] | HubPart:
    """A data set's parts by split, or its only one.

    Raises:
        DataError: it cannot be loaded, or has splits and lacks train or test.
    """
    name, loaded = _loaded(task, looked_at)
    if len(loaded) == 1:
        [(only, rows)] = loaded.items()
        return HubPart(name, only, rows, columns)
    found = {split: at for split in SPLITS if (at := _named(split, loaded)) is not None}
    if lacking := [split for split in ("train", "test") if split not in found]:
        raise DataError(
            f"task.source: {name} has the splits {sorted(loaded)} and no "
            f"{' and no '.join(lacking)}. Save its rows as local files, with rows that are held "
            "out as test, or as one file, which is split by a hash of each input; and name those."
        )
    return {split: HubPart(name, at, loaded[at], columns) for split, at in found.items()}


def hub_test(task: TaskOptions, columns: Columns, looked_at: Path) -> HubPart:
    """The test split of a data set, or its only split.

    Raises:
        DataError: it cannot be loaded, or has neither.
    """
    name, loaded = _loaded(task, looked_at)
    at = next(iter(loaded)) if len(loaded) == 1 else _named("test", loaded)
    if at is None:
        raise DataError(
            f"task.source: {name} has the splits {sorted(loaded)} and none called "
            f"{' or '.join(ALIASES['test'])}. Save the rows as a local file and name that."
        )
    return HubPart(name, at, loaded[at], columns)


def _named(split: Split, loaded: dict[str, Any]) -> str | None:
    return next((name for name in ALIASES[split] if name in loaded), None)


def _loaded(task: TaskOptions, looked_at: Path) -> tuple[str, dict[str, Any]]:
    """(its name, its splits by theirs); raises DataError where it cannot be loaded."""
    import datasets  # takes seconds to import, and most tasks do without

    try:
        loaded = datasets.load_dataset(str(task.source), task.config)
    except Exception as error:  # network, hub, cache and format errors have no common base
        first_line = (str(error).splitlines() or [""])[0]
        raise DataError(
            f"task.source is {task.source!r}: there is no file or folder {looked_at}, and as a "
            f"Hub data set with config {task.config!r} it cannot be loaded "
            f"({type(error).__name__}: {first_line}). Check the name, task.config and the "
            "network; local files and `wire` work without network."
        ) from error
    return f"{task.source}" + (f" ({task.config})" if task.config else ""), dict(loaded)

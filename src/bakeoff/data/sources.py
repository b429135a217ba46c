"""Where a task's rows come from: wire, local files, or a data set of the Hugging Face Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from bakeoff.data import wire
from bakeoff.data.cleaning import normalise
from bakeoff.data.options import SplitShares, TaskOptions
from bakeoff.data.readers import (
    Columns,
    Record,
    column_names,
    format_of,
    missing_column,
    present,
    read_records,
)
from bakeoff.errors import ConfigError, DataError
from bakeoff.types import SPLITS, Split

WIRE: Final = "wire"
GROUP: Final = "group"
"""The option that names the column of groups."""
_WIRE_COLUMNS: Final[Mapping[str, Callable[[wire.WireExample], str]]] = {
    "article": lambda example: example.article,
    "document": lambda example: example.article,
    "highlights": lambda example: example.highlights,
    "summary": lambda example: example.highlights,
    "desk": lambda example: example.desk,
}
WIRE_EXAMPLES: Final[Mapping[Split, int]] = {"train": 2000, "validation": 200, "test": 200}
"""How many examples wire makes where ``task.examples`` says null."""

ALIASES: Final[Mapping[Split, tuple[str, ...]]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""What a split's file, or its part of a data set, may be called."""


class Source(Protocol):
    """The rows of a task, by split."""

    def place(self, split: Split) -> str:
        """Returns where a split's rows are, for messages."""
        ...

    def records(self, split: Split) -> Iterator[Record]:
        """Reads a split's rows in the source's order."""
        ...

    def fingerprint(self) -> list[str]:
        """Returns what identifies the contents: equal lists mean equal rows."""
        ...

    def column_names(self) -> list[str]:
        """Returns all columns that rows have, those that the task does not read included."""
        ...


def open_source(task: TaskOptions, columns: Columns, *, root: Path) -> Source:
    """Finds a task's data.

    Args:
        task: its ``source`` decides; see there.
        columns: what is read of each row, what is learnt last (groups aside). The others' contents
            decide its split.
        root: the folder that relative paths start from.

    Raises:
        ConfigError: an option that the kind of source has no use for.
        DataError: data that are not there, are ambiguous, or cannot be fetched.
    """
    source = task.source
    if isinstance(source, dict):
        _refuse_config(task, "files")
        return SplitFiles({split: _file(source[split], root, split) for split in SPLITS}, columns)
    if source == WIRE:
        _refuse_config(task, WIRE)
        return WireSource(task, columns)
    path = resolve(source, root)
    if path.is_dir():
        _refuse_config(task, "a folder")
        return SplitFiles(_split_files(path), columns)
    if path.exists():
        _refuse_config(task, "a file")
        return WholeFile(path, columns, task.split_by_hash)
    if _looks_like_path(source):
        raise DataError(
            f"task.source is {source!r}: there is no file or folder {path}. Correct the path; "
            f"relative ones start from {root}."
        )
    return HubSource(task, columns, looked_at=path)


def resolve(path: str, root: Path) -> Path:
    """Returns a path made absolute; a relative one starts from ``root``."""
    return (root / Path(path).expanduser()).resolve()


def split_by_hash(content: object, shares: SplitShares) -> Split:
    """Returns the split that a row belongs to, from its input (or its group) alone.

    Inputs that differ only in case and spacing fall into the same split, on every machine.
    """
    text = normalise(content) if isinstance(content, str) else repr(content)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < shares.test:
        return "test"
    return "validation" if place < shares.test + shares.validation else "train"


class SplitFiles:
    """One file a split."""

    def __init__(self, files: Mapping[Split, Path], columns: Columns) -> None:
        self._files = files
        self._columns = columns

    def place(self, split: Split) -> str:
        return str(self._files[split])

    def records(self, split: Split) -> Iterator[Record]:
        return read_records(self._files[split], self._columns)

    def fingerprint(self) -> list[str]:
        return [part for split in SPLITS for part in _file_identity(self._files[split])]

    def column_names(self) -> list[str]:
        return column_names(self._files["train"])


class WholeFile:
    """One file that holds everything, split by a hash of each row's input."""

    def __init__(self, path: Path, columns: Columns, shares: SplitShares) -> None:
        self._path = path
        self._columns = columns
        self._shares = shares
        self._by_split: dict[Split, list[Record]] | None = None

    def place(self, split: Split) -> str:
        return f"{self._path} ({split}, split by hash)"

    def records(self, split: Split) -> Iterator[Record]:
        if self._by_split is None:
            self._by_split = _divided(
                read_records(self._path, self._columns), self._columns, self._shares
            )
        return iter(self._by_split[split])

    def fingerprint(self) -> list[str]:
        return _file_identity(self._path)

    def column_names(self) -> list[str]:
        return column_names(self._path)


class WireSource:
    """Articles made here, without network."""

    def __init__(self, task: TaskOptions, columns: Columns) -> None:
        for key, column in columns.items():
            if column not in _WIRE_COLUMNS:
                raise ConfigError(
                    f"task.{key} is {column!r}: wire's columns are article (also as document), "
                    f"highlights (also as summary) and desk. Set task.{key} to one of these."
                )
        self._columns = columns
        self._seed = task.seed
        self._counts = {split: task.examples.of(split) or WIRE_EXAMPLES[split] for split in SPLITS}

    def place(self, split: Split) -> str:
        return f"wire ({split})"

    def records(self, split: Split) -> Iterator[Record]:
        examples = wire.generate(self._counts[split], seed=self._seed, split=split)
        for row, example in enumerate(examples, start=1):
            found = {column: _WIRE_COLUMNS[column](example) for column in self._columns.values()}
            yield Record(row, found)

    def fingerprint(self) -> list[str]:
        # The generator's own text is its version, so that no change to it is forgotten.
        sources = sorted(Path(wire.__file__).parent.glob("*.py"))
        code = [hashlib.sha256(source.read_bytes()).hexdigest() for source in sources]
        return [WIRE, str(self._seed), str(sorted(self._counts.items())), *code]

    def column_names(self) -> list[str]:
        return list(_WIRE_COLUMNS)


class HubSource:
    """A data set of the Hub, read by Datasets; no code of the data set's own is ever run."""

    def __init__(self, task: TaskOptions, columns: Columns, *, looked_at: Path) -> None:
        self._name = f"{task.source}" + (f" ({task.config})" if task.config else "")
        self._columns = columns
        self._shares = task.split_by_hash
        loaded = _load_from_hub(task, looked_at)
        self._splits = {
            split: found
            for split in SPLITS
            if (found := next((name for name in ALIASES[split] if name in loaded), None))
        }
        self._loaded = loaded
        self._by_split: dict[Split, list[Record]] | None = None
        if len(loaded) > 1 and len(self._splits) < len(SPLITS):
            lacking = [split for split in SPLITS if split not in self._splits]
            raise DataError(
                f"task.source: {self._name} has the splits {sorted(loaded)} and no "
                f"{' and no '.join(lacking)}. Save it as three local files and name those."
            )
        for name in self._splits.values() if len(loaded) > 1 else loaded:
            place = f"split {name!r} of {self._name}"
            if error := missing_column(place, columns, loaded[name].column_names):
                raise error

    def place(self, split: Split) -> str:
        return f"{self._name}, {self._splits[split] if len(self._loaded) > 1 else 'by hash'}"

    def records(self, split: Split) -> Iterator[Record]:
        if len(self._loaded) > 1:
            return self._read(self._splits[split])
        if self._by_split is None:
            (name,) = self._loaded
            self._by_split = _divided(self._read(name), self._columns, self._shares)
        return iter(self._by_split[split])

    def fingerprint(self) -> list[str]:
        return [self._name, *(f"{name} {data._fingerprint}" for name, data in self._loaded.items())]

    def column_names(self) -> list[str]:
        return list(next(iter(self._loaded.values())).column_names)

    def _read(self, name: str) -> Iterator[Record]:
        loaded = self._loaded[name]
        rows = loaded.select_columns(present(self._columns, loaded.column_names))
        for row, values in enumerate(rows, start=1):
            yield Record(row, values)


def _load_from_hub(task: TaskOptions, looked_at: Path) -> dict[str, Any]:
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
    return dict(loaded)


def _divided(
    records: Iterator[Record], columns: Columns, shares: SplitShares
) -> dict[Split, list[Record]]:
    decisive = _decisive(columns)
    by_split: dict[Split, list[Record]] = {split: [] for split in SPLITS}
    for record in records:
        values = [record.values.get(column) for column in decisive]
        # A row without an input has no place of its own; train reports it like any bad row.
        if any(value is None for value in values):
            by_split["train"].append(record)
        else:
            content = values[0] if len(values) == 1 else "\n".join(map(str, values))
            by_split[split_by_hash(content, shares)].append(record)
    return by_split


def _decisive(columns: Columns) -> list[str]:
    """The columns whose contents decide a row's split."""
    if GROUP in columns:  # rows of one group stay together
        return [columns[GROUP]]
    *inputs, answer = columns.values()
    return list(dict.fromkeys(inputs)) or [answer]


def _split_files(folder: Path) -> dict[Split, Path]:
    present = sorted(path for path in folder.iterdir() if path.is_file() and format_of(path))
    found = {
        split: [path for path in present if path.name.split(".")[0].lower() in names]
        for split, names in ALIASES.items()
    }
    listing = ", ".join(path.name for path in present) or "no data files"
    for split, paths in found.items():
        if len(paths) != 1:
            names = ", ".join(path.name for path in paths) or "none"
            raise DataError(
                f"task.source: {folder} must hold exactly one file for {split} (named "
                f"{' or '.join(ALIASES[split])}, ending in .csv, .json, .jsonl, .gz of these or "
                f".parquet); found {names}. The folder holds: {listing}. Rename or remove files, "
                "or give task.source as {train: file, validation: file, test: file}; one file "
                "that holds everything may be named itself."
            )
    return {split: paths[0] for split, paths in found.items()}


def _file(name: str, root: Path, split: Split) -> Path:
    path = resolve(name, root)
    if not path.is_file():
        raise DataError(
            f"task.source.{split} is {name!r}: there is no file {path}. Correct the path; "
            f"relative ones start from {root}."
        )
    return path


def _file_identity(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return [path.name, hashlib.file_digest(file, "sha256").hexdigest()]
    except OSError as error:
        raise DataError(
            f"task.source: {path} cannot be read: {error.strerror or error}. Check the path and "
            "its permissions."
        ) from error


def _looks_like_path(source: str) -> bool:
    return (
        source.startswith((".", "/", "~"))
        or source.count("/") > 1
        or "\\" in source
        or source.endswith("/")
        or format_of(Path(source)) is not None
    )


def _refuse_config(task: TaskOptions, kind: str) -> None:
    if task.config is not None:
        raise ConfigError(
            f"task.config is {task.config!r}, but task.source is {kind}: only data sets of the "
            "Hub have configurations. Remove task.config."
        )

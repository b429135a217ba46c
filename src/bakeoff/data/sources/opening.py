"""Opens a task's data: the three splits of a study, or a further test set."""

from __future__ import annotations

from pathlib import Path

from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import Columns
from bakeoff.data.readers.plain_text import check_alike
from bakeoff.data.sources.contract import WIRE, Source
from bakeoff.data.sources.fileset import FileSet
from bakeoff.data.sources.finding import Found, find_files
from bakeoff.data.sources.folders import lacking
from bakeoff.data.sources.hashing import SplitKey
from bakeoff.data.sources.hub import HubPart, hub_parts, hub_test
from bakeoff.data.sources.paths import resolve
from bakeoff.data.sources.tables import SplitParts, TestPart, WholePart
from bakeoff.data.sources.wire_source import WireSource
from bakeoff.types import Split


def open_source(
    task: TaskOptions, columns: Columns, *, root: Path, key: SplitKey | None = None
) -> Source:
    """Finds a task's data.

    Args:
        task: its ``source`` decides; see there.
        columns: what is read of each row, what is learnt last (groups aside). The others' contents
            decide its split.
        root: the folder that relative paths start from.
        key: what decides a row's split instead, where the task says so.

    Raises:
        ConfigError: an option that the kind of source has no use for.
        DataError: data that are not there, are ambiguous, or cannot be fetched.
    """
    found = _found(task, root)
    if found is None:
        if task.source == WIRE:
            return WireSource(task, columns)
        parts = hub_parts(task, columns, resolve(str(task.source), root))
        if isinstance(parts, HubPart):
            return WholePart(parts, columns, task.split_by_hash, key)
        return SplitParts(parts, columns, task.split_by_hash, key)
    if found.whole:
        return WholePart(FileSet(found.whole, columns), columns, task.split_by_hash, key)
    needed: tuple[Split, ...] = ("train", "test")
    missing = [split for split in needed if split not in found.splits]
    if missing and found.folder is not None:
        raise lacking(found.folder, missing)
    return SplitParts(
        {split: FileSet(files, columns) for split, files in found.splits.items()},
        columns,
        task.split_by_hash,
        key,
    )


def open_test_source(task: TaskOptions, columns: Columns, *, root: Path) -> Source:
    """Finds the data of a further test set: nothing is trained on it, so a test split will do.

    Args:
        task: its ``source`` decides: a folder that has a test set, files that are taken whole,
            ``wire``, or a Hub data set with a test split or with one split.
        columns: what is read of each row. root: the folder that relative paths start from.

    Returns:
        A source that has the same rows, the test's, as every split.

    Raises:
        ConfigError: an option that the kind of source has no use for.
        DataError: data that are not there, are ambiguous, or cannot be fetched.
    """
    found = _found(task, root)
    if found is None:
        if task.source == WIRE:
            return WireSource(task, columns)
        return TestPart(hub_test(task, columns, resolve(str(task.source), root)))
    files = found.whole or found.splits.get("test")
    if not files:
        assert found.folder is not None
        raise lacking(found.folder, ["test"])
    return TestPart(FileSet(files, columns))


def _found(task: TaskOptions, root: Path) -> Found | None:
    found = find_files(task, root)
    if found is not None:
        check_alike(found.plain_texts)
    return found

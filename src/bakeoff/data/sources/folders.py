"""Folders of splits: a file for each, shards, sub-folders, or what Datasets saved."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from bakeoff.data.readers import ENDINGS, PLAIN_TEXT, format_of, hint_for
from bakeoff.data.sources.contract import ALIASES
from bakeoff.data.sources.paths import in_natural_order
from bakeoff.data.sources.saved import saved_files, saved_splits
from bakeoff.errors import DataError
from bakeoff.formatting import counted
from bakeoff.types import SPLITS, Split

Splits = Mapping[Split, tuple[Path, ...]]
_DATA: Final = "data"
_LOOKED_AT: Final = 10_000
"""Files and folders within one that holds none of its own, for messages."""
_NUMBERED: Final = re.compile(r"-(\d+)-of-(\d+)\b")


def files_in(folder: Path) -> Splits | tuple[Path, ...]:
    """The files of each split that a folder has, or of the one data set that it is.

    Raises:
        DataError: it has files of no split, several where one is meant, or lacks a shard.
    """
    if (names := saved_splits(folder)) is not None:
        return _of_saved(folder, names)
    if (saved := saved_files(folder)) is not None:
        return saved
    tried = [look(at) for at in (folder, folder / _DATA) for look in (_by_names, _by_folders)]
    return max(tried, key=lambda found: ("train" in found) + ("test" in found))


def data_files(folder: Path) -> list[Path]:
    """The tables of a folder, by their endings.

    Plain texts are none: most are notes, as ``readme.txt``. Those that are called after splits are
    data where no table is (``_by_names``).
    """
    return [path for path in _read_files(folder) if format_of(path) != PLAIN_TEXT]


def _read_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return in_natural_order(
        path
        for path in folder.iterdir()
        if path.name[0] not in "._" and path.is_file() and format_of(path)
    )


def lacking(folder: Path, splits: Iterable[Split]) -> DataError:
    """The error for a folder that has no files for some splits."""
    files = data_files(folder)
    listing = ", ".join(path.name for path in files) or f"no data files{_others(folder)}"
    wanted = list(splits)
    names = ", none for ".join(wanted)
    remedy = "Rename files" if "train" in wanted else "Hold out rows of your own as test"
    return DataError(
        f"task.source: {folder} must hold a file for train and one for test (named train and "
        f"test, and validation or {' or '.join(ALIASES['validation'][1:])}; ending in {ENDINGS}), "
        f"shards (train-00000-of-00002.parquet) or folders of these names; it has none for {names}"
        f". The folder holds: {listing}. {remedy}, or give task.source as {{train: file, "
        "validation: file, test: file}; one file that holds everything may be named itself, as "
        "may several (folder/*.jsonl), and is split by a hash of each input."
    )


def _others(folder: Path) -> str:
    """What a folder without data holds instead, by its most frequent ending."""
    if not folder.is_dir():
        return ""
    here, where = _endings(sorted(folder.iterdir())), ""
    if not here:
        here, where = _endings(islice(folder.rglob("*"), _LOOKED_AT)), " in folders of it"
    if not here:
        return ""
    [(ending, count)] = here.most_common(1)
    found = counted(count, f"file ending in {ending}", f"files ending in {ending}")
    hint = f" ({hint})" if (hint := hint_for(ending)) else ""
    return f", but {found}{where}, which are not read{hint}"


def _endings(paths: Iterable[Path]) -> Counter[str]:
    return Counter(path.suffix for path in paths if path.suffix and path.is_file())


def _of_saved(folder: Path, names: list[str]) -> Splits | tuple[Path, ...]:
    def files(name: str) -> tuple[Path, ...]:
        found = saved_files(folder / name)
        if found is None:
            raise DataError(
                f"task.source: {folder} names the split {name!r}, and {folder / name} is no data "
                "set that save_to_disk wrote. Save it again."
            )
        return found

    if len(names) == 1:
        return files(names[0])
    by_split: dict[Split, str] = {}
    for split in SPLITS:
        if at := next((name for name in ALIASES[split] if name in names), None):
            by_split[split] = at
    if not by_split:
        raise DataError(
            f"task.source: {folder} has the splits {', '.join(map(repr, names))}, of which none is "
            "called train or test. Rename them, and save it again."
        )
    return {split: files(name) for split, name in by_split.items()}


def _by_names(folder: Path) -> Splits:
    """Files by the first word of their names: the split's own file, else its shards."""
    texts = [path for path in _read_files(folder) if format_of(path) == PLAIN_TEXT]
    return _named_after_splits(folder, data_files(folder)) or _named_after_splits(folder, texts)


def _named_after_splits(folder: Path, files: Sequence[Path]) -> Splits:
    found: dict[Split, tuple[Path, ...]] = {}
    for split, names in ALIASES.items():
        own = [path for path in files if _first_word(path) in names]
        shards = [
            path for path in files if re.match(rf"({'|'.join(names)})[-_]", _first_word(path))
        ]
        if len(own) > 1 and not _are_numbered(own):
            raise DataError(
                f"task.source: {folder} must hold exactly one file for {split} (named "
                f"{' or '.join(names)}), or shards (train-00000-of-00002.parquet); found "
                f"{', '.join(path.name for path in own)}. The folder holds: "
                f"{', '.join(path.name for path in files)}. Rename or remove files, or give "
                "task.source as {train: file, validation: file, test: file}."
            )
        if chosen := own or shards:
            found[split] = _shards(chosen)
    return found


def _by_folders(folder: Path) -> Splits:
    """Files in sub-folders that are called after splits."""
    found: dict[Split, tuple[Path, ...]] = {}
    if not folder.is_dir():
        return found
    folders = in_natural_order(path for path in folder.iterdir() if path.is_dir())
    for split, names in ALIASES.items():
        own = [path for path in folders if path.name.lower() in names]
        if len(own) > 1:
            raise DataError(
                f"task.source: {folder} has {len(own)} folders for {split}: "
                f"{', '.join(path.name for path in own)}. Rename or remove one."
            )
        if own and (files := saved_files(own[0]) or data_files(own[0])):
            found[split] = _shards(files)
    return found


def _first_word(path: Path) -> str:
    return path.name.split(".")[0].lower()


def _are_numbered(files: list[Path]) -> bool:
    """Whether files are called ``train.1.jsonl``, ``train.2.jsonl``, and so on."""
    return all(re.match(r"[^.]+\.\d+\.", path.name) for path in files)


def _shards(files: Iterable[Path]) -> tuple[Path, ...]:
    """Files of one split in natural order.

    Raises:
        DataError: they are of several formats, or their names say that one is missing.
    """
    found = in_natural_order(files)
    kinds = {format_of(path) for path in found}
    if len(kinds) > 1:
        raise DataError(
            f"task.source: {found[0].parent} has files of several formats for one split: "
            f"{', '.join(path.name for path in found)}. Remove those that are not meant, or give "
            "task.source as {train: files, validation: files, test: files}."
        )
    numbered = [match for path in found if (match := _NUMBERED.search(path.name))]
    if len(numbered) == len(found):
        there = [(int(match[1]), int(match[2])) for match in numbered]
        totals = {total for _, total in there}
        indices = sorted(index for index, _ in there)
        total = max(totals)
        if len(totals) > 1 or indices != list(range(total)):
            raise DataError(
                f"task.source: {found[0].parent} has not each shard of {total} once: "
                f"{', '.join(path.name for path in found)}. Fetch those that are missing, and "
                "remove what is left of other versions."
            )
    return tuple(found)

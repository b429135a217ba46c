"""Paths and patterns of files: from what a study names to the files that are there."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from bakeoff.data.readers import ENDINGS, PLAIN_TEXT, format_of
from bakeoff.errors import DataError

STDIN: Final = "-"
"""The source that stands for the standard input."""
_PATTERN: Final = re.compile(r"[*?\[]")
_SHOWN: Final = 12


def resolve(path: str, root: Path) -> Path:
    """Returns a path made absolute; a relative one starts from ``root``.

    Raises:
        DataError: it has a NUL or more characters than the system takes.
    """
    try:
        given = root / Path(path).expanduser()
        found = given.resolve()
        # A link's own name says what the file is where that of the file itself does not.
        says_nothing = format_of(found) in (None, PLAIN_TEXT)
        if found.is_file() and says_nothing and format_of(given) not in (None, PLAIN_TEXT):
            return given.parent.resolve() / given.name
    except (OSError, ValueError, RuntimeError) as error:
        said = getattr(error, "strerror", None) or error
        raise DataError(
            f"task.source: {path[:60]!r} is no path that this system takes ({said}); correct it"
        ) from None
    return found


def in_natural_order(paths: Iterable[Path]) -> list[Path]:
    """Paths in the order of the numbers in them: ``part-2`` before ``part-10``."""
    return sorted(paths, key=lambda path: (_natural(path.as_posix()), path.as_posix()))


def is_pattern(name: str, root: Path) -> bool:
    """Whether a name is a pattern such as ``data/*.jsonl``; a file of that very name is none."""
    return _PATTERN.search(name) is not None and not resolve(name, root).exists()


def matching(name: str, root: Path) -> list[Path]:
    """The files that a pattern matches, in natural order."""
    pattern = str(Path(name).expanduser())
    names = glob.glob(pattern, root_dir=root, recursive=True)
    return in_natural_order({resolve(name, root) for name in names if (root / name).is_file()})


def files_of(names: str | Sequence[str], root: Path, key: str) -> tuple[Path, ...]:
    """The files that a study names at one place, in its order; those of a pattern in natural order.

    Args:
        names: a path, a pattern, or a list of these. root: the folder that relative ones start
            from. key: the place in the study, for errors.

    Raises:
        DataError: a file that is not there, a pattern that matches nothing, a folder, a file twice.
    """
    found: list[Path] = []
    given = [(key, names)] if isinstance(names, str) else _numbered(key, names)
    for place, name in given:
        for path in _files_named(name, root, place):
            if path in found:
                raise DataError(
                    f"{place} is {name!r}: {path} is named twice. Name each file once, so that "
                    "its rows do not count twice."
                )
            found.append(path)
    return tuple(found)


def _numbered(key: str, names: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"{key}[{index}]", name) for index, name in enumerate(names)]


def _files_named(name: str, root: Path, key: str) -> list[Path]:
    if name == STDIN:
        raise DataError(
            f"{key} is {STDIN!r}: the standard input is one table, so it can only be the whole "
            "task.source. Save the rows as a file and name that."
        )
    if is_pattern(name, root):
        matched = matching(name, root)
        if not matched:
            raise DataError(
                f"{key} is {name!r}: no file matches. {_lying_at(name, root)} Correct the pattern; "
                f"relative ones start from {root}."
            )
        for path in matched:
            if format_of(path) is None:
                raise DataError(
                    f"{key} is {name!r}: it matches {path}, which is of no known kind: files must "
                    f"end in {ENDINGS}. Let the pattern end in one of these."
                )
        texts = [path for path in matched if format_of(path) == PLAIN_TEXT]
        if 0 < len(texts) < len(matched):
            table = next(path for path in matched if path not in texts)
            raise DataError(
                f"{key} is {name!r}: it matches the table {table} and the plain text {texts[0]}, "
                "which is a note or data of its own. Let the pattern end in the ending of one."
            )
        return matched
    path = resolve(name, root)
    if path.is_dir():
        raise DataError(
            f"{key} is {name!r}: {path} is a folder, where a file is needed. Name its files, "
            f"such as {name.rstrip('/')}/*.jsonl, or give the folder alone as task.source."
        )
    if not path.exists():
        raise DataError(
            f"{key} is {name!r}: there is no file {path}. Correct the path; "
            f"relative ones start from {root}."
        )
    return [path]


def _lying_at(name: str, root: Path) -> str:
    """What lies in the folder where a pattern begins."""
    fixed = Path()
    for part in Path(name).expanduser().parts[:-1]:
        if _PATTERN.search(part):
            break
        fixed /= part
    folder = (root / fixed).resolve()
    if not folder.is_dir():
        return f"There is no folder {folder}."
    return f"{folder} holds: {listing(folder)}."


def listing(folder: Path) -> str:
    """What a folder holds, for messages."""
    entries = in_natural_order(entry for entry in folder.iterdir() if entry.name[:1] != ".")
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "nothing"


def _natural(text: str) -> list[tuple[int, str]]:
    # Digits stand in front of letters, as in plain order.
    parts = re.split(r"([0-9]+)", text)
    return [(int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)]

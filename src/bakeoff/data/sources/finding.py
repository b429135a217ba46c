"""From ``task.source`` to the files that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import PLAIN_TEXT, format_of
from bakeoff.data.sources.contract import WIRE
from bakeoff.data.sources.folders import Splits, files_in
from bakeoff.data.sources.paths import STDIN, files_of, is_pattern, matching, resolve
from bakeoff.errors import ConfigError, DataError
from bakeoff.types import SPLITS


@dataclass(frozen=True, kw_only=True)
class Found:
    """Local files.

    Attributes:
        splits: the files of each split that there is; empty where ``whole`` has them.
        whole: files that hold everything.
        folder: that was named, or None.
    """

    splits: Splits
    whole: tuple[Path, ...] = ()
    folder: Path | None = None

    @property
    def plain_texts(self) -> list[Path]:
        """Those of all files that are plain text."""
        files = [*self.whole, *(path for split in self.splits.values() for path in split)]
        return [path for path in files if path.is_file() and format_of(path) == PLAIN_TEXT]


def find_files(task: TaskOptions, root: Path) -> Found | None:
    """The files that a task's source names; None for wire, and for a data set of the Hub.

    Raises:
        ConfigError: an option that the kind of source has no use for.
        DataError: files that are not there, or are ambiguous.
    """
    source = task.source
    if source == WIRE:
        refuse_config(task, WIRE)
        return None
    if source == STDIN:
        raise DataError(
            f"task.source is {STDIN!r}: the standard input is read once, by bakeoff run, plan and "
            "init, which keep its rows as a file. Name that file, or the run's folder."
        )
    if not isinstance(source, str):
        refuse_config(task, "files")
        if isinstance(source, Mapping):
            return Found(
                splits={
                    split: files_of(source[split], root, f"task.source.{split}")
                    for split in SPLITS
                    if split in source
                }
            )
        return Found(splits={}, whole=files_of(source, root, "task.source"))
    path = resolve(source, root)
    if path.is_dir():
        refuse_config(task, "a folder")
        found = files_in(path)
        if isinstance(found, tuple):
            return Found(splits={}, whole=found, folder=path)
        return Found(splits=found, folder=path)
    if path.exists() or is_pattern(source, root):
        refuse_config(task, "a file" if path.exists() else "files")
        return Found(splits={}, whole=files_of(source, root, "task.source"))
    if looks_like_path(source):
        raise DataError(
            f"task.source is {source!r}: there is no file or folder {path}. Correct the path; "
            f"relative ones start from {root}."
        )
    return None


def is_there(name: str, root: Path) -> bool:
    """Whether a path, or a pattern, names something that is there."""
    try:
        return (root / name).exists() or (is_pattern(name, root) and bool(matching(name, root)))
    except (OSError, ValueError):  # a name that no system takes
        return False


def renamed(source: Any, change: Callable[[Any], Any]) -> Any:
    """A source with each of its paths and patterns changed; what is no source stays as it is."""
    if isinstance(source, Mapping):
        return {key: renamed(value, change) for key, value in source.items()}
    if isinstance(source, list | tuple):
        return [change(item) for item in source]
    return change(source)


def named_files(source: str | list[str] | dict[str, str | list[str]]) -> list[str]:
    """All paths and patterns that a source names."""
    if isinstance(source, str):
        return [source]
    values = source.values() if isinstance(source, dict) else source
    return [name for value in values for name in named_files(value)]


def looks_like_path(source: str) -> bool:
    """Whether a source that is not there was meant as a path, not as a Hub data set."""
    return (
        source.startswith((".", "/", "~"))
        or source.count("/") > 1
        or "\\" in source
        or source.endswith("/")
        or format_of(Path(source)) is not None
    )


def refuse_config(task: TaskOptions, kind: str) -> None:
    """Raises ConfigError where a configuration is named that the kind of source does not have."""
    if task.config is not None:
        raise ConfigError(
            f"task.config is {task.config!r}, but task.source is {kind}: only data sets of the "
            "Hub have configurations. Remove task.config."
        )

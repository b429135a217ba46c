"""What the shell offers for options whose values are keys of a study, or files.

A fault in completion must not be seen at the prompt, so that anything unreadable offers less.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

_STUDIES = (".yaml", ".yml")


def study_files(incomplete: str) -> list[str]:
    """Studies, and folders on the way to some."""
    return _paths(incomplete, _STUDIES)


def any_files(incomplete: str) -> list[str]:
    """Files and folders."""
    return _paths(incomplete, ())


def folders(incomplete: str) -> list[str]:
    """Folders alone."""
    return [path for path in _paths(incomplete, ()) if path.endswith("/")]


def _paths(incomplete: str, endings: tuple[str, ...]) -> list[str]:
    """Paths that begin so; a folder ends with a slash, and hidden ones must be asked for."""
    before, slash, name = incomplete.rpartition("/")
    folder = Path(f"{before}{slash}" or ".").expanduser()
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    found = []
    for entry in entries:
        is_folder = entry.is_dir()
        is_wanted = is_folder or not endings or entry.suffix.lower() in endings
        if is_wanted and entry.name.startswith(name) and entry.name[:1] != "."[: not name]:
            found.append(f"{before}{slash}{entry.name}{'/' if is_folder else ''}")
    return found


def study_keys(context: typer.Context, incomplete: str) -> list[str]:
    """Keys for ``--set``, each with its equals sign, and after it the values that there are.

    Methods are those of the study that is named before; without one those of the demo.
    """
    from bakeoff.errors import BakeoffError

    try:
        given = _mapping_of(context.params.get("study") or _named_in(context.args))
        return [text for text in _assignments(given) if text.startswith(incomplete)]
    except (BakeoffError, OSError, ValueError):
        return []


def _named_in(words: list[str]) -> str | None:
    """A study among words that are not parsed yet, as --set is still without its value."""
    return next((word for word in words if word.endswith(_STUDIES) or Path(word).is_dir()), None)


def _mapping_of(study: Any) -> Mapping[str, Any]:
    from importlib import resources

    from bakeoff.config import load_yaml

    if study is None:
        text = resources.files("bakeoff.study").joinpath("demo.yaml").read_text(encoding="utf-8")
    else:
        path = Path(study)
        text = (path / "study.yaml" if path.is_dir() else path).read_text(encoding="utf-8")
    return load_yaml(text, where="study")


def _assignments(study: Mapping[str, Any]) -> Iterator[str]:
    from bakeoff.methods.external import ExternalOptions, is_external
    from bakeoff.methods.registry import spec_of
    from bakeoff.search.options import SearchOptions
    from bakeoff.study.options import StudyOptions
    from bakeoff.tasks.registry import DEFAULT_KIND, task_type

    yield from _of(StudyOptions, "")
    yield from _of(SearchOptions, "search.")
    task = study.get("task")
    kind = str((task if isinstance(task, dict) else {}).get("kind", DEFAULT_KIND))
    yield from _of(task_type(kind).options_type, "task.")
    methods = study.get("methods")
    for name, given in (methods if isinstance(methods, dict) else {}).items():
        yield f"methods.{name}=null"
        if is_external(name, given):
            yield from _of(ExternalOptions, f"methods.{name}.")
            continue
        spec = spec_of(str((given or {}).get("kind", name)), where="methods")
        yield f"methods.{name}.learning_rate="
        yield from _of(spec.options_type, f"methods.{name}.")


def _of(options: type, before: str) -> Iterator[str]:
    """The assignments that a dataclass of options takes, those inside of its fields included."""
    kinds = typing.get_type_hints(options)
    for field in dataclasses.fields(options):
        kind = kinds[field.name]
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            yield from _of(kind, f"{before}{field.name}.")
            continue
        yield f"{before}{field.name}="
        for value in _values(kind):
            yield f"{before}{field.name}={value}"


def _values(kind: Any) -> list[str]:
    """The values that a type names: true and false, those of a literal, null."""
    if kind is bool:
        return ["true", "false"]
    if kind is type(None):
        return ["null"]
    if typing.get_origin(kind) is typing.Literal:
        return [str(value) for value in typing.get_args(kind)]
    if typing.get_origin(kind) in (tuple, list, dict):
        return []
    return [value for one in typing.get_args(kind) for value in _values(one)]

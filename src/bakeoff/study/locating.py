"""Relative paths of a study become paths that can be reached from here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bakeoff.base.weights.references import SMOLLM2_REFERENCE, TINY_REFERENCE
from bakeoff.base.wire_bases.shapes import FAMILY
from bakeoff.data.sources import STDIN, WIRE, is_there, renamed
from bakeoff.methods.external import FORMS, is_external
from bakeoff.metrics.registry import MAIN_OPTIONS
from bakeoff.runs.folder import DATA_FOLDER
from bakeoff.runs.growth import given_rows_in
from bakeoff.study.crossing import BASES, located

RESERVED: Final = frozenset({TINY_REFERENCE, SMOLLM2_REFERENCE, *FAMILY, WIRE, STDIN})
"""Words that never mean a file or a folder, whatever is beside the study."""
_NO_FILES: Final = ("auto", "none", "chatml")
"""What ``task.chat_template`` may name beside a file."""


def locate(merged: dict[str, Any], folder: Path) -> None:
    """Makes a relative source or base beside the study's file reachable from here."""

    def found(value: Any) -> Any:
        if not isinstance(value, str) or value in RESERVED or not value.strip("./"):
            return value
        if is_there(value, Path.cwd()):
            return value
        places = [folder / value]
        if given := given_rows_in(value):  # of a folder that was moved
            places.append(folder / DATA_FOLDER / given)
        return next((str(place) for place in places if is_there(str(place), Path.cwd())), value)

    merged["base"] = found(merged.get("base"))
    if merged["base"] is None and merged.get(BASES) is not None:
        del merged["base"]
    located(merged, found)
    methods = merged.get("methods")
    for name, given in methods.items() if isinstance(methods, dict) else ():
        if is_external(name, given):
            given |= {form: renamed(given[form], found) for form in FORMS if form in given}
    judge = merged.get("judge")
    if isinstance(judge, dict) and isinstance(judge.get("votes"), str):
        merged["judge"] = {**judge, "votes": found(judge["votes"])}
    also = merged.get("also_test")
    for task in (merged.get("task"), *(also.values() if isinstance(also, dict) else ())):
        if isinstance(task, dict) and "source" in task:
            task["source"] = renamed(task["source"], found)
        if isinstance(task, dict) and "chat_template" in task:
            task["chat_template"] = _located_template(task["chat_template"], found)
        if isinstance(task, dict) and isinstance(task.get("metrics"), list | tuple):
            task["metrics"] = [_located_metric(entry, found) for entry in task["metrics"]]


def _located_template(value: Any, found: Callable[[Any], Any]) -> Any:
    """A file with a template; a word, and a template itself, are no files."""
    is_file = isinstance(value, str) and value not in _NO_FILES and not re.search("{{|{%", value)
    return found(value) if is_file else value


def _located_metric(entry: Any, found: Callable[[Any], Any]) -> Any:
    """A metric whose file is beside the study, with a path that is reachable from here."""
    if isinstance(entry, str):
        name, colon, value = entry.partition(":")
        if not colon or name not in MAIN_OPTIONS:
            return entry
        return {name: _located_file(value.strip(), found)}
    if isinstance(entry, dict) and len(entry) == 1:
        [(name, given)] = entry.items()
        if name in MAIN_OPTIONS and isinstance(given, str):
            return {name: _located_file(given, found)}
        main = MAIN_OPTIONS.get(name)
        if isinstance(given, dict) and isinstance(given.get(main), str):
            return {name: {**given, main: _located_file(given[main], found)}}
    return entry


def _located_file(value: str, found: Callable[[Any], Any]) -> str:
    """``FILE`` or ``FILE.py:FUNCTION``."""
    file, colon, function = value.rpartition(":")
    return f"{found(file)}:{function}" if colon and file.endswith(".py") else str(found(value))

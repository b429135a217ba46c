"""All kinds of tasks by name; loaded where one is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final, cast

from bakeoff.config import from_mapping
from bakeoff.data.options import TaskOptions
from bakeoff.errors import ConfigError
from bakeoff.plugins import Plugins
from bakeoff.tasks.contract import Task

DEFAULT_KIND: Final = "summarize"
_BUILT_IN: Final[Mapping[str, str]] = {
    "summarize": "bakeoff.tasks.summarize:Summarize",
    "classify": "bakeoff.tasks.classify:Classify",
    "choose": "bakeoff.tasks.choose:Choose",
    "complete": "bakeoff.tasks.complete:Complete",
    "text": "bakeoff.tasks.text:Text",
    "chat": "bakeoff.tasks.chat:Chat",
}
_ALIASES: Final[Mapping[str, str]] = {"max_summary_tokens": "max_target_tokens"}
"""Keys by which older studies name an option."""

_plugins = Plugins("bakeoff.tasks", "task", _BUILT_IN)
_registered: dict[str, type[Task]] = {}


def register_task(task: type[Task]) -> type[Task]:
    """Makes a kind of task known by its ``kind``; usable as a decorator.

    Raises:
        ConfigError: there is one of that name.
    """
    if not (isinstance(task, type) and issubclass(task, Task) and hasattr(task, "kind")):
        raise ConfigError(
            f"register_task: {task!r} is no class of tasks with a kind; give a subclass of "
            "bakeoff.tasks.contract.Task"
        )
    if _registered.get(task.kind) is task:
        return task
    if task.kind in task_kinds():
        raise ConfigError(
            f"register_task: a task of the kind {task.kind!r} exists already; choose another name"
        )
    _registered[task.kind] = task
    return task


def registered_in() -> dict[str, str]:
    """The module in which each registered task was defined, by kind."""
    return {kind: task.__module__ for kind, task in _registered.items()}


def task_kinds() -> tuple[str, ...]:
    """Every kind that can be asked for."""
    return tuple(dict.fromkeys((*_BUILT_IN, *_registered, *_plugins.points)))


def task_type(kind: str, *, where: str = "task.kind") -> type[Task]:
    """The class of a kind.

    Raises:
        ConfigError: there is none of that name, or its package cannot be imported.
    """
    if kind in _registered:
        return _registered[kind]
    if kind in _BUILT_IN:
        module, _, name = _BUILT_IN[kind].partition(":")
        return cast(type[Task], getattr(import_module(module), name))
    if kind not in _plugins.points:
        near = get_close_matches(kind, task_kinds(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(
            f"{where}: there is no kind of task {kind!r}{hint} There are {', '.join(task_kinds())}"
        )
    found = _plugins.load(kind, where=where)
    if not (isinstance(found, type) and issubclass(found, Task) and found.kind == kind):
        raise _plugins.unfit(kind, f"is no Task of the kind {kind!r}", where=where)
    return found


def read_task(given: Any, *, path: str = "task") -> Task:
    """A study's ``task`` section, checked.

    Args:
        given: a mapping with ``kind`` (``summarize`` where it is missing) and its options.

    Raises:
        ConfigError: for anything that breaks a rule, by its path.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{path} = {given!r}: must be a mapping, such as {{kind: classify, source: data}}"
        )
    rest = dict(given)
    for old, new in _ALIASES.items():
        if old in rest:
            if new in rest:
                raise ConfigError(
                    f"{path}.{old}: {path}.{new} is given too, and both mean the same; remove "
                    f"{path}.{old}"
                )
            rest[new] = rest.pop(old)
    kind = rest.get("kind", DEFAULT_KIND)
    if not isinstance(kind, str):
        raise ConfigError(
            f"{path}.kind: {kind!r} is not a text; name one of {', '.join(task_kinds())}"
        )
    found = task_type(kind, where=f"{path}.kind")
    options = from_mapping(found.options_type, {**rest, "kind": kind}, path=path)
    assert isinstance(options, TaskOptions)
    options.validate(path)
    return found(options)

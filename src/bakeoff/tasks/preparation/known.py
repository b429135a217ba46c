"""What the base, the names of the columns and the training rows decide of a task."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import Columns, OptionalColumn
from bakeoff.data.sources import UNREAD, Source, open_source
from bakeoff.tasks.contract import Task, columns_of
from bakeoff.tasks.conversation.chat_rendering import CHAT, in_chat
from bakeoff.tasks.conversation.chat_templates import ChatTemplate

Opening = Callable[[TaskOptions, Columns], Source]


def known_beforehand(task: Task, template: ChatTemplate | None, opened: Opening) -> dict[str, Any]:
    """What the base and the names of the columns decide, as ``Task.found`` gives it."""
    known: dict[str, Any] = {} if template is None else {CHAT: template.record}
    if type(task).found_in_columns is not Task.found_in_columns:
        # Opened without columns: which ones there must be is what is asked.
        names = opened(task.options, {}).column_names()
        known |= task.found_in_columns(names)
    return known


def source_of(task: Task, root: Path) -> Source:
    """A task's source, of which every column is read where a metric is given whole rows.

    Args:
        task: which; its options name the source.
        root: the folder that relative paths in ``task.source`` start from.

    Raises:
        ConfigError, DataError: as of ``open_source``.
    """
    source = open_source(task.options, columns_of(task), root=root, key=task.split_key)
    if not task.reads_whole_rows:
        return source
    return open_source(task.options, all_columns(task, source), root=root, key=task.split_key)


def all_columns(task: Task, source: Source) -> dict[str, str]:
    """What the task reads, and every other column by its own name."""
    read = columns_of(task)
    others = [name for name in source.column_names() if name not in read.values()]
    return {**read, **{f"{UNREAD}{name})": OptionalColumn(name) for name in others}}


def with_found(task: Task, found: Mapping[str, Any]) -> Task:
    """The task with the options that its rows decided, and with the base's chat template."""
    template = found.get(CHAT)
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items() if k != CHAT}
    if plain:
        fields = {f.name: getattr(task.options, f.name) for f in dataclasses.fields(task.options)}
        decided = type(task)(type(task.options)(**{**fields, **plain}))
        decided.from_rows = task.from_rows | frozenset(plain)
        decided.chat = task.chat
        task = decided
    return task if template is None else in_chat(task, ChatTemplate.from_record(template))

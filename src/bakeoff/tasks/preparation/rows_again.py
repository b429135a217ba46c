"""The rows of a finished study once more, as its data have them."""

from __future__ import annotations

from pathlib import Path

from bakeoff.data.rows import Rows, take_rows
from bakeoff.data.sources import open_source
from bakeoff.tasks.contract import Task, columns_of
from bakeoff.types import Split


def rows_again(task: Task, split: Split, *, root: Path) -> Rows:
    """Reads one split; nothing of it is cut or tokenised.

    Args:
        task: with what the training rows decided. split: which.
        root: the folder that relative paths in ``task.source`` start from.

    Raises:
        BakeoffError: the data are not there any more, or are others.
    """
    columns = columns_of(task)
    source = open_source(task.options, columns, root=root, key=task.split_key)
    return take_rows(task.options, columns, source, split, lambda row: task.example(row.values))

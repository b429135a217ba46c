"""The test rows of a study as prompts to be answered elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bakeoff.base.model import Base
from bakeoff.data.taskdata import SplitData
from bakeoff.errors import StoreError
from bakeoff.files import disk_errors, write_bytes
from bakeoff.study.opening import load_base, prepare_data
from bakeoff.study.study import Study
from bakeoff.tasks.contract import Task
from bakeoff.tasks.preparation.prepare import with_found


def write_template(study: Study, target: Path) -> int:
    """Writes a JSON line for each test row: its id, its prompt, and a prediction to fill in.

    ``prompt`` is what every candidate is asked with, markup and cuts included; ``input`` is the
    row as found. Rows that are answered by choosing name their ``choices``.

    Args:
        study: whose. target: a file that does not exist.

    Returns:
        The number of rows.

    Raises:
        StoreError: if ``target`` exists or cannot be written.
    """
    if target.exists():
        raise StoreError(f"{target}: exists already, and nothing is overwritten; name another file")
    if study.crossing is not None:
        study = study.crossing.cells[0].study  # where entrants from elsewhere take part
    base = load_base(study, "cpu", meta=True)
    methods = {entry.name: entry.build(base) for entry in study.entries}
    data = prepare_data(study, base, methods)
    task, part = with_found(study.task, data.found), data.splits["test"]
    lines = (
        json.dumps(_line(task, base, part, index), ensure_ascii=False) for index in range(len(part))
    )
    with disk_errors(target):
        write_bytes(target, "".join(line + "\n" for line in lines).encode("utf-8"))
    return len(part)


def _line(task: Task, base: Base, part: SplitData, index: int) -> dict[str, Any]:
    choices = part.expected[index].choices
    named = {"choices": list(choices)} if choices else {}
    return {
        "id": part.row_ids[index],
        "index": index,
        "prompt": base.tokenizer.decode(part.prompts[index].tolist()),
        "input": part.shown[index],
        **named,
        "prediction": None,
    }

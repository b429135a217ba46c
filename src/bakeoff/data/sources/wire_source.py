"""wire: articles made here, without network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from bakeoff.data import wire
from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import Columns, Record
from bakeoff.data.sources.contract import WIRE
from bakeoff.errors import ConfigError
from bakeoff.types import SPLITS, Split

_COLUMNS: Final[Mapping[str, Callable[[wire.WireExample], str]]] = {
    "article": lambda example: example.article,
    "document": lambda example: example.article,
    "highlights": lambda example: example.highlights,
    "summary": lambda example: example.highlights,
    "desk": lambda example: example.desk,
}
WIRE_EXAMPLES: Final[Mapping[Split, int]] = {"train": 2000, "validation": 200, "test": 200}
"""How many examples wire makes where ``task.examples`` says null."""


class WireSource:
    """Articles made here, without network."""

    def __init__(self, task: TaskOptions, columns: Columns) -> None:
        for key, column in columns.items():
            if column not in _COLUMNS:
                raise ConfigError(
                    f"task.{key} is {column!r}: wire's columns are article (also as document), "
                    f"highlights (also as summary) and desk. Set task.{key} to one of these."
                )
        self._columns = columns
        self._seed = task.seed
        self._counts = {split: task.examples.of(split) or WIRE_EXAMPLES[split] for split in SPLITS}

    def place(self, split: Split) -> str:
        return f"wire ({split})"

    def records(self, split: Split) -> Iterator[Record]:
        examples = wire.generate(self._counts[split], seed=self._seed, split=split)
        for row, example in enumerate(examples, start=1):
            found = {column: _COLUMNS[column](example) for column in self._columns.values()}
            yield Record(row, found)

    def fingerprint(self) -> list[str]:
        # The generator's own text is its version, so that no change to it is forgotten.
        sources = sorted(Path(wire.__file__).parent.glob("*.py"))
        code = [hashlib.sha256(source.read_bytes()).hexdigest() for source in sources]
        return [WIRE, str(self._seed), str(sorted(self._counts.items())), *code]

    def column_names(self) -> list[str]:
        return list(_COLUMNS)

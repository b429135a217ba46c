"""Files of a run's folder, written whole or not at all, and read back where they are whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bakeoff.errors import StoreError
from bakeoff.files import disk_errors, new_folder, write_bytes
from bakeoff.runs.checksums import with_checksum
from bakeoff.runs.hashes import HASHES_FILE, hashes_content
from bakeoff.runs.reading import RESULTS_FILE, finite, read_json, results_from, to_json
from bakeoff.runs.records import Results

PREVIOUS_FILE = "results.previous.json"


class Storage:
    """What a folder of results is written and read by.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_text(self, name: str, text: str) -> None:
        """Writes a file, whole or not at all."""
        with disk_errors(self.path / name):
            write_bytes(self.path / name, text.encode("utf-8", "replace"))

    def write_bytes(self, name: str, content: bytes) -> None:
        """Writes a file, whole or not at all."""
        with disk_errors(self.path / name):
            write_bytes(self.path / name, content)

    def write_json(self, name: str, content: Any, *, checksum: bool = False) -> None:
        """Writes JSON; numbers that are not finite become null.

        Args:
            name: of the file. content: plain values.
            checksum: of all keys goes last, by which ``read_json`` sees whether they changed.
        """
        plain = finite(content)
        plain = with_checksum(plain) if checksum else plain
        text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
        self.write_text(name, text + "\n")

    def write_lines(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes JSON lines."""
        self.write_text(name, _lines_of(rows))

    def keep_lines(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes JSON lines where the file does not hold them already."""
        text, path = _lines_of(rows), self.path / name
        with disk_errors(path):
            before = path.read_bytes() if path.is_file() else None
        if before != text.encode("utf-8", "replace"):
            self.write_text(name, text)

    def write_results(self, results: Results) -> None:
        """Writes ``results.json``; results that hold more, or are torn, are kept beside it.

        What is kept already is never replaced by something that holds less.
        """
        path = self.path / RESULTS_FILE
        with disk_errors(path):
            before = path.read_bytes() if path.is_file() else b""
        if before.strip():
            held, now = self._holding(RESULTS_FILE), holding(results)
            if held is None or any(was > new for was, new in zip(held, now, strict=True)):
                kept = self._holding(PREVIOUS_FILE)
                # Whatever a file is that cannot be read, it may be worth a look.
                if kept is None or (held is not None and held >= kept):
                    self.write_bytes(PREVIOUS_FILE, before)
        with disk_errors(self.path):
            (self.path / HASHES_FILE).unlink(missing_ok=True)
        self.write_json(RESULTS_FILE, to_json(results))
        if results.status == "complete":
            self.write_hashes()

    def write_hashes(self) -> None:
        """Writes ``hashes.json`` of a complete run's folder as it is now."""
        with disk_errors(self.path):
            content = hashes_content(self.path)
        self.write_json(HASHES_FILE, content)

    def _holding(self, name: str) -> tuple[int, int, int, int] | None:
        """How much a file of results holds, or None where it cannot be read."""
        try:
            return holding(results_from(self.read_json(name), where=name))
        except StoreError:
            return None

    def read_json(self, name: str) -> Any | None:
        """The content of a JSON file, or None where it is missing or torn."""
        return read_json(self.path / name)

    def read_lines(self, name: str) -> list[dict[str, Any]] | None:
        """The rows of a JSON-lines file, or None where it is missing or torn."""
        try:
            text = (self.path / name).read_text(encoding="utf-8")
            rows = [json.loads(line) for line in text.split("\n") if line]
        except (OSError, ValueError, RecursionError):
            return None
        return rows if all(isinstance(row, dict) for row in rows) else None

    @contextmanager
    def new_folder(self, name: str) -> Iterator[Path]:
        """A folder that appears under ``name`` only when the context ends well."""
        with disk_errors(self.path / name), new_folder(self.path / name) as beside:
            yield beside


def _lines_of(rows: Iterable[Mapping[str, Any]]) -> str:
    lines = [json.dumps(finite(row), ensure_ascii=False, allow_nan=False) for row in rows]
    return "".join(line + "\n" for line in lines)


def holding(results: Results) -> tuple[int, int, int, int]:
    """How much results hold: whether complete, epochs, tested runs, measured methods."""
    return (
        int(results.status == "complete"),
        sum(len(candidate.epochs) for candidate in results.candidates.values()),
        sum(len(method.seeds) for method in results.methods.values()),
        sum(method.cost.epoch_seconds is not None for method in results.methods.values()),
    )

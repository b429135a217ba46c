"""Checked access to parsed JSON: what is missing or of another kind is one clear error."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.errors import DataError

_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Field:
    """A value in a file of results, with its place.

    Attributes:
        file: it is in. key: its path in the file, as ``train_info.status``. value: parsed JSON.
        remedy: what a reader may do about a wrong value.
    """

    file: Path
    key: str
    value: Any
    remedy: str

    def __getitem__(self, key: str) -> Field:
        """The value under a key, which must be there."""
        found = self.get(key)
        if found is None:
            raise DataError(f"{self.file}: {self._path(key)} is missing; {self.remedy}")
        return found

    def get(self, key: str) -> Field | None:
        """The value under a key, None where it is missing or null."""
        value = self.mapping().get(key)
        return None if value is None else self._child(key, value)

    def items(self) -> Iterator[tuple[str, Field]]:
        """Every key of a mapping with its value."""
        return ((key, self._child(key, value)) for key, value in self.mapping().items())

    def mapping(self) -> dict[str, Any]:
        """Raises: DataError: not a mapping."""
        return self.value if isinstance(self.value, dict) else self._fail("a mapping")

    def entries(self) -> list[Field]:
        """The entries of a list. Raises: DataError: not a list."""
        if not isinstance(self.value, list):
            self._fail("a list")
        place = self.key or "the whole"
        return [
            Field(file=self.file, key=f"{place}[{i}]", value=value, remedy=self.remedy)
            for i, value in enumerate(self.value)
        ]

    def text(self) -> str:
        """Raises: DataError: not a text, or an empty one."""
        return self.value if isinstance(self.value, str) and self.value else self._fail("a text")

    def number(self) -> float:
        """Raises: DataError: not a finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            self._fail("a number")
        return float(self.value) if math.isfinite(self.value) else self._fail("a finite number")

    def score(self) -> float:
        """A number, or true and false as 1 and 0."""
        return float(self.value) if isinstance(self.value, bool) else self.number()

    def whole(self) -> int:
        """Raises: DataError: not a whole number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            self._fail("a whole number")
        return int(self.value)

    def fail(self, rule: str) -> Any:
        """Raises: DataError: with a rule that this value breaks."""
        return self._fail(rule)

    def _fail(self, expected: str) -> Any:
        shown = json.dumps(self.value, default=str)
        shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
        raise DataError(
            f"{self.file}: {self.key or 'the whole'} is {shown}, expected {expected}; {self.remedy}"
        )

    def _child(self, key: str, value: Any) -> Field:
        return Field(file=self.file, key=self._path(key), value=value, remedy=self.remedy)

    def _path(self, key: str) -> str:
        return f"{self.key}.{key}" if self.key else key


def parse_json(text: str, file: Path, line: int | None = None) -> Any:
    """Parsed JSON.

    Args:
        text: of the whole file, or of one line of it. file: for messages. line: its number.

    Raises:
        DataError: naming the file, the line and column, and what is there.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        row = error.lineno if line is None else line
        near = text[max(0, error.pos - 10) : error.pos + 20].replace("\n", " ")
        raise DataError(
            f"{file}: line {row}, column {error.colno}: is not JSON ({error.msg}, near {near!r}); "
            "get the file again, or leave it out"
        ) from None
    except RecursionError:
        raise DataError(
            f"{file}: is nested too deeply to be results; get the file again, or leave it out"
        ) from None


def read_text(file: Path) -> str:
    """A file's text in UTF-8.

    Raises:
        DataError: it is not there, cannot be read or is not text.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{file}: not found; give a file or a folder of results") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: byte {error.start} is not UTF-8; save it as UTF-8, or leave it out"
        ) from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); check its rights") from None

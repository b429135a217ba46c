"""The study's test rows, to pick a prompt from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from bakeoff.runs.reading import EXAMPLES_FILE

_MOST: Final = 50
_LARGEST: Final = 64 << 20


class RowPicker:
    """Rows of one run, read once.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / EXAMPLES_FILE
        self._rows: list[dict[str, Any]] | None = None

    def search(self, words: str) -> dict[str, Any]:
        """Rows that hold all of the words, in prompt or reference, a page of them."""
        if self._rows is None:
            self._rows = self._read()
        wanted = words.casefold().split()
        found = [row for row in self._rows if all(word in row["found_in"] for word in wanted)]
        shown = [{k: v for k, v in row.items() if k != "found_in"} for row in found[:_MOST]]
        return {"object": "list", "total": len(found), "data": shown}

    def _read(self) -> list[dict[str, Any]]:
        try:
            if self._path.stat().st_size > _LARGEST:
                return []
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        rows = []
        for line in lines:
            try:
                row = json.loads(line)
                prompt, reference = str(row["input"]), str(row.get("reference") or "")
                index = int(row["index"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            rows.append(
                {
                    "index": index,
                    "prompt": prompt,
                    "reference": reference,
                    "found_in": f"{prompt}\n{reference}".casefold(),
                }
            )
        return rows

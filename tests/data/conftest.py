"""Files for the tests of the data path."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.tokenizer_families import tokenizer_of

Write = Callable[[str, Sequence[Mapping[str, object]]], Path]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Byte-level, without begin-of-text, as GPT-2's."""
    return tokenizer_of("byte_level")


@pytest.fixture(scope="session")
def spaced_tokenizer() -> Any:
    """With a dummy prefix and begin-of-text, as Llama-2's."""
    return tokenizer_of("metaspace")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows as JSON lines and returns the file."""

    def write_rows(name: str, rows: Sequence[Mapping[str, object]]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write_rows

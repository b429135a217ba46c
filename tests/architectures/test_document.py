"""``docs/architectures.md`` says what the tests of this folder hold."""

from __future__ import annotations

import pytest

from tests.architectures.table import DOCUMENT, document, expected_of_experts, library_version


def test_the_table_is_current() -> None:
    written = DOCUMENT.read_text(encoding="utf-8")
    if f"Transformers {library_version()} " not in written:
        pytest.skip(f"the document is of another Transformers than {library_version()}")
    expected = document(lambda family: "equal", expected_of_experts)
    assert written == expected, "run: python -m tests.architectures.table"

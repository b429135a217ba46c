"""``docs/architectures.md`` says what the tests of this folder hold."""

from __future__ import annotations

from tests.architectures.table import DOCUMENT, document, expected_of_experts


def test_the_table_is_current() -> None:
    expected = document(lambda family: "equal", expected_of_experts)
    assert DOCUMENT.read_text(encoding="utf-8") == expected, (
        "run: python -m tests.architectures.table"
    )

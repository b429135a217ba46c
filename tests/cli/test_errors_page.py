"""``docs/errors.md`` shows what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakeoff.study.loading import study_from_mapping
from tests.cli.wrong_studies import PAGE, RIGHT, WRONG, page, printed


def test_the_page_shows_what_is_printed() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("override", [override for _, override in WRONG])
def test_each_error_is_one_line_that_names_its_place(override: str) -> None:
    message = printed(override)
    assert "\n" not in message and "|" not in message
    assert message.startswith(override.partition("=")[0])


def test_without_the_mistake_the_study_is_right() -> None:
    assert study_from_mapping(RIGHT, folder=Path.cwd()).options.name == "mine"

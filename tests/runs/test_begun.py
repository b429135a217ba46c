"""A run that was killed while it claimed its folder is taken up by the same command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.runs.folder import INPUTS_FILE, STUDY_FILE, RunFolder

INPUTS, VERSIONS = {"base": "a"}, {"torch": "1"}


@pytest.mark.parametrize("content", [None, "", "[", '{"base": "other"}'])
def test_inputs_without_a_study_are_no_run(tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "out"
    opened: Callable[[], Any] = lambda: RunFolder(folder, {"name": "x"})  # noqa: E731
    opened().claim(INPUTS, VERSIONS)
    (folder / STUDY_FILE).unlink()
    if content is not None:
        (folder / INPUTS_FILE).write_text(content, encoding="utf-8")
    assert opened().claim(INPUTS, VERSIONS) == []
    assert (folder / STUDY_FILE).exists()
    assert opened().read_json(INPUTS_FILE)["base"] == "a"

"""What is said of workers."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.runs.workers import workers_in_words


@pytest.mark.parametrize(("tries", "end"), [(None, ""), (1, ""), (2, ", try 2")])
def test_a_job_s_first_try_is_not_counted(tries: int | None, end: str) -> None:
    content: dict[str, Any] = {"workers": [{"number": 1, "host": "a", "job": "b", "tries": tries}]}
    assert workers_in_words(content)[0] == f"worker 1 on a: b{end}"

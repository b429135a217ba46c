"""In which state a method is that is searched and has no final candidates yet."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.search.method_search import MethodSearch
from bakeoff.study.results import _state
from bakeoff.types import RunState


class _Candidate:
    reason = "the loss is not finite"

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.epochs: list[Any] = [] if state is RunState.WAITING else [None]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("WAITING WAITING", RunState.WAITING),
        ("WAITING COMPLETE", RunState.RUNNING),
        ("PAUSED DIVERGED", RunState.RUNNING),
        # All have ended, and the run before one of them was chosen.
        ("COMPLETE STOPPED", RunState.RUNNING),
        ("DIVERGED COMPLETE", RunState.RUNNING),
        ("DIVERGED DIVERGED", RunState.DIVERGED),
        ("DIVERGED FAILED", RunState.FAILED),
    ],
)
def test_a_search_that_chose_nothing(states: str, expected: RunState) -> None:
    search = MethodSearch(name="lora", variants={})
    searched: Any = [_Candidate(RunState(state)) for state in states.split()]
    search.searched = searched
    state, reason = _state(search)
    assert state is expected
    if expected.is_final:
        assert reason == "no rate of 2 ended well; the loss is not finite"
    else:
        assert reason is None

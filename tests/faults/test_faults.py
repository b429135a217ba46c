"""The campaign of ``soak.py``, small: nothing is lost, and nothing is wrong in silence."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.driver import cases, compiler

SIZES = {"writes": 2, "damaged": 3, "kills": 1, "signals": 1, "clock": 1}
pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or not hasattr(os, "fork"), reason="needs fork and Linux's limits"
    ),
    pytest.mark.skipif(compiler() is None, reason="needs a C compiler"),
]
# Cases of a part that are not its first ones: spread over what can happen.
STRIDES = {"damaged": 13, "memory": 3, "writes": 5}


DRAWN = {"studies": 60, "rows": 12}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What all cases came to; one process, as each imports for seconds."""
    wanted = {
        part: range(0, size * STRIDES.get(part, 1), STRIDES.get(part, 1))
        for part, size in (SIZES | DRAWN).items()
    }
    return list(cases(tmp_path_factory.mktemp("campaign"), wanted))


@pytest.mark.slow
def test_whatever_happens_to_a_run_it_is_resumed_to_the_same_numbers_or_refused_by_name(
    outcomes: list[dict[str, Any]],
) -> None:
    found = [outcome for outcome in outcomes if outcome["part"] in SIZES]
    assert len(found) == sum(SIZES.values())
    assert [outcome for outcome in found if outcome["fault"] is not None] == []


@pytest.mark.soak
def test_memory_limits_leave_what_can_be_resumed(tmp_path: Path) -> None:
    """Not among the short ones: a library may end the process itself where memory runs out."""
    found = list(cases(tmp_path, {"memory": range(0, 9, STRIDES["memory"])}))
    assert [outcome for outcome in found if outcome["fault"] is not None] == []


def test_drawn_studies_and_rows_are_read_or_refused(outcomes: list[dict[str, Any]]) -> None:
    found = [outcome for outcome in outcomes if outcome["part"] in DRAWN]
    assert len(found) == sum(DRAWN.values())
    assert [outcome for outcome in found if outcome["fault"] is not None] == []

"""Every method through training, evaluation, generation, snapshots and measurement on a device of
shapes: pairwise, or the full matrix under ``make soak``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fake_cuda.cases import METHODS, PASSES, Case, selection

pytestmark = pytest.mark.fake_cuda

EVALUATION_WAITS = {
    "stack.Stack._index_of: a copy to the device",  # once a selection of slots
    "score._example_nlls: a copy to the host",
}
CHOICE_WAITS = {
    "stack.Stack._index_of: a copy to the device",
    "choose._Scored.sums: a copy to the host",
}
GENERATION_WAITS = {
    "stack.Stack._index_of: a copy to the device",
    "generate._generate_batch: a copy to the device",
    "greedy.Greedy._going: item()",
    "generate.until_end: tolist()",
}
MIXED_WAITS = {
    "stack.Stack._index_of: a copy to the device",
    "mixed._GreedyRows.write: tolist()",
    "generate.until_end: tolist()",
}
"""Where the host may wait in evaluation, choices and generation."""


def is_captured(case: Case) -> bool:
    """PEFT's own code may ask the device, so that nothing of it is captured."""
    return METHODS[case.method][0] != "peft"


def check_train(case: Case, found: Any) -> None:
    if not is_captured(case):
        assert found["captures"] == 0
        return
    # One graph for the passes of each width and one for what follows them; no wait in further
    # updates is held by the child itself.
    assert 2 <= found["captures"] <= found["steps"] + 1
    assert found["captured_again"] == 0
    assert found["replays"] == found["steps"] * (PASSES + 1)
    assert found["operations"] > 0


def check_evaluate(case: Case, found: Any) -> None:
    assert found["finite"]
    if is_captured(case):
        assert set(found["waits"]) <= EVALUATION_WAITS


def check_choose(case: Case, found: Any) -> None:
    for name, batches in (("slot", 3), ("slots", 1), ("rows", 2)):
        part = found[name]
        assert part["counts"] == found["counts"]
        assert part["finite"]
        if is_captured(case):
            assert set(part["waits"]) <= CHOICE_WAITS
            # One for each batch, when all of them have been asked for.
            assert part["number"]["choose._Scored.sums"] == batches


def check_generate(case: Case, found: Any) -> None:
    for slots in (1, 2):
        if (part := found.get(f"slots{slots}")) is None:
            continue
        assert part["texts"] == [6] * slots
        assert (part["captures"] > 1) == is_captured(case), "rows leave on the way"
        assert (part["replays"] > 0) == is_captured(case)
    assert (found["rows"]["texts"], found["rows"]["captures"]) == (5, 0)
    if is_captured(case):
        assert set(found["waits"]) <= GENERATION_WAITS
        assert set(found["rows"]["waits"]) <= MIXED_WAITS


def check_snapshot(case: Case, found: Any) -> None:
    assert set(found["states"]) == {"COMPLETE"}
    assert found["notes"] == []
    assert found["step"] > 0
    assert found["devices"] == ["cpu"], "a snapshot goes to the disk"


def check_restore(case: Case, found: Any) -> None:
    assert found["states"] == ["COMPLETE"] * found["candidates"]
    assert found["notes"] == []


def check_measure(case: Case, found: Any) -> None:
    assert found["measured_steps"] >= 1
    assert found["seconds"] > 0
    assert found["rows_per_second"] > 0
    assert found["latency"] > 0


CHECKS: dict[str, Callable[[Case, Any], None]] = {
    "train": check_train,
    "evaluate": check_evaluate,
    "choose": check_choose,
    "generate": check_generate,
    "snapshot": check_snapshot,
    "restore": check_restore,
    "measure": check_measure,
}


@pytest.mark.parametrize("case", selection(), ids=lambda case: case.id)
def test_case(case: Case, found_of: Callable[[Case], Any]) -> None:
    CHECKS[case.action](case, found_of(case))

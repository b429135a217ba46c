"""What a call tries again of what failed in the one before."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from bakeoff.execution.checkpoints import Progress
from bakeoff.runs.records import EpochRecord
from bakeoff.search.method_search import MethodSearch, record_of
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.runner import Runner
from bakeoff.types import RunState


def test_what_failed_is_trained_again_unless_its_adapter_is_whole() -> None:
    nothing: Any = SimpleNamespace()
    search = MethodSearch(name="lora", variants={"": nothing}, rates=(0.1,))
    schedule = StudySchedule([search], (0, 1, 2), 1, None)
    tested, trained, ended = schedule.finals
    epoch = EpochRecord(epoch=1, train_nll=1.0, val_nll=1.0, seconds=0.0)
    for candidate in schedule.finals:
        candidate.epochs, candidate.best_epoch = [epoch], 1
        candidate.state, candidate.reason = RunState.FAILED, "testing failed: no memory"
    ended.state = RunState.COMPLETE
    kept = replace(record_of(tested), state=RunState.COMPLETE, reason=None)
    asked: list[str] = []

    def whole(wanted: list[str]) -> dict[str, Any]:
        asked.extend(wanted)
        return {tested.id: kept}

    recall: Any = SimpleNamespace(ended_candidates=whole)
    Runner._recall(nothing, schedule, recall, nothing, Progress())
    assert asked == [tested.id, trained.id]
    assert record_of(tested) == kept
    assert (trained.state, trained.epochs, trained.reason) == (RunState.WAITING, [], None)
    assert ended.state is RunState.COMPLETE

"""By what a setting is chosen: the NLL, or another metric of the validation set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import spearmanr

from bakeoff.errors import ConfigError
from bakeoff.execution.questions import Questions
from bakeoff.execution.selecting import ChoiceWorker
from bakeoff.metrics.contract import Ask
from bakeoff.runs.events import EventLog
from bakeoff.runs.records import CandidateRecord, EpochRecord
from bakeoff.search.selection import Selection, chosen_of, rank_correlation, shortlist, unscored
from bakeoff.study.loading import study_from_mapping
from bakeoff.types import RunState
from tests.studies import small_study, without_times

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
EXACT = Selection(metric="exact_match", higher_is_better=True, among=3, rows=200)


def record(seed: int, nll: float, value: Any = "none", **changes: Any) -> CandidateRecord:
    return CandidateRecord(
        method="lora",
        learning_rate=1.0,
        seed=seed,
        state=changes.get("state", RunState.COMPLETE),
        best_epoch=1,
        epochs=(EpochRecord(epoch=1, train_nll=1.0, val_nll=nll, seconds=0.0),),
        validation={} if value == "none" else {changes.get("metric", "exact_match"): value},
    )


def seeds(records: Sequence[CandidateRecord]) -> list[int]:
    return [found.seed for found in records]


def test_of_the_best_three_by_nll_the_one_with_the_best_score_is_chosen() -> None:
    records = [record(0, 1.0), record(1, 4.0), record(2, 2.0), record(3, 3.0)]
    records.append(record(4, 0.5, state=RunState.PRUNED))
    assert seeds(shortlist(records, EXACT)) == [0, 2, 3] == seeds(unscored(records, EXACT))
    scored = [record(0, 1.0, 0.1), record(1, 4.0), record(2, 2.0, 0.3), record(3, 3.0, 0.3)]
    assert unscored(scored, EXACT) == []
    chosen = chosen_of(scored, EXACT)
    assert chosen is not None and chosen.seed == 2, "the lower NLL among equals"
    by_nll = chosen_of(scored)
    assert by_nll is not None and by_nll.seed == 0
    assert chosen_of([], EXACT) is None


def test_one_that_could_not_be_scored_is_not_chosen_unless_there_is_no_other() -> None:
    some = [record(0, 1.0, None), record(1, 2.0, 0.0)]
    assert unscored(some, EXACT) == []
    chosen = chosen_of(some, EXACT)
    assert chosen is not None and chosen.seed == 1
    lost = chosen_of([record(0, 2.0, None), record(1, 1.0, None)], EXACT)
    assert lost is not None and lost.seed == 1


@pytest.mark.parametrize("higher", [True, False])
def test_the_rank_correlation_is_scipys(higher: bool) -> None:
    selection = Selection(metric="m", higher_is_better=higher, rows=9)
    losses, values = [1.0, 2.0, 2.0, 5.0, 3.0, 4.0], [0.9, 0.7, 0.8, 0.7, 0.7, 0.2]
    records = [
        record(i, nll, value, metric="m")
        for i, (nll, value) in enumerate(zip(losses, values, strict=True))
    ]
    sign = -1 if higher else 1
    expected = spearmanr(losses, values).statistic * sign
    assert rank_correlation(records, selection) == pytest.approx(expected)
    assert rank_correlation(records[:2], selection) is None
    assert rank_correlation([record(i, 1.0 + i, 0.5, metric="m") for i in range(4)], selection) is (
        None
    )


SEARCHED: dict[str, Any] = {
    "methods": {"lora": {"rank": 2, "learning_rate": [1e-3, 1e-2, 3e-2, 1e-1]}},
    "search": {"growth": 0, "pruner": None},
    "protocol": {"epochs": 1, "seeds": [0, 1]},
    "task": {"metrics": ["chrf"], "select_by": "chrf"},
}


@pytest.mark.usefixtures("quick")
def test_a_search_by_a_score_of_text_asks_the_best_three_and_says_so(
    run_small: Run, results: Results, place: Path
) -> None:
    outcome = run_small(**SEARCHED)
    assert outcome.code == 0, outcome.err
    found = results()
    curve = found["methods"]["lora"]["search"]["curve"]
    by_nll = sorted(curve, key=lambda point: point["val_nll"])
    assert [point["selected_by"] is None for point in by_nll] == [False] * 3 + [True]
    best = max(by_nll[:3], key=lambda point: point["selected_by"])
    assert found["methods"]["lora"]["search"]["chosen"] == best["candidate"]
    assert found["candidates"][best["candidate"]]["validation"] == {"chrf": best["selected_by"]}
    [note] = [note for note in found["notes"] if "best settings by validation NLL" in note]
    assert "lora: among the 3 best settings by validation NLL the one with the best chrf" in note
    assert "on 4 validation rows was chosen" in note and "rank correlation with the NLL" in note
    tests = EventLog(place / "out").jobs("test")
    assert [job.split for job in tests].count("validation") >= 1
    # The same command takes all of it up.
    before = without_times(found)
    (place / "out/results.json").unlink()
    assert run_small(**SEARCHED).code == 0
    assert without_times(results()) == before


@pytest.mark.usefixtures("quick")
def test_a_run_that_dies_between_the_scores_and_the_choice_chooses_alike(
    finished: Run, run_small: Run, results: Results, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(**SEARCHED)
    undisturbed = without_times(results())
    (place / "out").rename(place / "undisturbed")

    class KilledError(BaseException):
        pass

    keep, calls = ChoiceWorker.keep, [0]

    def killed(self: ChoiceWorker, *arguments: Any) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise KilledError
        keep(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(ChoiceWorker, "keep", killed)
        run_small(**SEARCHED)
    assert run_small(**SEARCHED).code == 0
    assert without_times(results()) == undisturbed
    with (
        (place / "out/events.jsonl").open() as ours,
        (place / "undisturbed/events.jsonl").open() as theirs,
    ):
        kept = [[json.loads(line)["event"] for line in file] for file in (ours, theirs)]
    assert kept[0] == kept[1]


@pytest.mark.usefixtures("quick")
def test_one_that_cannot_be_scored_takes_no_part(
    run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = ChoiceWorker.keep
    lost: list[str] = []

    def broken(self: ChoiceWorker, candidate: Any, outcome: Any) -> None:
        if not lost:
            lost.append(candidate.id)
        if candidate.id in lost:
            raise ArithmeticError("no such number")
        keep(self, candidate, outcome)

    monkeypatch.setattr(ChoiceWorker, "keep", broken)
    assert run_small(**SEARCHED).code == 0
    found = results()
    assert found["status"] == "complete"
    assert found["methods"]["lora"]["search"]["chosen"] not in lost
    assert any(f"{lost[0]} takes no part in the choice" in note for note in found["notes"])


@pytest.mark.usefixtures("quick")
def test_the_metric_that_decides_chooses_too_unless_it_is_said_otherwise(
    run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int | None]] = []
    original = Questions.asked

    def spy(
        self: Questions, cohort: Any, slots: Any, split: Any, asks: Any, title: str, **rows: Any
    ) -> Any:
        if title.startswith("validation: "):
            asked.append((*map(str, asks), rows["rows"]))
        return original(self, cohort, slots, split, asks, title, **rows)

    monkeypatch.setattr(Questions, "asked", spy)
    study = {**SEARCHED, "decision": {"metric": "chrf"}}
    assert run_small(**{**study, "task": {"metrics": ["chrf"], "select_by": "nll"}}).code == 0
    assert asked == []
    assert run_small("--fresh", **{**study, "task": {"metrics": ["chrf"]}}).code == 0
    assert set(asked) == {(Ask.TEXT.value, 4)}
    with pytest.raises(ConfigError, match=r"task\.select_by: 'bleu' is not a metric of this"):
        study_from_mapping(small_study(task={"select_by": "bleu"}), folder=Path())

"""Who trains and in which order: rungs, growth, the choice, decided by the candidates alone."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff.engine.candidate import Candidate
from bakeoff.methods.contract import ExecutionPath
from bakeoff.runs.records import EpochRecord
from bakeoff.search.options import SearchOptions
from bakeoff.search.schedule import MethodSearch, StudySchedule
from bakeoff.search.storage import SearchStorage
from bakeoff.types import RunState

NAN = math.nan
RATES = (1.0, 10.0, 100.0)
Losses = Mapping[float, Sequence[float]]
Curve = Callable[[Candidate], Sequence[float]]


class Study:
    """A schedule with its storage, and a made-up trainer that gives each candidate its curve."""

    def __init__(
        self,
        *names: str,
        epochs: int = 2,
        rates: tuple[float, ...] = RATES,
        labels: Sequence[str] = ("",),
        execution_paths: Sequence[ExecutionPath] = (ExecutionPath.BASE,),
        seeds: tuple[int, ...] = (0,),
        num_seeds: int = 1,
        is_searched: bool = True,
        **options: Any,
    ) -> None:
        options = {"seeds": num_seeds, "growth": 0, "grid_factor": 10.0, **options}
        self.search = SearchOptions(**options) if is_searched else None
        self.epochs, self.pruned, self.reported = epochs, list[str](), list[str]()
        self.trained: list[tuple[str, int]] = []
        methods = []
        for i, name in enumerate(names or ("m",)):
            method: Any = SimpleNamespace(execution_path=execution_paths[i % len(execution_paths)])
            variants = dict.fromkeys(labels, method)
            methods.append(MethodSearch(name=name, variants=variants, rates=rates))
        self.schedule = StudySchedule(
            methods, seeds, epochs, self.search, report=self.reported.append
        )
        self.schedule.on_pruned = lambda candidate: self.pruned.append(candidate.id)
        if self.search is not None:
            searched: dict[str, dict[str, dict[str, Any]]] = {
                m.name: {label: {} for label in labels} for m in methods
            }
            self.schedule.storage = SearchStorage(
                "sqlite://", "study", "run", self.search, self.schedule.rungs, searched
            )
            self.schedule.storage.begin(self.schedule.candidates)

    def epoch(self, candidate: Candidate, loss: float, patience: int | None = None) -> None:
        """What ``Trainer`` does with a candidate after an epoch."""
        self.trained.append((candidate.id, len(candidate.epochs) + 1))
        if not math.isfinite(loss):
            candidate.state = RunState.DIVERGED
        else:
            number, best = len(candidate.epochs) + 1, candidate.best_val_nll
            candidate.epochs.append(
                EpochRecord(epoch=number, train_nll=loss, val_nll=loss, seconds=0.0)
            )
            if best is None or loss < best:
                candidate.best_epoch = number
            assert candidate.best_epoch is not None
            if number == self.epochs:
                candidate.state = RunState.COMPLETE
            elif patience is not None and number - candidate.best_epoch >= patience:
                candidate.state = RunState.STOPPED
            elif self.schedule.pauses(candidate):
                candidate.state = RunState.PAUSED
        self.schedule.note(candidate)

    def round(self, curve: Curve, patience: int | None = None) -> bool:
        """Everybody who waits trains until it pauses or ends; says whether anybody did."""
        waiting = [c for c in self.schedule.candidates if c.state is RunState.WAITING]
        for candidate in waiting:
            candidate.state = RunState.RUNNING
        for candidate in waiting:
            while candidate.state is RunState.RUNNING:
                self.epoch(candidate, curve(candidate)[len(candidate.epochs)], patience)
            self.schedule.settle()
        return bool(waiting)

    def run(self, losses: Losses, patience: int | None = None) -> Study:
        while self.round(lambda c: losses[c.learning_rate], patience):
            pass
        return self

    def states(self, name: str = "m") -> dict[float, str]:
        found = self.schedule.methods[name].searched
        return {c.learning_rate: c.state.value for c in found}

    def rates(self, name: str = "m") -> list[float]:
        return [c.learning_rate for c in self.schedule.methods[name].searched]

    def finals(self, name: str = "m") -> list[str]:
        return [c.id for c in self.schedule.methods[name].finals]


NINE = tuple(float(f"1e{i}") for i in range(-4, 5))


def test_candidates_pause_at_each_rung_and_one_in_the_factor_goes_on() -> None:
    study = Study(epochs=6, rates=NINE, reduction_factor=3)
    losses = {rate: [abs(math.log10(rate) - 0.9) - 0.1 * e for e in range(6)] for rate in NINE}
    study.round(lambda c: losses[c.learning_rate])
    assert {len(c.epochs) for c in study.schedule.candidates} == {1}
    goes_on = [rate for rate, state in study.states().items() if state == "WAITING"]
    assert goes_on == [1.0, 10.0, 100.0]
    study.round(lambda c: losses[c.learning_rate])
    assert sorted(len(c.epochs) for c in study.schedule.candidates) == [1] * 6 + [3] * 3
    assert list(study.states().values()).count("WAITING") == 1
    study.round(lambda c: losses[c.learning_rate])
    assert sorted(len(c.epochs) for c in study.schedule.candidates) == [1] * 6 + [3] * 2 + [6]
    assert study.finals() == ["m-lr10-s0"]
    assert len(study.pruned) == 8


def test_nobody_is_judged_before_the_whole_rung_is_there() -> None:
    study = Study()
    for candidate in study.schedule.candidates[:2]:
        candidate.state = RunState.RUNNING
        study.epoch(candidate, candidate.learning_rate)
        study.schedule.settle()
    assert list(study.states().values()) == ["PAUSED", "PAUSED", "WAITING"]
    study.epoch(study.schedule.candidates[2], 1.0)
    study.schedule.settle()
    assert list(study.states().values()) == ["WAITING", "PRUNED", "WAITING"]


def test_who_is_pruned_learns_why_and_gives_up_its_tensors() -> None:
    study = Study()
    for candidate in study.schedule.candidates:
        candidate.tensors, candidate.snapshot = {}, {}
    study.run({1.0: [2.0, 2.0], 10.0: [1.0, 1.0], 100.0: [3.0, 3.0]})
    weak = study.schedule.candidates[2]
    assert weak.reason == (
        "after epoch 1 its validation NLL 3.0000 was not among the best 1 in 3 of m"
    )
    assert (weak.tensors, weak.snapshot) == (None, None)
    assert study.pruned == ["m-lr1-s0", "m-lr100-s0"]


def test_all_that_tie_for_the_last_place_go_on() -> None:
    study = Study().run({1.0: [1.5, 0.0], 10.0: [1.0, 0.5], 100.0: [1.0, 0.5]})
    assert study.states() == {1.0: "PRUNED", 10.0: "COMPLETE", 100.0: "COMPLETE"}
    assert study.finals() == ["m-lr10-s0"]  # of two equal ones the first named


def test_a_diverged_candidate_counts_as_the_worst_of_its_rung() -> None:
    """With six, two go on; did the three that diverged not count, one would."""
    losses: Losses = {
        1.0: [2.0, 2.0],
        10.0: [1.0, 1.0],
        100.0: [3.0, 3.0],
        1e3: [NAN],
        1e4: [NAN],
        1e5: [NAN],
    }
    study = Study(rates=tuple(losses)).run(losses)
    assert [study.states()[rate] for rate in (1.0, 10.0, 100.0)] == [
        "COMPLETE",
        "COMPLETE",
        "PRUNED",
    ]
    assert {study.states()[rate] for rate in (1e3, 1e4, 1e5)} == {"DIVERGED"}


def test_a_stopped_candidate_takes_part_in_later_rungs_with_its_best() -> None:
    losses: Losses = {
        1.0: [1.0, 1.1, 0.0, 0.0],
        10.0: [1.2, 1.1, 1.05, 0.5],
        100.0: [1.3, 1.4, 0.0, 0.0],
        1e3: [1.4, 1.2, 1.15, 0.4],
    }
    study = Study(epochs=6, rates=tuple(losses), reduction_factor=2)
    by_id = {c.learning_rate: c for c in study.schedule.candidates}
    for rate in losses:  # all four are taken past the first rung
        study.epoch(by_id[rate], losses[rate][0])
        by_id[rate].state = RunState.RUNNING
    study.epoch(by_id[1.0], losses[1.0][1], patience=1)
    study.epoch(by_id[100.0], losses[100.0][1], patience=1)
    study.epoch(by_id[10.0], losses[10.0][1])
    study.epoch(by_id[1e3], losses[1e3][1])
    study.schedule.settle()
    # Two of four go on: the stopped one with 1.0, and 1.1; what stopped at 1.3 pushes nobody.
    assert study.states() == {1.0: "STOPPED", 10.0: "WAITING", 100.0: "STOPPED", 1e3: "PRUNED"}


def test_a_stopped_candidate_can_be_chosen() -> None:
    losses: Losses = {1.0: [3.0] * 4, 10.0: [1.0, 2.0, 2.0, 2.0], 100.0: [4.0] * 4}
    study = Study(epochs=4).run(losses, patience=2)
    assert study.states()[10.0] == "STOPPED"
    assert study.finals() == ["m-lr10-s0"]


def test_methods_are_never_compared_with_one_another() -> None:
    study = Study("a", "b")
    bad = {1.0: [90.0, 90.0], 10.0: [80.0, 80.0], 100.0: [95.0, 95.0]}
    good = {rate: [loss / 100 for loss in losses] for rate, losses in bad.items()}
    while study.round(lambda c: (bad if c.method_name == "a" else good)[c.learning_rate]):
        pass
    assert study.states("a") == study.states("b")
    assert study.finals("a") == ["a-lr10-s0"]


def test_a_method_does_not_wait_for_another() -> None:
    study = Study("a", "b")
    for candidate in study.schedule.methods["a"].searched:
        study.epoch(candidate, candidate.learning_rate)
    study.schedule.settle()
    assert list(study.states("a").values()) == ["WAITING", "PRUNED", "PRUNED"]
    assert set(study.states("b").values()) == {"WAITING"}


@pytest.mark.parametrize(("sign", "grown"), [(-1, [1e3, 1e4]), (1, [0.1, 0.01])])
def test_the_grid_grows_at_the_edge_where_the_best_lies_up_to_its_limit(
    sign: int, grown: list[float]
) -> None:
    study = Study(growth=2)
    while study.round(lambda c: [20.0 + sign * math.log10(c.learning_rate)] * 2):
        pass
    assert study.rates() == [*RATES, *grown]
    assert study.finals() == [f"m-lr{grown[-1]:g}-s0"]
    assert sum("is at the edge" in text for text in study.reported) == 2


def test_the_grid_grows_before_anybody_goes_on() -> None:
    study = Study(growth=4)
    losses = {1.0: [3.0] * 2, 10.0: [2.0] * 2, 100.0: [1.0] * 2, 1e3: [0.5] * 2, 1e4: [4.0] * 2}
    study.run(losses)
    assert study.states()[100.0] == "PRUNED"  # 1000 was better, and one of five goes on
    assert study.trained[:5] == [(f"m-lr{rate:g}-s0", 1) for rate in losses]
    assert study.finals() == ["m-lr1000-s0"]


def test_no_grid_grows_whose_best_lies_inside_or_which_is_one_rate() -> None:
    inside = Study(growth=4).run({1.0: [2.0] * 2, 10.0: [1.0] * 2, 100.0: [NAN]})
    assert inside.rates() == list(RATES)
    alone = Study(growth=4, rates=(10.0,)).run({10.0: [1.0] * 2})
    assert alone.rates() == [10.0]
    assert alone.finals() == ["m-lr10-s0"]


def test_only_the_best_variants_grid_grows() -> None:
    study = Study(growth=1, labels=("x", "y"))

    def curve(candidate: Candidate) -> list[float]:
        return [candidate.learning_rate + (0.5 if candidate.variant == "x" else 0.0)] * 2

    while study.round(curve):
        pass
    method = study.schedule.methods["m"]
    assert [(c.variant, c.learning_rate) for c in method.searched[6:]] == [("y", 0.1)]
    assert study.finals() == ["m-y-lr0.1-s0"]


def test_a_grid_that_all_diverged_grows_downward_until_one_learns_or_the_limit() -> None:
    lost = Study(growth=3)
    while lost.round(lambda c: [NAN]):
        pass
    assert lost.rates() == [*RATES, 0.1, 0.01, 0.001]
    assert lost.finals() == []
    losses: dict[float, list[float]] = {rate: [NAN] for rate in RATES}
    study = Study(growth=4).run(losses | {0.1: [2.0] * 2, 0.01: [3.0] * 2})
    assert study.rates() == [*RATES, 0.1, 0.01]
    assert study.finals() == ["m-lr0.1-s0"]


def test_a_rate_that_diverged_after_a_good_epoch_bounds_the_grid_too() -> None:
    losses: Losses = {1.0: [3.0] * 2, 10.0: [2.0] * 2, 100.0: [1.0, NAN], 1e3: [NAN]}
    study = Study(growth=1, pruner="none").run(losses)
    assert study.rates() == list(RATES)
    assert study.finals() == ["m-lr10-s0"]


def test_the_first_seed_of_the_choice_is_the_searchs_own_run() -> None:
    study = Study(seeds=(7, 3), num_seeds=3)
    assert {c.seed for c in study.schedule.candidates} == {7}
    study.run({1.0: [2.0] * 2, 10.0: [1.0] * 2, 100.0: [3.0] * 2})
    assert study.finals() == ["m-lr10-s7", "m-lr10-s3", "m-lr10-s8"]
    method = study.schedule.methods["m"]
    assert method.chosen is method.searched[1]
    assert len(set(study.trained)) == len(study.trained)
    assert [c.id for c in study.schedule.candidates] == [
        "m-lr1-s7",
        "m-lr10-s7",
        "m-lr100-s7",
        "m-lr10-s3",
        "m-lr10-s8",
    ]


def test_other_seeds_of_the_choice_pause_at_no_rung_and_change_no_decision() -> None:
    study = Study(num_seeds=2, epochs=4)
    losses = {rate: [abs(rate - 10.0) + 1.0] * 4 for rate in RATES}
    while study.round(lambda c: losses[c.learning_rate] if c.seed == 0 else [50.0] * 4):
        pass
    assert study.finals() == ["m-lr10-s0", "m-lr10-s1"]
    assert [c.state for c in study.schedule.finals] == [RunState.COMPLETE] * 2
    assert study.trained[-4:] == [("m-lr10-s1", epoch) for epoch in range(1, 5)]


def test_without_a_search_every_rate_runs_with_every_seed() -> None:
    study = Study(seeds=(5, 2), is_searched=False)
    ids = [f"m-lr{rate:g}-s{seed}" for rate in RATES for seed in (5, 2)]
    assert [c.id for c in study.schedule.candidates] == study.finals() == ids
    study.run({rate: [1.0, 1.0] for rate in RATES})
    assert {c.state for c in study.schedule.candidates} == {RunState.COMPLETE}
    assert study.pruned == []
    assert study.schedule.methods["m"].chosen is None


def test_those_that_have_trained_already_sit_down_first() -> None:
    study = Study(
        "a",
        "b",
        "c",
        execution_paths=(ExecutionPath.BASE, ExecutionPath.BASE, ExecutionPath.HIDDEN_STATES),
    )
    back: list[str] = []
    study.schedule.on_return = lambda candidate: back.append(candidate.id)
    part = study.schedule.of(ExecutionPath.BASE)
    for candidate in study.schedule.methods["b"].searched:
        study.epoch(candidate, candidate.learning_rate)
    study.schedule.settle()
    first, second = part.next(), part.next()
    assert first is not None and second is not None
    assert (first.id, first.state, second.id) == ("b-lr1-s0", RunState.RUNNING, "a-lr1-s0")
    assert back == ["b-lr1-s0"]
    assert [c.id for c in part.waiting()] == ["a-lr10-s0", "a-lr100-s0"]
    while part.next() is not None:
        pass
    assert {c.id for c in study.schedule.of(ExecutionPath.HIDDEN_STATES).waiting()} == {
        "c-lr1-s0",
        "c-lr10-s0",
        "c-lr100-s0",
    }


@pytest.mark.parametrize("seed", range(4))
def test_decisions_do_not_hang_on_the_order_in_which_candidates_arrive(seed: int) -> None:
    draw = random.Random(seed)
    table: dict[str, list[float]] = {}
    epochs, patience = draw.choice([3, 5, 8]), draw.choice([None, 1, 2])
    options: dict[str, Any] = {
        "epochs": epochs,
        "rates": tuple(float(10**i) for i in range(draw.choice([3, 4, 6]))),
        "labels": draw.choice([("",), ("x", "y")]),
        "growth": draw.choice([0, 3]),
        "num_seeds": draw.choice([1, 2]),
        "reduction_factor": draw.choice([2, 3]),
        "pruner": draw.choice(["halving", "halving", "none"]),
    }

    def loss(candidate: Candidate) -> float:
        if candidate.id not in table:
            own = random.Random(f"{seed} {candidate.id}")
            # Few distinct values, so that there are ties; some diverge.
            values = [NAN if own.random() < 0.05 else own.randrange(1, 12) for _ in range(epochs)]
            table[candidate.id] = [float(value) for value in values]
        return table[candidate.id][len(candidate.epochs)]

    def outcome(order: random.Random) -> Any:
        study = Study("a", "b", **options)
        while True:
            active = [
                c
                for c in study.schedule.candidates
                if c.state in (RunState.WAITING, RunState.RUNNING)
            ]
            if not active:
                break
            candidate = order.choice(active)
            candidate.state = RunState.RUNNING
            study.epoch(candidate, loss(candidate), patience)
            study.schedule.settle()
        assert all(c.state.is_final for c in study.schedule.candidates)
        return (
            {c.id: (c.state, len(c.epochs), c.reason) for c in study.schedule.candidates},
            [c.id for c in study.schedule.finals],
        )

    first = outcome(random.Random(0))
    assert outcome(random.Random(1)) == first
    assert outcome(random.Random(2)) == first

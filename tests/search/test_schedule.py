"""What a schedule names and ends: rungs, growth, the choice, decided by the candidates alone."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff.base.choice import THE_BASE
from bakeoff.engine.candidate import Candidate
from bakeoff.methods.contract import ExecutionPath
from bakeoff.runs.records import CandidateSpec, EpochRecord
from bakeoff.search.method_search import record_of
from bakeoff.search.options import SearchOptions
from bakeoff.search.schedule import MethodSearch, StudySchedule, rungs_of
from bakeoff.search.space import MethodSpace
from bakeoff.types import RunState

NAN = math.nan
SEED = 1000
"""The search's."""
RATES = (1.0, 10.0, 100.0)
Losses = Mapping[float, Sequence[float]]
Curve = Callable[[Candidate], Sequence[float]]


class Study:
    """A schedule, and a made-up trainer that gives each candidate its curve."""

    def __init__(
        self,
        *names: str,
        epochs: int = 2,
        rates: tuple[float, ...] = RATES,
        labels: tuple[str, ...] = (),
        seeds: tuple[int, ...] = (0,),
        is_searched: bool = True,
        **options: Any,
    ) -> None:
        options = {"growth": 0, "grid_factor": 10.0, "reduction_factor": 3, **options}
        search = SearchOptions(**options) if is_searched else None
        self.epochs, self.pruned, self.reported = epochs, list[str](), list[str]()
        self.trained: list[tuple[str, int]] = []
        nothing: Any = SimpleNamespace(
            execution_path=ExecutionPath.BASE, base=SimpleNamespace(choice=THE_BASE)
        )
        settings = {f"v{label}": {"v": label} for label in labels} or {"": {}}
        methods = [
            MethodSearch(
                name=name,
                variants=dict.fromkeys(settings, nothing),
                settings=settings,
                rates=rates,
                space=MethodSpace(
                    method=name,
                    domain={"v": labels} if labels else {},
                    rates=rates,
                    centre=1.0,
                    seed=SEED,
                    search=search,
                    rungs=rungs_of(search, epochs),
                )
                if search
                else None,
            )
            for name in names or ("m",)
        ]
        self.schedule = StudySchedule(methods, seeds, epochs, search)

    def epoch(self, candidate: Candidate, loss: float, patience: int | None = None) -> None:
        """What ``Trainer`` does with a candidate after an epoch."""
        self.trained.append((candidate.id, len(candidate.epochs) + 1))
        if not math.isfinite(loss):
            candidate.state = RunState.DIVERGED
            return
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

    def settle(self) -> None:
        for settled in self.schedule.settle():
            self.reported.append(settled.text)
            self.pruned += [candidate.id for candidate in settled.pruned]

    def round(self, curve: Curve, patience: int | None = None) -> bool:
        """All that wait train until they pause or end; says whether any did."""
        waiting = [c for c in self.schedule.candidates if c.state is RunState.WAITING]
        for candidate in waiting:
            candidate.state = RunState.RUNNING
        for candidate in waiting:
            while candidate.state is RunState.RUNNING:
                self.epoch(candidate, curve(candidate)[len(candidate.epochs)], patience)
        self.settle()
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
    study = Study(epochs=9, rates=NINE)
    losses = {rate: [abs(math.log10(rate) - 0.9) - 0.1 * e for e in range(9)] for rate in NINE}
    study.round(lambda c: losses[c.learning_rate])
    assert {len(c.epochs) for c in study.schedule.candidates} == {3}
    goes_on = [rate for rate, state in study.states().items() if state == "WAITING"]
    assert goes_on == [1.0, 10.0, 100.0]
    study.round(lambda c: losses[c.learning_rate])
    searched = study.schedule.methods["m"].searched
    assert sorted(len(c.epochs) for c in searched) == [3] * 6 + [9] * 3
    assert study.finals() == ["m-lr10-s0"]
    assert len(study.pruned) == 6


def test_half_go_on_from_a_third_of_the_epochs_and_half_of_them_from_there() -> None:
    study = Study(epochs=3, rates=NINE[:6], reduction_factor=2)
    study.run({rate: [rate] * 3 for rate in NINE[:6]})
    assert sorted(len(c.epochs) for c in study.schedule.methods["m"].searched) == [1] * 3 + [
        2,
        3,
        3,
    ]


def test_none_is_judged_before_the_whole_rung_is_there() -> None:
    study = Study()
    for candidate in study.schedule.candidates[:2]:
        candidate.state = RunState.RUNNING
        study.epoch(candidate, candidate.learning_rate)
        study.settle()
    assert list(study.states().values()) == ["PAUSED", "PAUSED", "WAITING"]
    study.epoch(study.schedule.candidates[2], 1.0)
    study.settle()
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
    assert study.pruned == ["m-lr1-s1000", "m-lr100-s1000"]


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
    study.settle()
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
    study.settle()
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


def test_the_grid_grows_before_any_goes_on() -> None:
    study = Study(growth=4, reduction_factor=5)
    losses = {1.0: [3.0] * 2, 10.0: [2.0] * 2, 100.0: [1.0] * 2, 1e3: [0.5] * 2, 1e4: [4.0] * 2}
    study.run(losses)
    assert study.states()[100.0] == "PRUNED"  # 1000 was better, and one of five goes on
    assert study.trained[:5] == [(f"m-lr{rate:g}-s1000", 1) for rate in losses]
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
        return [candidate.learning_rate + (0.5 if candidate.variant == "vx" else 0.0)] * 2

    while study.round(curve):
        pass
    method = study.schedule.methods["m"]
    assert [(c.variant, c.learning_rate) for c in method.searched[6:]] == [("vy", 0.1)]
    assert study.finals() == ["m-vy-lr0.1-s0"]


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
    study = Study(growth=1, pruner=None).run(losses)
    assert study.rates() == list(RATES)
    assert study.finals() == ["m-lr10-s0"]


def test_the_choice_is_trained_afresh_with_seeds_that_took_no_part_in_the_search() -> None:
    study = Study(seeds=(7, 3))
    assert {c.seed for c in study.schedule.candidates} == {SEED}
    study.run({1.0: [2.0] * 2, 10.0: [1.0] * 2, 100.0: [3.0] * 2})
    assert study.finals() == ["m-lr10-s7", "m-lr10-s3"]
    method = study.schedule.methods["m"]
    assert method.chosen is method.searched[1]
    assert not set(method.finals) & set(method.searched)
    assert [c.id for c in study.schedule.candidates] == [
        "m-lr1-s1000",
        "m-lr10-s1000",
        "m-lr100-s1000",
        "m-lr10-s7",
        "m-lr10-s3",
    ]


def test_seeds_of_the_choice_pause_at_no_rung_and_change_no_decision() -> None:
    study = Study(seeds=(0, 1), epochs=4)
    losses = {rate: [abs(rate - 10.0) + 1.0] * 4 for rate in RATES}
    while study.round(lambda c: losses[c.learning_rate] if c.seed == SEED else [50.0] * 4):
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


@pytest.mark.parametrize("seed", range(4))
def test_decisions_do_not_hang_on_the_order_in_which_candidates_arrive(seed: int) -> None:
    draw = random.Random(seed)
    table: dict[str, list[float]] = {}
    epochs, patience = draw.choice([3, 5, 8]), draw.choice([None, 1, 2])
    options: dict[str, Any] = {
        "epochs": epochs,
        "rates": tuple(float(10**i) for i in range(draw.choice([3, 4, 6]))),
        "labels": draw.choice([(), ("x", "y")]),
        "growth": draw.choice([0, 3]),
        "seeds": draw.choice([(0,), (0, 1)]),
        "reduction_factor": draw.choice([2, 3]),
        "pruner": draw.choice(["halving", "halving", None]),
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
            study.settle()
        assert all(c.state.is_final for c in study.schedule.candidates)
        return (
            {c.id: (c.state, len(c.epochs), c.reason) for c in study.schedule.candidates},
            [c.id for c in study.schedule.finals],
        )

    first = outcome(random.Random(0))
    assert outcome(random.Random(1)) == first
    assert outcome(random.Random(2)) == first


def test_one_decision_a_round_and_none_twice() -> None:
    study = Study(growth=1)
    assert study.schedule.settle() == []
    while study.round(lambda c: [20.0 - math.log10(c.learning_rate)] * 2):
        pass
    # The grid grew, a rung was judged, a setting was chosen.
    assert study.schedule.methods["m"].num_rounds == 3
    assert study.schedule.settle() == []


def test_candidates_whose_checkpoints_are_gone_are_taken_up_from_their_records() -> None:
    """Those that were named later too, although the best is at no edge any more."""
    study = Study(growth=4, seeds=(0, 1))
    losses = {1.0: [3.0, 3.0], 10.0: [2.0, 2.0], 100.0: [1.0, 1.0], 1e3: [2.5, 2.5]}
    study.run(losses)
    records = {c.id: record_of(c) for c in study.schedule.candidates}
    again = Study(growth=4, seeds=(0, 1))
    again.schedule.take_up({**records, "x-lr1-s1000": replace(records["m-lr1-s1000"], method="x")})
    assert [c.id for c in again.schedule.candidates] == [c.id for c in study.schedule.candidates]
    assert again.states() == study.states()
    assert again.finals() == study.finals()
    assert not again.round(lambda c: losses[c.learning_rate])


@pytest.mark.parametrize("state", [RunState.COMPLETE, RunState.WAITING])
def test_only_a_search_that_goes_on_takes_its_choice_back(state: RunState) -> None:
    study = Study(seeds=(0, 1)).run({rate: [rate, rate] for rate in RATES})
    done = study.schedule.methods["m"]
    again = Study(seeds=(0, 1))
    method = again.schedule.methods["m"]
    method.searched = [*done.searched]
    assert done.chosen is not None
    done.searched[-1].state = state
    again.schedule.recall(done.finals, {"m": done.chosen}, {"m": 1})
    if state is RunState.COMPLETE:
        assert (method.chosen, method.finals) == (done.chosen, done.finals)
    else:
        assert (method.chosen, method.finals) == (None, [])


def test_rounds_that_were_over_are_those_of_the_methods_that_are_still_there() -> None:
    study = Study("a", "b")
    study.schedule.recall([], {}, {"a": 2, "gone": 1})
    assert {m.name: m.num_rounds for m in study.schedule.methods.values()} == {"a": 2, "b": 0}


def test_what_is_missing_of_a_run_without_checkpoints_is_trained() -> None:
    study = Study(seeds=(0, 1)).run({rate: [rate, rate] for rate in RATES})
    records = {c.id: record_of(c) for c in study.schedule.candidates if c.seed != 1}
    again = Study(seeds=(0, 1))
    again.schedule.take_up(records)
    waiting = [c.id for c in again.schedule.candidates if c.state is RunState.WAITING]
    assert waiting == ["m-lr1-s1"]


def test_further_seeds_are_taken_up_where_the_studys_looks_may_ask_for_them() -> None:
    losses = {rate: [rate, rate] for rate in RATES}
    study = Study("a", "b").run(losses)
    study.schedule.train_more(["a"], 3)
    study.run(losses)
    records = {c.id: record_of(c) for c in study.schedule.candidates}
    for most, found in ((3, ["a-lr1-s0", "a-lr1-s1", "a-lr1-s2"]), (2, ["a-lr1-s0", "a-lr1-s1"])):
        again = Study("a", "b")
        again.schedule.most_seeds = most
        again.schedule.take_up(records)
        assert (again.finals("a"), again.finals("b")) == (found, ["b-lr1-s0"])


@pytest.mark.parametrize(
    ("rate", "seed", "has_place"), [(10.0, 0, True), (10.0, 1, False), (5.0, 0, False)]
)
def test_a_checkpoints_candidate_has_a_place_by_its_rate_and_its_seed(
    rate: float, seed: int, has_place: bool
) -> None:
    schedule = Study(is_searched=False).schedule
    spec = CandidateSpec(method="m", variant="", learning_rate=rate, seed=seed)
    assert schedule.has_place_for(spec) == has_place

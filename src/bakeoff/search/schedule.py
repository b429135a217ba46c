"""Which candidates a study trains, and in which order: the search of each method, then its seeds.

Each method is searched by successive halving with pauses (Li et al. 2020, "A System for Massively
Parallel Hyperparameter Tuning", algorithm 2): its candidates train up to a rung, give up their
slots, and once all of them are there the best go on and the others are pruned. Methods do not wait
for each other, and none is compared with another's candidates. Where the best rate is at the
edge of the grid, the grid grows on that side first. What is decided follows from the candidates
alone, so that a resumed study decides the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.workbench import Workbench
from bakeoff.methods.contract import ExecutionPath, Method
from bakeoff.search.options import SearchOptions, final_seeds, grid_of, grown
from bakeoff.search.storage import SearchStorage
from bakeoff.types import RunState

Report = Callable[[str], None]


@dataclass
class MethodSearch:
    """One method's candidates and what became of its search.

    Attributes:
        name: the study's name of the method.
        variants: its methods by label.
        rates: the grid as it began. centre: what its rule is centred on, or None.
        searched: candidates of the search, in the order in which they were named.
        finals: candidates of the chosen rate, a seed each; of all where nothing is searched.
    """

    name: str
    variants: dict[str, Method]
    rates: tuple[float, ...]
    centre: float | None = None
    searched: list[Candidate] = field(default_factory=list)
    finals: list[Candidate] = field(default_factory=list)

    @property
    def candidates(self) -> list[Candidate]:
        """All, each once: the search's first, then the other seeds."""
        return [*self.searched, *(c for c in self.finals if c not in self.searched)]

    @property
    def chosen(self) -> Candidate | None:
        """The candidate whose rate and variant the search chose, once it is over."""
        return self.finals[0] if self.searched and self.finals else None

    @property
    def num_grown(self) -> int:
        """Rates by which the grid grew."""
        return len({c.learning_rate for c in self.searched} - set(self.rates))

    def best(self) -> Candidate | None:
        """The searched candidate with the lowest validation NLL so far; none that went wrong."""
        wrong = (RunState.DIVERGED, RunState.FAILED)
        known = [c for c in self.searched if c.best_val_nll is not None and c.state not in wrong]
        return min(known, key=_loss, default=None)

    def edge(self) -> tuple[Candidate, bool] | None:
        """The best candidate and whether upward, where its rate is at the edge of the grid.

        A rate that diverged bounds the grid like any other. Where all diverged, the lowest rate
        counts as the best.
        """
        best = self.best()
        if best is None:
            if any(c.state is RunState.FAILED for c in self.searched):
                return None  # another rate would most likely fail as well
            best = min(self.searched, key=lambda c: c.learning_rate)
            return best, False
        rates = [c.learning_rate for c in self.searched if c.variant == best.variant]
        if len(rates) < 2 or min(rates) < best.learning_rate < max(rates):
            return None
        return best, best.learning_rate == max(rates)


class StudySchedule:
    """All candidates of a study.

    Attributes:
        methods: the state of each method's search, by name, in the study's order.
        search: how is searched, or None. epochs: the most that a candidate trains.
    """

    def __init__(
        self,
        methods: Sequence[MethodSearch],
        seeds: Sequence[int],
        epochs: int,
        search: SearchOptions | None,
        storage: SearchStorage | None = None,
        report: Report = lambda text: None,
    ) -> None:
        """Names the first candidates.

        Args:
            methods: one for each method, empty so far.
            seeds: the protocol's. epochs: the most that a candidate trains.
            search: how is searched, or None.
            storage: where the search is written down and pruned; needed where there is one.
            report: called with each decision, in words.
        """
        self.methods = {method.name: method for method in methods}
        self.search = search
        self.epochs = epochs
        self.seeds = final_seeds(seeds, search.seeds) if search else tuple(seeds)
        self.rungs = search.rungs(epochs) if search else ()
        self.storage = storage
        self.report = report
        self.on_new: Callable[[Candidate], None] = lambda candidate: None
        self.on_return: Callable[[Candidate], None] = lambda candidate: None
        self.on_pruned: Callable[[Candidate], None] = lambda candidate: None
        for method in methods:
            for label, variant in method.variants.items():
                if search is None:
                    method.finals += [
                        self._name(method, label, rate, seed, variant)
                        for rate in method.rates
                        for seed in self.seeds
                    ]
                else:
                    method.searched += [
                        self._name(method, label, rate, self.seeds[0], variant)
                        for rate in method.rates
                    ]

    @property
    def candidates(self) -> list[Candidate]:
        """All candidates that were named so far."""
        return [c for method in self.methods.values() for c in method.candidates]

    @property
    def finals(self) -> list[Candidate]:
        """Those that the test set is for."""
        return [c for method in self.methods.values() for c in method.finals]

    def of(self, execution_path: ExecutionPath) -> PathSchedule:
        """The part that trains on one execution_path."""
        return PathSchedule(self, execution_path)

    def pauses(self, candidate: Candidate) -> bool:
        """Whether the candidate has reached a rung of its method's search."""
        method = self.methods[candidate.method_name]
        is_final_seed = candidate in method.finals
        return len(candidate.epochs) in self.rungs and not is_final_seed

    def settle(self) -> None:
        """Takes every decision that can be taken now."""
        for method in self.methods.values():
            while self._settle(method):
                pass

    def _settle(self, method: MethodSearch) -> bool:
        """One decision on a method all of whose candidates are there; says whether one fell."""
        if self.search is None or self.storage is None or method.finals:
            return False
        if any(c.state in (RunState.WAITING, RunState.RUNNING) for c in method.searched):
            return False
        paused = [c for c in method.searched if c.state is RunState.PAUSED]
        rung = min((len(c.epochs) for c in paused), default=None)
        if rung is None or rung == self.rungs[0]:
            # Before any goes on: a rate beyond the edge may be better than all of them.
            if self._grow(method):
                return True
            if rung is None:
                return self._choose(method)
        arrived = [c for c in paused if len(c.epochs) == rung]
        # All are judged before any is ended: what is known of a rung is the same for all of it.
        weak = [c for c in arrived if self.storage.prunes(c)]
        for candidate in arrived:
            if candidate in weak:
                candidate.state = RunState.PRUNED
                candidate.reason = (
                    f"after epoch {rung} its validation NLL {_loss(candidate):.4f} was not among "
                    f"the best 1 in {self.search.reduction_factor} of {method.name}"
                )
                candidate.snapshot = candidate.tensors = None
                self.storage.write(candidate)
                self.on_pruned(candidate)
            else:
                candidate.state = RunState.WAITING
        return True

    def _grow(self, method: MethodSearch) -> bool:
        """Adds the rate beyond the edge where the best is there; says whether it did."""
        assert self.search is not None
        found = method.edge()
        if found is None or len(method.rates) < 2:
            return False
        best, upward = found
        if method.num_grown >= self.search.growth:
            return False
        rates = [c.learning_rate for c in method.searched if c.variant == best.variant]
        rate = grown(rates, self.search.grid_factor, upward=upward, centre=method.centre)
        label = best.variant
        new = self._name(method, label, rate, self.seeds[0], method.variants[label])
        method.searched.append(new)
        self.on_new(new)
        what = (
            "no rate ended well so far"
            if method.best() is None
            else f"the best rate so far, {best.learning_rate:g}, is at the edge of its grid"
        )
        self.report(f"{method.name}: {what}; {rate:g} is tried as well")
        return True

    def _choose(self, method: MethodSearch) -> bool:
        """Names the seeds of the best rate, the search's own run being the first of them."""
        eligible = [c for c in method.searched if c.state.is_eligible]
        if not eligible:
            return False
        best = min(eligible, key=_loss)
        variant = method.variants[best.variant]
        others = [
            self._name(method, best.variant, best.learning_rate, seed, variant)
            for seed in self.seeds[1:]
        ]
        method.finals = [best, *others]
        for candidate in others:
            self.on_new(candidate)
        self.report(f"{method.name}: chosen is {_chosen(best)}")
        return True

    def note(self, candidate: Candidate) -> None:
        """Writes down how far a candidate of the search has come."""
        is_searched = candidate in self.methods[candidate.method_name].searched
        if self.storage is not None and is_searched:
            self.storage.write(candidate)

    @staticmethod
    def _name(
        method: MethodSearch, label: str, rate: float, seed: int, variant: Method
    ) -> Candidate:
        parts = [method.name, *([label] if label else []), f"lr{rate:g}", f"s{seed}"]
        return Candidate(
            id="-".join(parts),
            method_name=method.name,
            method=variant,
            learning_rate=rate,
            seed=seed,
            variant=label,
        )

    def recall(self, records: Sequence[Candidate], chosen: Mapping[str, Candidate]) -> None:
        """Takes candidates that an earlier call named later for its own.

        Args:
            records: the candidates, in the order in which they were named.
            chosen: for each method whose search was over, the searched candidate that won.
        """
        known = {candidate.id: candidate for candidate in self.candidates}
        for record in records:
            if record.id in known:
                continue
            method = self.methods[record.method_name]
            target = method.searched if record.seed == self.seeds[0] else method.finals
            target.append(record)
            known[record.id] = record
        for name, candidate in chosen.items():
            self.methods[name].finals.insert(0, candidate)

    def new_candidate(
        self, method_name: str, label: str, rate: float, seed: int
    ) -> Candidate | None:
        """A candidate by its parts, or None where the study has no such method or variant."""
        method = self.methods.get(method_name)
        if method is None or label not in method.variants:
            return None
        return self._name(method, label, rate, seed, method.variants[label])


@dataclass
class PathSchedule:
    """The candidates of one execution path, for one trainer."""

    whole: StudySchedule
    execution_path: ExecutionPath

    def waiting(self) -> list[Candidate]:
        """The candidates that could be seated now."""
        return [
            c
            for c in self.whole.candidates
            if c.state is RunState.WAITING and c.method.execution_path is self.execution_path
        ]

    def next(self) -> Candidate | None:
        """The next that waits; one that has trained already comes first."""
        waiting = self.waiting()
        found = min(waiting, key=lambda c: not c.epochs, default=None)
        if found is None:
            return None
        if found.epochs and found.snapshot is None:
            self.whole.on_return(found)
        found.state = RunState.RUNNING
        return found

    def pauses(self, candidate: Candidate) -> bool:
        """See ``engine.schedule.Schedule``."""
        return self.whole.pauses(candidate)

    def settle(self) -> None:
        """See ``engine.schedule.Schedule``."""
        self.whole.settle()


def _loss(candidate: Candidate) -> float:
    loss = candidate.best_val_nll
    return math.inf if loss is None else loss


def _chosen(candidate: Candidate) -> str:
    options = f"{candidate.variant}, " if candidate.variant else ""
    return (
        f"{options}learning rate {candidate.learning_rate:g}, validation NLL {_loss(candidate):.4f}"
    )


def first_candidates(bench: Workbench, search: SearchOptions | None) -> StudySchedule:
    """A study's first candidates, in its order; nothing is written down yet."""
    return StudySchedule(
        [
            MethodSearch(
                name=entry.name,
                variants=dict(bench.methods[entry.name]),
                rates=grid_of(entry, search) if search else (entry.learning_rate,),
                centre=None if entry.rates else entry.method_type.default_learning_rate,
            )
            for entry in bench.entries
        ],
        bench.protocol.seeds,
        bench.protocol.epochs,
        search,
    )

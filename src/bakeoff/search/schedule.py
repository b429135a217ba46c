"""A study's candidates as training sees them, and what is decided between its rounds.

Each method is searched by itself: methods do not wait for each other, and none is compared with
another's candidates. What is decided is ``rounds.decide``'s, a function of the candidates' records;
this module keeps the candidates and does what was decided.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import AdaptiveSeeds
from bakeoff.engine.workbench import Workbench
from bakeoff.methods.contract import ExecutionPath
from bakeoff.runs.records import CandidateRecord, CandidateSpec
from bakeoff.search.curve import curve_specs, of_finals
from bakeoff.search.groups import PassGroup, group_of
from bakeoff.search.method_search import MethodSearch as MethodSearch
from bakeoff.search.method_search import further_specs, record_of, spec_of
from bakeoff.search.options import SearchOptions
from bakeoff.search.pruners.registry import PRUNERS
from bakeoff.search.rounds import Decision, decide, first_specs, is_over
from bakeoff.search.selection import Selection
from bakeoff.search.space import space_of
from bakeoff.types import RunState


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What a decision changed.

    Attributes:
        text: the decision in words, or empty.
        new: candidates that were named. pruned: those that ended by it.
        unscored: those whose value by the selection's metric is needed before anything follows.
    """

    text: str
    new: tuple[Candidate, ...] = ()
    pruned: tuple[Candidate, ...] = ()
    unscored: tuple[Candidate, ...] = ()


class StudySchedule:
    """All candidates of a study.

    Attributes:
        methods: the state of each method's search, by name, in the study's order.
        search: how is searched, or None. epochs: the most that a candidate trains.
        seeds: of each method's chosen setting. rungs: epochs after which candidates are compared.
        known: records of candidates that had ended before this training began, by id: whichever of
            them is named is taken up and not trained.
        left_out: ids that searches began with before the study changed, and do not now.
        most_seeds: seeds from 0 on that looks at the test scores may ask for.
        curve_rows: sizes of the subsets on which chosen settings are trained besides.
    """

    def __init__(
        self,
        methods: Sequence[MethodSearch],
        seeds: Sequence[int],
        epochs: int,
        search: SearchOptions | None,
        most_seeds: int = 0,
        curve_rows: Sequence[int] = (),
    ) -> None:
        """Names the first candidates.

        Args:
            methods: one for each method, empty so far; with a space where there is a search.
            seeds: of the chosen settings. epochs: the most that a candidate trains.
            search: how is searched, or None. most_seeds, curve_rows: see the class.
        """
        self.methods = {method.name: method for method in methods}
        self.search = search
        self.epochs = epochs
        self.seeds = tuple(seeds)
        self.rungs = rungs_of(search, epochs)
        self.known: dict[str, CandidateRecord] = {}
        self.left_out: frozenset[str] = frozenset()
        self.most_seeds = most_seeds
        self.curve_rows = tuple(curve_rows)
        for method in methods:
            if method.space is not None:
                specs = first_specs(method.space)
                method.rates = tuple(dict.fromkeys(spec.learning_rate for spec in specs))
                method.searched += map(self.candidate_of, specs)
                method.num_first = len(specs)
                continue
            method.finals += [
                self.candidate_of(
                    CandidateSpec(method=method.name, variant=label, learning_rate=rate, seed=seed)
                )
                for label in method.variants
                for rate in method.rates
                for seed in self.seeds
            ]

    @property
    def candidates(self) -> list[Candidate]:
        """All candidates that were named so far."""
        return [c for method in self.methods.values() for c in method.candidates]

    @property
    def searched_epochs(self) -> int:
        """The most that the search's candidates train: fewer where only the chosen went on."""
        ends = [
            len(candidate.epochs)
            for method in self.methods.values()
            for candidate in method.searched
            if candidate.state is RunState.COMPLETE
        ]
        return max(ends, default=self.epochs)

    @property
    def finals(self) -> list[Candidate]:
        """Those that the test set is for."""
        return [c for method in self.methods.values() for c in method.finals]

    @property
    def on_curve(self) -> list[Candidate]:
        """Those of the learning curves."""
        return [c for method in self.methods.values() for c in method.curve]

    def waiting(self, group: PassGroup) -> list[Candidate]:
        """The candidates of a group that could be seated now."""
        return [c for c in self.candidates if c.state is RunState.WAITING and group.holds(c)]

    def groups_waiting(self) -> list[PassGroup]:
        """The groups of which any candidate waits, by execution path, then in the study's order."""
        found = {group_of(c): None for c in self.candidates if c.state is RunState.WAITING}
        order = list(ExecutionPath)
        return sorted(found, key=lambda group: order.index(group.execution_path))

    def regions(self) -> list[frozenset[ExecutionPath]]:
        """Execution paths that train without regard to each other, in their order.

        Those that variants of one method need belong together: its search waits for all of them.
        """
        found: list[frozenset[ExecutionPath]] = []
        for method in self.methods.values():
            paths = frozenset(variant.execution_path for variant in method.variants.values())
            touching = [region for region in found if region & paths]
            found = [region for region in found if region not in touching]
            found.append(paths.union(*touching))
        order = list(ExecutionPath)
        return sorted(found, key=lambda region: min(map(order.index, region)))

    def is_searched(self, candidate: Candidate) -> bool:
        """Whether the candidate is one of its method's search."""
        return candidate in self.methods[candidate.method_name].searched

    def pauses(self, candidate: Candidate) -> bool:
        """Whether the candidate has reached a rung of its method's search."""
        return len(candidate.epochs) in self.rungs and self.is_searched(candidate)

    def settle(self, names: Collection[str] | None = None) -> list[Settled]:
        """Decides on every method whose round is over, as often as something follows from it.

        Args:
            names: of the methods that are looked at; None looks at all.
        """
        found = []
        for method in self.methods.values():
            if names is not None and method.name not in names:
                continue
            while (settled := self._settle(method)) is not None:
                found.append(settled)
                if settled.unscored:
                    break
        return found

    def _settle(self, method: MethodSearch) -> Settled | None:
        """One decision on a method; None where none can be taken, or nothing follows."""
        if method.space is None or method.chosen is not None:
            return None
        records = method.records
        if not is_over(records):
            return None
        decision = decide(method.space, records, method.num_rounds + 1)
        if decision.unscored:
            by_id = {candidate.id: candidate for candidate in method.searched}
            return Settled(text="", unscored=tuple(by_id[name] for name in decision.unscored))
        if decision.is_final and decision.chosen is None:
            return None
        method.num_rounds += 1
        return self._apply(method, decision)

    def _apply(self, method: MethodSearch, decision: Decision) -> Settled:
        by_id = {candidate.id: candidate for candidate in method.searched}
        new = [self.candidate_of(spec) for spec in decision.new]
        method.searched += new
        pruned = []
        for stop in decision.verdicts.stops:
            candidate = by_id[stop.id]
            candidate.state, candidate.reason = RunState.PRUNED, stop.reason
            candidate.snapshot = candidate.tensors = None
            pruned.append(candidate)
        for name in decision.verdicts.continuations:
            by_id[name].state = RunState.WAITING
        if decision.chosen is not None:
            assert method.space is not None
            best = method.chosen = by_id[decision.chosen]
            new = [
                self.candidate_of(method.space.spec(best.options, best.learning_rate, seed))
                for seed in self.seeds
            ]
            method.finals = new
        return Settled(text=decision.text, new=tuple(new), pruned=tuple(pruned))

    def train_more(self, names: Sequence[str], num_seeds: int) -> list[Candidate]:
        """Names further seeds of chosen settings, up to a number of seeds of each method.

        Args:
            names: of methods whose setting is chosen. num_seeds: of each of them in the end.
        """
        found = []
        for name in names:
            method = self.methods[name]
            finals = [record_of(candidate) for candidate in method.finals]
            new = [self.candidate_of(spec) for spec in further_specs(finals, num_seeds)]
            method.finals += new
            found += new
        return found

    def name_curve(self, tested: Collection[str]) -> None:
        """Names the candidates of the learning curves, where they are not named yet.

        Args:
            tested: ids of the final candidates that have results.
        """
        for method in self.methods.values():
            known = {candidate.id: candidate for candidate in method.curve}
            specs = curve_specs(method.finals, self.curve_rows, tested)
            method.curve = [known.get(spec.id) or self.candidate_of(spec) for spec in specs]

    def candidate_of(self, spec: CandidateSpec) -> Candidate:
        """A candidate of the study, which takes no part yet.

        Raises:
            KeyError: where the study has no such method or variant.
        """
        method = self.methods[spec.method]
        found = Candidate(
            id=spec.id,
            method_name=spec.method,
            method=method.variants[spec.variant],
            learning_rate=spec.learning_rate,
            seed=spec.seed,
            variant=spec.variant,
            options=method.settings.get(spec.variant, {}),
            rows=spec.rows,
        )
        as_recorded(found, self.known.get(found.id))
        return found

    def has_place_for(self, spec: CandidateSpec) -> bool:
        """Whether a candidate that an earlier call named belongs to the study as it is now.

        What a study names at its beginning is there already.
        """
        method = self.methods.get(spec.method)
        if method is None or spec.variant not in method.variants:
            return False
        if spec.rows is not None and spec.rows not in self.curve_rows:
            return False
        if method.space is not None and spec.seed == method.space.seed:
            return spec.id not in self.left_out
        is_wanted = spec.seed in self.seeds or spec.seed < self.most_seeds
        return is_wanted and (method.space is not None or spec.learning_rate in method.rates)

    def recall(
        self,
        later: Sequence[Candidate],
        chosen: Mapping[str, Candidate],
        num_rounds: Mapping[str, int],
    ) -> None:
        """Takes candidates that an earlier call named later for its own.

        Args:
            later: the candidates, in the order in which they were named.
            chosen: for each method whose search was over, the searched candidate that won.
            num_rounds: rounds of each method that were over.
        """
        for candidate in later:
            method = self.methods[candidate.method_name]
            if candidate.rows is not None:
                method.curve.append(candidate)
            elif self._is_of_search(candidate):
                method.searched.append(candidate)
            else:
                method.finals.append(candidate)
        for name, candidate in chosen.items():
            self.methods[name].chosen = candidate
        for name, number in num_rounds.items():
            if name in self.methods:
                self.methods[name].num_rounds = number
        for method in self.methods.values():
            if any(not candidate.state.is_final for candidate in method.searched):
                self._reopen(method)
            elif method.space is not None and method.chosen is None:
                method.finals = []  # of a choice that was left out
            self._complete_finals(method)
            # Those of a setting that is not the chosen one any more are left out.
            method.curve = of_finals(method.curve, method.finals)

    def _reopen(self, method: MethodSearch) -> None:
        """Takes back the choice of a search that has grown since; nothing where there was none.

        Finals that have ended are taken up if their setting is chosen again.
        """
        ended = [
            candidate
            for candidate in (*method.finals, *method.curve)
            if candidate.state.is_final and candidate.state is not RunState.FAILED
        ]
        self.known |= {candidate.id: record_of(candidate) for candidate in ended}
        method.chosen, method.finals = None, []

    def _complete_finals(self, method: MethodSearch) -> None:
        """Names the seeds that a chosen setting has not been trained with, as of a grown study."""
        if method.space is None or method.chosen is None:
            return
        named = {candidate.seed: candidate for candidate in method.finals}
        for seed in self.seeds:
            if seed not in named:
                best = method.chosen
                named[seed] = self.candidate_of(
                    method.space.spec(best.options, best.learning_rate, seed)
                )
        later = [seed for seed in named if seed not in self.seeds]
        method.finals = [named[seed] for seed in (*self.seeds, *later)]

    def take_up(self, records: Mapping[str, CandidateRecord]) -> list[Settled]:
        """Takes up candidates that have ended in an earlier call whose checkpoints are gone.

        Args:
            records: by id; those that are not of this study are left where they are.
        """
        self.known = dict(records)
        for method in self.methods.values():
            known = {candidate.id for candidate in method.searched}
            for id, record in sorted(records.items()):
                if record.method != method.name or method.space is None or id in known:
                    continue
                if record.rows is not None or record.seed != method.space.seed:
                    continue
                if self.has_place_for(spec_of(record)):
                    method.searched.append(self.candidate_of(spec_of(record)))
        for candidate in self.candidates:
            as_recorded(candidate, records.get(candidate.id))
        settled = self.settle()
        self._take_up_further(records)
        return settled

    def _take_up_further(self, records: Mapping[str, CandidateRecord]) -> None:
        """Further seeds of chosen settings, which a look at the test scores asked for."""
        for method in self.methods.values():
            known = {candidate.id for candidate in method.finals}
            for id, record in sorted(records.items(), key=lambda item: item[1].seed):
                if record.method != method.name or id in known or not method.finals:
                    continue
                if record.seed >= self.most_seeds:
                    continue  # the study has no looks, or none that far
                setting = spec_of(record_of(method.finals[0]))
                if replace(spec_of(record), seed=setting.seed) == setting:
                    candidate = self.candidate_of(spec_of(record))
                    if not self._is_of_search(candidate):
                        as_recorded(candidate, record)
                        method.finals.append(candidate)

    def _is_of_search(self, candidate: Candidate) -> bool:
        space = self.methods[candidate.method_name].space
        return space is not None and candidate.seed == space.seed


def rungs_of(search: SearchOptions | None, epochs: int) -> tuple[int, ...]:
    """Epochs after which candidates of one method are compared and the weak are pruned."""
    if search is None:
        return ()
    return PRUNERS[search.pruner].rungs(epochs, search.reduction_factor)


def as_recorded(candidate: Candidate, record: CandidateRecord | None) -> None:
    """Takes a candidate for what its record says of it, where there is one."""
    if record is not None:
        candidate.state, candidate.reason = record.state, record.reason
        candidate.cohort = record.cohort
        candidate.best_epoch, candidate.epochs = record.best_epoch, list(record.epochs)
        candidate.validation = dict(record.validation)


def first_candidates(
    bench: Workbench, search: SearchOptions | None, selection: Selection | None = None
) -> StudySchedule:
    """A study's first candidates, in its order; nothing is written down yet."""
    protocol = bench.protocol
    rungs = rungs_of(search, protocol.epochs)
    epochs = protocol.epochs
    methods = []
    for entry in bench.entries:
        space = None
        if search is not None:
            seed = protocol.search_seed
            space = space_of(entry, search, seed=seed, rungs=rungs, selection=selection)
        methods.append(
            MethodSearch(
                name=entry.name,
                variants=bench.methods[entry.name],
                settings={variant.label: variant.searched for variant in entry.variants},
                space=space,
                rates=(entry.learning_rate,),
            )
        )
        epochs = max(epochs, *(protocol.under(v.searched).epochs for v in entry.variants))
    seeds = protocol.seeds
    most_seeds = seeds.at_most if isinstance(seeds, AdaptiveSeeds) else 0
    return StudySchedule(methods, protocol.seed_list, epochs, search, most_seeds, bench.curve.sizes)

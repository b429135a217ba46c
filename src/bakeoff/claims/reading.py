"""From a study's records to what a claim's statistic reads.

Losses are sums of nats over sums of tokens, of all test rows and with each block of rows left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.claims.completeness import untested
from bakeoff.claims.contract import Floats
from bakeoff.claims.grids import unlike_grids
from bakeoff.errors import StoreError
from bakeoff.formatting import join, shown_whole
from bakeoff.runs.arrays import read_arrays
from bakeoff.runs.groups import groups_of
from bakeoff.runs.reading import read_results
from bakeoff.runs.records import MethodRecord, Results
from bakeoff.runs.settings import setting
from bakeoff.types import RunState
from bakeoff.version import __version__

BLOCKS: Final = 20
"""Of test rows, left out one at a time; a row's place (its group's) modulo this is its block. Where
a set has fewer rows or groups, there are as few blocks."""
_METRIC: Final = "nll"


@dataclass
class Measured:
    """Values by condition, of all rows and without each block of them.

    Attributes:
        notes: what a reader should know of how they came about.
        groups: by set, [rows] which hang together, see ``runs.groups``. blocks: of test rows.
    """

    values: dict[str, Floats] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    groups: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    blocks: int = BLOCKS
    without: list[dict[str, Floats]] = field(init=False)

    def __post_init__(self) -> None:
        self.without = [{} for _ in range(self.blocks)]

    def add(self, name: str, files: Sequence[Path], of: str = "test") -> None:
        """Adds a condition from the scores of its runs on a set, [] for one without seeds."""
        found = [losses_of(file, self.groups.get(of), self.blocks) for file in files]
        self.values[name] = np.array([whole for whole, _ in found])
        for j, one in enumerate(self.without):
            one[name] = np.array([left[j] for _, left in found])

    def place_lost(self, name: str, lost: NDArray[np.bool_]) -> None:
        """Puts an infinite loss in the place of each seed that has none.

        Args:
            lost: [S] which those are.
        """
        for one in (self.values, *self.without):
            whole = np.full(len(lost), np.inf)
            whole[~lost] = one[name]
            one[name] = whole

    def put(self, name: str, value: Floats) -> None:
        """Adds a condition that no test rows are drawn for."""
        for one in (self.values, *self.without):
            one[name] = np.asarray(value, dtype=np.float64)

    def take(self, other: Measured, prefix: str) -> None:
        """Adds another's conditions under a prefix."""
        pairs = zip([self.values, *self.without], [other.values, *other.without], strict=True)
        for mine, theirs in pairs:
            mine.update({f"{prefix}{name}": value for name, value in theirs.items()})
        self.notes += other.notes


def losses_of(
    file: Path, groups: NDArray[np.int64] | None = None, blocks: int = BLOCKS
) -> tuple[float, Floats]:
    """The loss of a run on a set, in nats per token, and [blocks] without each block of rows.

    Args:
        file: of its scores. groups: [rows] of which those of one number are in one block; None has
            each row alone. blocks: how many.

    Raises:
        StoreError: the file is missing or torn.
    """
    arrays = read_arrays(file)
    if arrays is None or _METRIC not in arrays:
        raise StoreError(f"{file}: holds no losses of the rows; run the same command again")
    sums = np.asarray(arrays[_METRIC], dtype=np.float64)
    total = sums.sum(axis=0)
    if groups is None or len(groups) != len(sums):
        groups = np.arange(len(sums))
    block = groups % blocks
    parts = np.stack([sums[block == j].sum(axis=0) for j in range(blocks)])
    left = total - parts
    return float(total[0] / total[1]), left[:, 0] / np.maximum(left[:, 1], 1e-12)


@dataclass(frozen=True, kw_only=True)
class Source:
    """The study that trained one part of a claim on one base.

    Attributes:
        place: the study's folder. methods: by entrant, what the study calls it.
        part: the part's name, which stands in front of its conditions. base: what stands in front
            of that, where the claim is about several bases.
        sets: further test sets that the claim reads of the part.
        figure_only: the claim's conditions that only its figure has.
        diverged_is_worst: whether a run that diverged counts, with an infinite loss.
    """

    place: Path
    methods: Mapping[str, str]
    part: str = ""
    base: str = ""
    sets: tuple[str, ...] = ()
    figure_only: tuple[str, ...] = ()
    diverged_is_worst: bool = False

    def seeds_of(self, results: Results, method: str) -> set[int]:
        """The seeds whose runs of a method count."""
        record = results.methods[method]
        return set(record.seeds) | (_diverged(results, record) if self.diverged_is_worst else set())

    @property
    def front(self) -> str:
        """What stands in front of its conditions, but for the base."""
        return f"{self.part}:" if self.part else ""

    @property
    def needed(self) -> dict[str, str]:
        """The methods that decide, by entrant."""
        return {
            entrant: method
            for entrant, method in self.methods.items()
            if f"{self.front}{entrant}" not in self.figure_only
        }


def measured_together(sources: Sequence[Source]) -> Measured:
    """What studies measured for a claim, with the seeds that all of what decides was tested with.

    Raises:
        StoreError: something that decides has no scores, with the reason.
    """
    opened, lost = list[tuple[Source, Results]](), list[str]()
    for source in sources:
        try:
            opened.append((source, read_results(source.place)))
        except StoreError as error:
            if source.needed:
                raise
            lost.append(f"The figure is without {_listed(source.methods)}: {error}")
    counts = [_fewest_rows(*one) for one in opened]
    groups = [_fewest_groups(source.place) for source in sources]
    blocks = min([BLOCKS, *counts, *groups])
    if blocks < 2:
        place = opened[counts.index(blocks)][0].place
        raise StoreError(f"{place}: one test row says nothing of others; give at least two")
    whole = Measured(blocks=blocks, notes=lost)
    needed = [
        (source, results, method) for source, results in opened for method in source.needed.values()
    ]
    for source, results, method in needed:
        why = _untested(results, method)
        if why is not None and not (method in results.methods and source.seeds_of(results, method)):
            raise StoreError(f"{source.place}: {method} {why}")
    # A run that failed is left out of every entrant and part, so that repeats stay of one seed.
    tested = [source.seeds_of(results, method) for source, results, method in needed]
    seeds = set.intersection(*tested) if tested else set()
    if tested and not seeds:
        raise StoreError(
            f"{needed[0][0].place}: no seed was tested with every entrant of the claim"
        )
    whole.notes += _left_out(needed, seeds)
    for source, results in opened:
        whole.take(_measured_of(source, results, seeds, blocks), source.base)
    whole.notes = list(dict.fromkeys(whole.notes))  # parts of one study have some in common
    return whole


def _fewest_rows(source: Source, results: Results) -> int:
    """Of the sets that a claim reads of a study, as far as something that decides was scored."""
    counts = [BLOCKS]
    for method in source.needed.values():
        record = results.methods.get(method)
        for run in record.candidates[:1] if record else ():
            folder = source.place / "candidates" / run / "scores"
            for name in ("test", *(f"also-{one}" for one in source.sets)):
                arrays = read_arrays(folder / f"{name}.npz")
                if arrays is not None and _METRIC in arrays:
                    counts.append(len(arrays[_METRIC]))
    return min(counts)


def _fewest_groups(place: Path) -> int:
    """Of a set of a study whose rows hang together in two groups or more."""
    counts = (len(set(found.tolist())) for found in _groups_of(place).values())
    return min(counts, default=BLOCKS)


def _groups_of(place: Path) -> dict[str, NDArray[np.int64]]:
    """The groups of a study's sets, but of those that are one group as a whole."""
    return {name: found for name, found in groups_of(place).items() if len(set(found.tolist())) > 1}


def _untested(results: Results, method: str) -> str | None:
    """Why a method has no scores; None where it has."""
    if method not in results.methods:
        return "was not begun; the same command goes on"
    record = results.methods[method]
    if record.seeds and _METRIC in record.test:
        return None
    return untested(record)


def _left_out(needed: Sequence[tuple[Source, Results, str]], seeds: set[int]) -> list[str]:
    """Which seeds' runs decide nothing, and for whose sake."""
    lacking: dict[int, dict[str, None]] = {}
    known = [(source.seeds_of(results, m), results, m) for source, results, m in needed]
    for own, results, method in known:
        record = results.methods[method]
        planned = {results.candidates[run].seed for run in record.candidates}
        for seed in planned - own:
            lacking.setdefault(seed, {})[method] = None
    elsewhere = set[int]().union(*(own for own, _, _ in known)) - seeds
    for seed in elsewhere - set(lacking):
        lacking[seed] = dict.fromkeys(method for own, _, method in known if seed not in own)
    return [
        f"Seed {seed} is left out of every entrant: it has no scores of {_listed(methods)}."
        for seed, methods in sorted(lacking.items())
    ]


def _diverged(results: Results, record: MethodRecord) -> set[int]:
    runs = (results.candidates[run] for run in record.candidates)
    return {run.seed for run in runs if run.state is RunState.DIVERGED}


def _listed(names: Iterable[str]) -> str:
    return join(list(dict.fromkeys(names)))


def _measured_of(source: Source, results: Results, seeds: set[int], blocks: int) -> Measured:
    """What one study measured. Entrants of the figure alone have all the seeds they have."""
    place, front = source.place, source.front
    found = Measured(groups=_groups_of(place), blocks=blocks)
    if (note := _on_groups(place, results)) is not None:
        found.notes.append(note)
    at_edge, unfinished = [], []
    for entrant, method in source.methods.items():
        own = seeds
        if entrant not in source.needed:
            if (why := _untested(results, method)) is not None:
                found.notes.append(f"The figure is without {entrant}: {method} {why}.")
                continue
            own = set(results.methods[method].seeds)
        _add_method(found, results, place, f"{front}{entrant}", method, own, source.sets)
        record = results.methods[method]
        if record.search is not None and record.search.best_at_edge:
            at_edge.append(method)
        if record.converged is False:
            unfinished.append(method)
    if at_edge:
        found.notes.append(
            f"The best learning rate of {_listed(at_edge)} lies at the edge of those that were "
            f"tried ({place.name}), so that a better one may lie beyond."
        )
    tried = unlike_grids(results, source.methods.values())
    found.notes += [f"{note} ({place.name})." for note in tried]
    if unfinished:
        found.notes.append(
            f"{_listed(unfinished)} had not stopped improving when training ended ({place.name})."
        )
    found.notes += [f"{caution} ({place.name})" for caution in results.data.cautions]
    test = results.data.test
    planned = setting(results.study, "task.examples.test")
    if isinstance(planned, int) and test.examples < planned:
        found.notes.append(
            f"The design asks for {shown_whole(planned)} test rows, and there are "
            f"{shown_whole(test.examples)} ({place.name})."
        )
    if test.tokens_read is not None:
        found.put(f"{front}rows#input", np.array(test.tokens_read / max(1, test.examples)))
    for baseline, asked in results.baselines.items():
        folder = place / "baselines" / baseline / "scores"
        _add_baseline(found, f"{front}{baseline}", _draws(folder, results, seeds))
        for name in asked.also_test:
            file = folder / f"also-{name}.npz"
            _add_baseline(found, f"{front}{baseline}@{name}", [file], f"also-{name}")
            # A written prompt is the untuned base on rows that are laid out in another way.
            if name.startswith("prompt_") and baseline == "zero_shot":
                _add_baseline(found, f"{front}{name}", [file], f"also-{name}")
    return found


def _on_groups(place: Path, results: Results) -> str | None:
    """What must be known of how a study's test rows hang together; None where nothing must."""
    known = groups_of(place).get("test")
    if known is None:
        may_hang = setting(results.study, "task.group") or results.task.kind == "text"
        # A run of this version has written the groups where there are some.
        if may_hang and results.environment.bakeoff != __version__:
            return (
                f"An earlier version made {place.name}, which kept no groups: each row counts "
                "alone, which makes errors too small where several are of one group or text."
            )
    elif len(set(known.tolist())) < 2:
        return (
            f"All test rows of {place.name} are of one group or text: each counts alone, and "
            "verdicts are about this one."
        )
    return None


def _draws(folder: Path, results: Results, seeds: set[int]) -> list[Path]:
    """The scores of a baseline that every seed drew examples for, of these seeds; else of its one
    run."""
    known = setting(results.study, "protocol.seeds")
    order = list(range(known)) if isinstance(known, int) else list(known or ())
    files = [
        folder / f"test-{draw}.npz" if draw else folder / "test.npz" for draw in range(len(order))
    ]
    if len(files) < 2 or not files[1].exists():
        return [folder / "test.npz"]
    return [file for seed, file in zip(order, files, strict=True) if seed in seeds]


def _add_baseline(found: Measured, name: str, files: Sequence[Path], of: str = "test") -> None:
    """Adds a baseline's losses on a set: [] of one run, [S] of several."""
    if not all(file.exists() for file in files):
        return
    found.add(name, files, of)
    if len(files) == 1:
        for one in (found.values, *found.without):
            one[name] = one[name][0]


def _add_method(
    found: Measured,
    results: Results,
    place: Path,
    name: str,
    method: str,
    seeds: set[int],
    sets: Sequence[str],
) -> None:
    record = results.methods[method]
    by_seed = {results.candidates[run].seed: run for run in record.candidates}
    tested = set(record.seeds)
    runs = [by_seed[seed] for seed in sorted(seeds) if seed in tested]
    folders = [place / "candidates" / run / "scores" for run in runs]
    found.add(name, [folder / "test.npz" for folder in folders])
    if lost := [seed not in tested for seed in sorted(seeds)]:
        found.place_lost(name, np.array(lost))
    rate = record.learning_rate
    if rate is None:  # of one that has diverged with every seed
        rate = results.candidates[by_seed[min(seeds)]].rate
    found.put(f"{name}#rate", np.array(rate))
    if _METRIC in record.validation:
        found.put(f"{name}#validation", np.array(record.validation[_METRIC].mean))
    # Of a shared study other claims' sets may still be without some scores.
    for one in sets:
        if one in record.also_test:
            files = [folder / f"also-{one}.npz" for folder in folders]
            found.add(f"{name}@{one}", files, f"also-{one}")

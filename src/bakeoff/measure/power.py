"""What a study's design can say of its methods, before anything is spent on it.

By how much two methods' scores differ from row to row, and one method's from seed to seed, comes
from an earlier run's folder or from what studies of summaries showed. Axis letters: ``S`` seeds,
``N`` rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.referee.arrays import group_indices
from bakeoff.decide.referee.components import Components, components_of
from bakeoff.decide.referee.design import PairSpread, pair_spread
from bakeoff.decide.referee.influence import of_runs
from bakeoff.decide.referee.pairs import MIN_DIFFERING_ROWS, MIN_SEEDS
from bakeoff.decide.referee.power import Power, pair_power, typical_spread
from bakeoff.decide.verdicts import unit_words
from bakeoff.errors import StoreError
from bakeoff.formatting import scale_of
from bakeoff.metrics.base import is_mean
from bakeoff.metrics.likelihood import MEANS
from bakeoff.runs.arrays import read_arrays
from bakeoff.runs.groups import groups_of
from bakeoff.runs.places import candidate_folder
from bakeoff.runs.reading import read_results
from bakeoff.runs.records import MetricRecord, Results

Counted = Literal["row", "group"]
_SCORES: Final = "scores/test.npz"
_TYPICAL: Final = {"nll": (0.28, 0.005)}
"""Standard deviations from row to row, of two methods' difference, and from seed to seed: what
summaries of CNN/DailyMail by small models showed (``docs/referee.md``)."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How scores vary, as standard deviations in the metric's unit.

    Attributes:
        row: of the difference of two methods from row to row, the median over pairs of methods.
        least_row, most_row: of the pairs that differ least and most; None where that is not known.
        seed: of a method's value from seed to seed. residual: of a single score beside both.
        counted: what a row is here: a test row, or a group of rows that hang together.
        basis: where this comes from, in words.
    """

    row: float
    seed: float
    residual: float = 0.0
    least_row: float | None = None
    most_row: float | None = None
    counted: Counted = "row"
    basis: str

    @property
    def pair(self) -> PairSpread:
        """As the referee has it, for two methods alike."""
        return typical_spread(row=self.row, seed=self.seed, residual=self.residual)


@dataclass(frozen=True, kw_only=True)
class PowerPlan:
    """What a study's design can say.

    Attributes:
        metric: what decides. unit: its unit. margin: a difference that does not matter.
        level: of all verdicts together. methods: that are compared, baselines included.
        seeds: of each method. rows: of the test set, or its groups, as the spread has it.
        spread: what it rests on.
        detectable: the difference that is found with 80 % probability; None where none is.
        recognised: the share of pairs of equal methods that would be called equivalent.
        limit: what prevents the margin, None where nothing does.
        needed_seeds, needed_rows: with which the margin would be reached, in all; None where those
            at hand do, or none within reach does.
        says: all of it in sentences.
    """

    metric: str
    unit: str
    margin: float
    level: float
    methods: int
    seeds: int
    rows: int
    spread: Spread
    detectable: float | None
    recognised: float
    limit: Literal["rows", "seeds"] | None
    needed_seeds: int | None
    needed_rows: int | None
    says: tuple[str, ...]


def plan_power(
    spread: Spread,
    *,
    metric: str,
    unit: str,
    margin: float,
    level: float,
    methods: int,
    seeds: int,
    rows: int,
) -> PowerPlan:
    """What so many seeds and rows can say of so many methods.

    Args:
        spread: how scores vary. metric: what decides. unit: its unit, for sentences.
        margin: a difference that does not matter. level: of all verdicts together.
        methods: that are compared, baselines included.
        seeds: of each method. rows: of the test set, or its groups, as the spread has it.
    """
    found = pair_power(
        spread.pair,
        seeds=seeds,
        rows=rows,
        num_methods=methods,
        margin=margin,
        alpha=1.0 - level,
    )
    says = _sentences(spread, found, unit, margin, level, methods, seeds, rows)
    return PowerPlan(
        metric=metric,
        unit=unit,
        margin=margin,
        level=level,
        methods=methods,
        seeds=seeds,
        rows=rows,
        spread=spread,
        detectable=found.detectable if math.isfinite(found.detectable) else None,
        recognised=found.recognised,
        limit=found.limit,
        needed_seeds=None if found.needs is None else found.needs.seeds,
        needed_rows=None if found.needs is None else found.needs.rows,
        says=tuple(says),
    )


def typical_of(metric: str) -> Spread | None:
    """What earlier studies showed of a metric; None where nothing is known."""
    if metric not in _TYPICAL:
        return None
    row, seed = _TYPICAL[metric]
    return Spread(row=row, seed=seed, basis="what studies of summaries by small models showed")


def spread_of(folder: Path) -> tuple[Spread, MetricRecord]:
    """How scores vary in an earlier run, and the metric that decided there.

    Args:
        folder: the run's; complete or not.

    Raises:
        StoreError: its results cannot be read, or fewer than two methods were tested on the same
            rows.
    """
    results = read_results(folder)
    metric = results.primary
    parts = {
        name: found
        for name, method in results.methods.items()
        if method.external is None
        and (found := _components(folder, results, method.candidates, metric.name)) is not None
    }
    sizes = {part.rows.size for part in parts.values()}
    if len(parts) < 2 or len(sizes) > 1:
        raise StoreError(
            f"{folder}: holds the scores of {len(parts)} of {len(results.methods)} methods on the "
            f"same test rows; two are needed to see how {metric.title} varies: finish that study, "
            "or give another folder"
        )
    first = results.methods[next(iter(parts))].candidates[0]  # one from elsewhere may have none
    counted: Counted = "row" if _groups(folder, results, first) is None else "group"
    return _spread(folder, parts, metric.name, counted), metric


def _groups(folder: Path, results: Results, candidate: str) -> NDArray[np.int64] | None:
    """[N] the group of each test row of the run that a candidate is of; None without groups."""
    return groups_of(candidate_folder(folder, results, candidate).parents[1]).get("test")


def _components(
    folder: Path, results: Results, candidates: tuple[str, ...], metric: str
) -> Components | None:
    """One method's variances, from the scores of its runs; None where they are not there."""
    statistics, groups = [], None
    for candidate in candidates:
        place = candidate_folder(folder, results, candidate)
        groups = _groups(folder, results, candidate)
        arrays = read_arrays(place / _SCORES)
        found = None if arrays is None else arrays.get(metric)
        if found is not None and found.ndim == 2 and found.shape[1] == 2 and len(found) > 1:
            statistics.append(found.astype(np.float64))
    if not statistics or len({len(found) for found in statistics}) > 1:
        return None
    inverse, _ = group_indices(groups, len(statistics[0]))
    # Two columns are a mean's; of those, some are functions of it.
    one = MEANS.get(metric, MEANS["nll"])()
    return components_of(of_runs(statistics, one.value, is_ratio=is_mean(one), groups=inverse))


def _spread(folder: Path, parts: Mapping[str, Components], metric: str, counted: Counted) -> Spread:
    rows, seeds, residuals = [], [], []
    for a, b in itertools.combinations(parts.values(), 2):
        own = float(a.seed_variance), float(b.seed_variance)
        rows.append(math.sqrt(pair_spread(a, b, own).row))
    for part in parts.values():
        if part.num_seeds > 1 and not part.fixed:
            alone = max(float(part.seed_variance) - float(part.residual), 0.0)
            seeds.append(alone * part.num_seeds)
            residuals.append(float(part.residual) * part.num_seeds * part.rows.size)
    typical = typical_of(metric)
    most = max(part.num_seeds for part in parts.values())
    size = next(iter(parts.values())).rows.size
    basis = f"{folder} ({len(parts)} methods, {_count(most, 'seed')}, {_count(size, counted)})"
    seed = math.sqrt(float(np.mean(seeds))) if seeds else 0.0 if typical is None else typical.seed
    if not seeds and typical is not None:
        basis += f", and of seeds {typical.basis}"
    elif not seeds:
        basis += ", which says nothing of seeds"
    return Spread(
        row=float(median(rows)),
        least_row=min(rows),
        most_row=max(rows),
        seed=seed,
        residual=math.sqrt(float(np.mean(residuals))) if residuals else 0.0,
        counted=counted,
        basis=basis,
    )


def _sentences(
    spread: Spread,
    found: Power,
    unit: str,
    margin: float,
    level: float,
    methods: int,
    seeds: int,
    rows: int,
) -> list[str]:
    """What the design finds, what it rests on, and what is missing: rows before seeds."""
    counted = spread.counted
    design = f"{_count(seeds, 'seed')} of each method and {_count(rows, f'test {counted}')}"
    factor = scale_of(unit).factor
    if rows < MIN_DIFFERING_ROWS:
        says = [
            f"With {design} nothing can be said of any pair of methods: at least "
            f"{MIN_DIFFERING_ROWS} {counted}s are needed."
        ]
    elif not math.isfinite(found.detectable):
        says = [
            f"With {design} nothing can be said of any pair of methods: at least {MIN_SEEDS} seeds "
            "are needed, as what is seen may be due to the seed."
        ]
    else:
        says = [
            f"With {design} a difference of {factor * found.detectable:.2g} {unit_words(unit)} "
            f"between two of {methods} methods is found with 80 % probability, and "
            f"{100 * found.recognised:.0f} % of pairs of equal methods would be recognised as "
            f"equal (margin {factor * margin:.3g}, level {level:.3g})."
        ]
    says.append(_missing(spread, found, f"{factor * margin:.3g}", seeds, rows))
    between = ""
    if spread.least_row is not None and spread.most_row is not None:
        least, most = factor * spread.least_row, factor * spread.most_row
        between = f", {least:.2g} to {most:.2g} between pairs of methods"
    says.append(
        f"It rests on differences of two methods that vary by {factor * spread.row:.2g} from "
        f"{counted} to {counted}{between}, and on methods that vary by "
        f"{factor * spread.seed:.2g} from seed to seed: {spread.basis}."
    )
    return says


def _missing(spread: Spread, found: Power, margin: str, seeds: int, rows: int) -> str:
    needs, counted = found.needs, spread.counted
    if needs is None and found.limit is None:
        return f"That is enough for the margin of {margin}."
    if needs is None:
        return (
            f"No number of {counted}s and seeds within reach shows methods equal within {margin}; "
            "a wider margin would."
        )
    wanted = []
    if needs.rows is not None:
        wanted.append(_count(needs.rows, f"test {counted}"))
    if needs.seeds is not None:
        wanted.append(f"{_count(needs.seeds, 'seed')} of each method")
    elif seeds < MIN_SEEDS and (spread.seed > 0.0 or spread.residual > 0.0):
        wanted.append(f"{MIN_SEEDS} seeds of each method")
    text = f"To tell the margin of {margin} apart takes {' and '.join(wanted)}"
    if needs.rows is not None:
        by_rows = spread.row**2 / rows
        by_seeds = (2.0 * spread.seed**2 + 2.0 * spread.residual**2 / rows) / max(1, seeds)
        if by_rows > by_seeds:
            what = f"{counted}s are what is missing, and more seeds alone would not help much"
            return f"{text}: {what}."
        return f"{text}."
    return f"{text}: seeds are what is missing."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

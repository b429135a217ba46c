"""What verdicts and the recommendation rest on: of scores, or of the records made of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.decide.referee import wording
from bakeoff.decide.referee.components import Components, SeedVariance
from bakeoff.decide.referee.design import PairSpread, pair_spread
from bakeoff.decide.referee.pairs import MIN_DIFFERING_ROWS, MIN_SEEDS, PairTests
from bakeoff.runs.decisions import Comparison


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The methods of one study on one metric, by their position in ``names``.

    Attributes:
        names: of methods and baselines. means: their statistics.
        num_seeds: of each. fixed: whether another seed of each would change nothing.
        num_rows: that all were scored on.
        tests: of all pairs. spreads: of pairs (i, j), i < j; one that is not known is absent.
        whys: why nothing is said of a pair, where nothing is.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    num_seeds: tuple[int, ...]
    fixed: tuple[bool, ...]
    num_rows: int
    tests: PairTests
    spreads: Mapping[tuple[int, int], PairSpread]
    whys: Mapping[tuple[int, int], str]

    def position(self, name: str) -> int:
        """Of a method."""
        return self.names.index(name)


def evidence_of(
    methods: Mapping[str, Components],
    seeds: SeedVariance,
    tests: PairTests,
    *,
    withheld: str | None,
    unit: str,
) -> Evidence:
    """What scores show.

    Args:
        methods: of one study. seeds: variances of all. tests: of all pairs.
        withheld: why nothing may be said at all, else None. unit: what N counts, in the plural.
    """
    names, parts = tuple(methods), list(methods.values())
    num_rows = int(parts[0].rows.shape[-1])
    spreads, whys = {}, {}
    for i, a in enumerate(parts):
        for j in range(i + 1, len(parts)):
            own = (float(seeds.variance[i]), float(seeds.variance[j]))
            spreads[i, j] = pair_spread(a, parts[j], own)
            if not tests.has_seeds[i, j]:
                unready = [names[k] for k in (i, j) if not tests.has_seeds[k, k]]
                whys[i, j] = wording.few_pair_seeds(unready)
            elif withheld is not None:
                whys[i, j] = withheld
            elif not tests.tested[i, j]:
                differing = int(tests.differing_rows[i, j])
                whys[i, j] = wording.few_rows(differing, num_rows, MIN_DIFFERING_ROWS, unit)
    return Evidence(
        names=names,
        means=tuple(float(m.mean) for m in parts),
        num_seeds=tuple(m.num_seeds for m in parts),
        fixed=tuple(bool(m.fixed) for m in parts),
        num_rows=num_rows,
        tests=tests,
        spreads=spreads,
        whys=whys,
    )


def evidence_from(
    means: Mapping[str, float],
    num_seeds: Mapping[str, int],
    comparisons: Sequence[Comparison],
    num_rows: int,
    baselines: Collection[str],
) -> Evidence:
    """What records of one metric on one set show; a pair without a record is not tested.

    Args:
        means: of methods and baselines. num_seeds: of each.
        comparisons: among them, each with its error; others are passed over.
        num_rows: where there is no comparison that says it.
        baselines: names of those of which a single run is all there is.
    """
    names = tuple(means)
    at = {name: k for k, name in enumerate(names)}
    size = len(names)
    difference, variance = np.zeros((size, size)), np.full((size, size), np.inf)
    freedom, differing = np.ones((size, size)), np.zeros((size, size), dtype=np.intp)
    tested = np.zeros((size, size), dtype=np.bool_)
    fixed = [name in baselines and num_seeds[name] == 1 for name in names]
    spreads: dict[tuple[int, int], PairSpread] = {}
    whys: dict[tuple[int, int], str] = {}
    np.fill_diagonal(variance, 0.0)
    for found in comparisons:
        if found.a not in at or found.b not in at or found.error is None:
            continue
        i, j = at[found.a], at[found.b]
        num_rows = found.examples
        difference[i, j], difference[j, i] = found.difference, -found.difference
        for x, y in ((i, j), (j, i)):
            variance[x, y] = found.error**2
            freedom[x, y] = 1.0 if found.freedom is None else found.freedom
            differing[x, y] = found.differing or 0
            tested[x, y] = found.why is None
        fixed[i], fixed[j] = found.fixed
        pair = (min(i, j), max(i, j))
        if found.why is not None:
            whys[pair] = found.why
        if (spread := _spread_of(found)) is not None:
            spreads[pair] = spread
    ready = np.array(
        [still or num_seeds[name] >= MIN_SEEDS for name, still in zip(names, fixed, strict=True)],
        dtype=np.bool_,
    )
    return Evidence(
        names=names,
        means=tuple(means.values()),
        num_seeds=tuple(num_seeds[name] for name in names),
        fixed=tuple(fixed),
        num_rows=num_rows,
        tests=PairTests(
            difference=difference,
            variance=variance,
            freedom=freedom,
            differing_rows=differing,
            has_seeds=ready[:, None] & ready[None, :],
            tested=tested & ready[:, None] & ready[None, :],
        ),
        spreads=spreads,
        whys=whys,
    )


def deviations(
    spread: PairSpread, fixed: tuple[bool, bool]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Standard deviations of seeds and of single scores for both of a pair, zero where fixed."""
    seeds, scores = [0.0, 0.0], [0.0, 0.0]
    varied = [side for side in (0, 1) if not fixed[side]]
    for side, own, single in zip(varied, spread.seeds, spread.residuals, strict=True):
        seeds[side], scores[side] = math.sqrt(own), math.sqrt(single)
    return (seeds[0], seeds[1]), (scores[0], scores[1])


def _spread_of(found: Comparison) -> PairSpread | None:
    if found.spread is None:
        return None
    varied = [side for side in (0, 1) if not found.fixed[side]]
    return PairSpread(
        row=found.spread.rows**2,
        seeds=tuple(found.spread.seeds[side] ** 2 for side in varied),
        residuals=tuple(found.spread.scores[side] ** 2 for side in varied),
    )

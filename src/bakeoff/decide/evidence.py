"""What the recommendation rests on, of the records that were made of scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from bakeoff.decide.referee.design import PairSpread
from bakeoff.decide.referee.evidence import Evidence
from bakeoff.decide.referee.pairs import MIN_SEEDS, PairTests
from bakeoff.runs.records import Comparison


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


def _spread_of(found: Comparison) -> PairSpread | None:
    if found.spread is None:
        return None
    varied = [side for side in (0, 1) if not found.fixed[side]]
    return PairSpread(
        row=found.spread.rows**2,
        seeds=tuple(found.spread.seeds[side] ** 2 for side in varied),
        residuals=tuple(found.spread.scores[side] ** 2 for side in varied),
    )

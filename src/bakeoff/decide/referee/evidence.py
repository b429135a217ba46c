"""What verdicts and the recommendation rest on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bakeoff.decide.referee import wording
from bakeoff.decide.referee.components import Components, SeedVariance
from bakeoff.decide.referee.design import PairSpread, pair_spread
from bakeoff.decide.referee.pairs import MIN_DIFFERING_ROWS, PairTests


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


def deviations(
    spread: PairSpread, fixed: tuple[bool, bool]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Standard deviations of seeds and of single scores for both of a pair, zero where fixed."""
    seeds, scores = [0.0, 0.0], [0.0, 0.0]
    varied = [side for side in (0, 1) if not fixed[side]]
    for side, own, single in zip(varied, spread.seeds, spread.residuals, strict=True):
        seeds[side], scores[side] = math.sqrt(own), math.sqrt(single)
    return (seeds[0], seeds[1]), (scores[0], scores[1])

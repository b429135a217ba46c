"""What the variance of a difference would be with other numbers of seeds and rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.referee.components import Components
from bakeoff.decide.referee.influence import Floats

Sizes = int | NDArray[np.int64] | Floats


@dataclass(frozen=True, kw_only=True)
class PairSpread:
    """Variances behind the difference of two methods, each for a single seed or row.

    Attributes:
        row: of a row's difference once seeds are averaged out; divided by N.
        seeds: of a seed's effect, for each method that has one; divided by S.
        residuals: of a single score, for the same methods; divided by S * N.
    """

    row: float
    seeds: tuple[float, ...]
    residuals: tuple[float, ...]

    def variance(self, seeds: Sizes, rows: Sizes) -> Floats:
        """Of the difference, with so many seeds of each method and rows; elementwise."""
        single = sum(self.seeds) + sum(self.residuals) / np.asarray(rows, dtype=np.float64)
        return np.asarray(self.row / rows + single / seeds, dtype=np.float64)

    def freedom(self, seeds: Sizes, rows: Sizes) -> Floats:
        """Degrees of freedom of ``variance``, as ``pair_tests`` has them; elementwise."""
        seeds, rows = np.asarray(seeds, dtype=np.float64), np.asarray(rows, dtype=np.float64)
        residuals = [c / (seeds * rows) for c in self.residuals]
        by_rows = self.row / rows + sum(residuals)
        squares = by_rows**2 / (rows - 1.0)
        floor = rows - 1.0
        for own, residual in zip(self.seeds, residuals, strict=True):
            squares = squares + (own / seeds + residual) ** 2 / np.maximum(seeds - 1.0, 1.0)
            floor = np.minimum(floor, np.maximum(seeds - 1.0, 1.0))
        positive = np.where(squares > 0.0, squares, 1.0)
        return np.maximum(self.variance(seeds, rows) ** 2 / positive - 0.5, floor)


def pair_spread(a: Components, b: Components, e: tuple[float, float]) -> PairSpread:
    """The variances that two methods of one study show.

    Args:
        a: one. b: the other. e: what is used as the variance of each one's mean over seeds.
    """
    num_rows = a.rows.shape[-1]
    by_rows = float((a.rows - b.rows).var(ddof=1))
    varied = [(m, own) for m, own in ((a, e[0]), (b, e[1])) if not m.fixed]
    residuals = [float(m.residual) * m.num_seeds * num_rows for m, _ in varied]
    shares = sum(c / m.num_seeds for c, (m, _) in zip(residuals, varied, strict=True))
    return PairSpread(
        row=max(by_rows - shares, 0.0),
        seeds=tuple(max(own - float(m.residual), 0.0) * m.num_seeds for m, own in varied),
        residuals=tuple(residuals),
    )

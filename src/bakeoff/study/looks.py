"""Adaptive seeds: what the test scores so far say, and which methods are trained with more.

Everything is computed again from the scores, in the order of the looks, so that a resumed study
looks as one that was never stopped. A verdict that a look has given stays.

Axis letters: N rows, C columns of statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.referee.components import Components, components_of
from bakeoff.decide.referee.influence import Value, of_runs
from bakeoff.decide.referee.looks import NOTHING_SAID, Standing, look, look_alphas, wants_seeds
from bakeoff.engine.options import AdaptiveSeeds


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The runs of one method or baseline on the test set, by the metric that decides.

    Attributes:
        runs: by seed, in the order of training, [N, C] what each row adds; None of one that did
            not end well, so that a later seed never takes its place in an earlier look.
        value: the metric's function of sums. is_ratio: whether that is column 0 over column 1.
        groups: [N] the group of each row, from 0 on; None where each stands alone.
        cost: of keeping it; the cheapest of equivalent ones is recommended.
    """

    runs: Sequence[NDArray[Any] | None]
    value: Value
    is_ratio: bool = False
    groups: NDArray[np.intp] | None = None
    cost: float = 0.0

    @property
    def asked(self) -> int:
        """Seeds that it was trained with, those that did not end well included."""
        return len(self.runs)

    def first(self, num_seeds: int, *, is_baseline: bool) -> Components:
        """The variance components of those of its first seeds that ended well, at least one."""
        runs = [run for run in self.runs[:num_seeds] if run is not None]
        influence = of_runs(runs, self.value, is_ratio=self.is_ratio, groups=self.groups)
        return components_of(influence, one_run_is_fixed=is_baseline)


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What the looks that can be taken have said.

    Attributes:
        names: of the methods. num_seeds: of the last look; zero before the first.
        standing: after it, by the position of methods and then of baselines.
        alpha: the error that the last look could spend, of all verdicts together.
        earlier: positions of methods that looks before it have shown behind.
        wanted: names of the methods that are to be trained with more seeds; none when all is over.
        next_seeds: how many each of them is to have; zero when all is over.
    """

    names: tuple[str, ...]
    num_seeds: int
    standing: Standing
    alpha: float
    earlier: frozenset[int] = frozenset()
    wanted: tuple[str, ...] = ()
    next_seeds: int = 0


def look_at(
    methods: Mapping[str, Scored],
    baselines: Mapping[str, Scored],
    seeds: AdaptiveSeeds,
    *,
    higher_is_better: bool,
    margin: float,
    alpha: float,
) -> Looked:
    """Takes every look that the scores allow.

    A method gets more seeds until there is a recommendation, as long as it is not shown behind. One
    of whose runs some did not end well takes part with those that it has.

    Args:
        methods: that may be recommended, at least one, each with a run that the first look sees.
        baselines: that must be beaten.
        seeds: the bounds. higher_is_better: of the metric.
        margin: a difference that does not matter. alpha: 1 minus the level, for all looks together.
    """
    alphas = look_alphas(alpha, at_least=seeds.at_least, at_most=seeds.at_most)
    names, taking_part = list(methods), [*methods.values(), *baselines.values()]
    candidates = list(range(len(names)))
    standing, wanted = NOTHING_SAID, candidates
    looked = Looked(names=tuple(names), num_seeds=0, standing=standing, alpha=0.0)
    for num_seeds, share in alphas.items():
        missing = tuple(names[k] for k in wanted if taking_part[k].asked < num_seeds)
        if missing:
            return replace(looked, wanted=missing, next_seeds=num_seeds)
        parts = [
            one.first(num_seeds, is_baseline=k >= len(names)) for k, one in enumerate(taking_part)
        ]
        earlier = standing.behind
        standing = look(
            parts,
            standing,
            num_seeds=num_seeds,
            candidates=candidates,
            baselines=list(range(len(names), len(taking_part))),
            costs=[one.cost for one in methods.values()],
            higher_is_better=higher_is_better,
            margin=margin,
            alpha=share,
        )
        looked = Looked(
            names=tuple(names),
            num_seeds=num_seeds,
            standing=standing,
            alpha=share,
            earlier=earlier,
        )
        wanted = wants_seeds(parts, standing, candidates=candidates, aim="recommendation")
        if not wanted:
            break
    return looked

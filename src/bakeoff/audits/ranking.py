"""Runs of one group on one metric as a ranking of methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from bakeoff.audits.published import Floats, Run, is_amount, lower_is_better

Basis = Literal["scores", "shares", "errors", "none"]
"""What is known of the rows: each one's scores, the share that is right, a standard error."""

_POINT = 0.01
_NATS = 0.02
_NATS_WORDS = ("nll", "loss")


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Methods that were published together, from the best to the worst.

    Attributes:
        name: of the group. metric: its name. higher_is_better: of it.
        margin: a difference that does not matter; zero where none is known.
        runs: of each method, one or more. is_baseline: names of those that need no training.
    """

    name: str
    metric: str
    higher_is_better: bool
    margin: float
    runs: Mapping[str, tuple[Run, ...]]
    baselines: frozenset[str] = frozenset()

    @cached_property
    def methods(self) -> list[str]:
        """Names from the best to the worst."""
        return list(self.runs)

    @cached_property
    def values(self) -> Floats:
        """[M] the mean over each method's runs."""
        return np.array([mean_of(runs) for runs in self.runs.values()])

    @cached_property
    def num_runs(self) -> list[int]:
        """[M] runs of each method."""
        return [len(runs) for runs in self.runs.values()]

    @property
    def sign(self) -> float:
        """1 where higher is better, else -1."""
        return 1.0 if self.higher_is_better else -1.0

    @cached_property
    def num_rows(self) -> int | None:
        """Test rows, the same for all methods; None where that is not known."""
        known = {run.num_rows for run in self.every_run}
        return known.pop() if len(known) == 1 else None

    @cached_property
    def basis(self) -> Basis:
        """What is known of the rows of every run."""
        first = self.every_run[0].scores
        if first is not None and all(
            run.scores is not None and set(run.scores.labels) == set(first.labels)
            for run in self.every_run
        ):
            return "scores" if len(first.labels) > 1 else "none"
        if self.num_rows is not None and all(run.is_share for run in self.every_run):
            return "shares"
        return "errors" if all(run.error is not None for run in self.every_run) else "none"

    @property
    def every_run(self) -> list[Run]:
        """All runs, by method."""
        return [run for runs in self.runs.values() for run in runs]

    @cached_property
    def is_share(self) -> bool:
        """Whether values are shares of 1, by the metric's name and theirs: written as points."""
        return _are_shares(self.metric, self.every_run)

    def scores_of(self, method: str) -> Floats:
        """[S, N] the scores of a method's runs, rows in the same order for all methods."""
        first = self.every_run[0].scores
        assert first is not None  # only asked where the basis is scores
        rows = []
        for run in self.runs[method]:
            assert run.scores is not None
            places = {label: at for at, label in enumerate(run.scores.labels)}
            rows.append(run.scores.values[[places[label] for label in first.labels]])
        return np.array(rows)


def build_rankings(
    runs: Sequence[Run],
    *,
    margin: float | None,
    lower: Sequence[str],
    baselines: Sequence[str] = (),
) -> list[Ranking]:
    """A ranking for each group and metric, groups by their age and then by their name.

    Args:
        runs: of all files. margin: for all metrics; None takes a point of a share, 0.02 nats, and
            none of what else there is. lower: metrics of which less is better.
        baselines: methods that need no training.
    """
    found: dict[tuple[str, str], dict[str, list[Run]]] = {}
    ages: dict[str, str] = {}
    for run in runs:
        own = found.setdefault((run.group, run.metric), {})
        own.setdefault(run.method, []).append(run)
        ages[run.group] = min(ages.get(run.group, run.made), run.made)
    order = sorted(found, key=lambda key: (ages[key[0]], key[0]))
    return [
        _ranking(group, metric, found[group, metric], margin, lower, baselines)
        for group, metric in order
    ]


def mean_of(runs: Sequence[Run]) -> float:
    """The mean of some runs' values."""
    return float(np.mean([run.value for run in runs]))


def settings_that_differ(ranking: Ranking) -> dict[str, dict[str, list[str]]]:
    """Settings in which some methods differ from most: for each, by its value, the methods.

    Those that a method alone has (``peft.…``) are what is compared, and are left out.
    """
    names = dict.fromkeys(
        key
        for run in ranking.every_run
        for key in run.settings
        if not key.startswith("peft.") and key != "model"
    )
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        values = {m: runs[0].settings.get(name, "None") for m, runs in ranking.runs.items()}
        usual = Counter(values.values()).most_common(1)[0][0]
        others: dict[str, list[str]] = {}
        for method, value in values.items():
            if value != usual:
                others.setdefault(value, []).append(method)
        if others:
            found[name] = others
    return found


def _ranking(
    group: str,
    metric: str,
    by_method: Mapping[str, list[Run]],
    margin: float | None,
    lower: Sequence[str],
    baselines: Sequence[str],
) -> Ranking:
    every = [run for runs in by_method.values() for run in runs]
    said = {run.higher_is_better for run in every} - {None}
    higher = said == {True} if len(said) == 1 else not lower_is_better(metric)
    if metric in lower:
        higher = False
    sign = -1.0 if higher else 1.0
    order = sorted(by_method, key=lambda name: (sign * mean_of(by_method[name]), name))
    return Ranking(
        name=group,
        metric=metric,
        higher_is_better=higher,
        margin=_margin(metric, every) if margin is None else margin,
        runs={name: tuple(by_method[name]) for name in order},
        baselines=frozenset(baselines) & set(by_method),
    )


def _margin(metric: str, runs: Sequence[Run]) -> float:
    if any(word in metric.lower() for word in _NATS_WORDS):
        return _NATS
    return _POINT if _are_shares(metric, runs) else 0.0


def _are_shares(metric: str, runs: Sequence[Run]) -> bool:
    return not is_amount(metric) and all(0.0 <= run.value <= 1.0 for run in runs)

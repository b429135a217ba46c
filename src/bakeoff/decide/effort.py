"""What a search reaches for what it spends, from the records of its trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bakeoff.runs.records import CandidateRecord


def expected_best(losses: Sequence[float], worst: float) -> list[float]:
    """The lowest loss that is expected of one trial, of two, up to all of them.

    The trials are taken as drawn, with replacement, from those that there are: the expected minimum
    of their empirical distribution. It says what a smaller search would have found, whatever order
    the trials came in.
    Source: Dodge et al. 2019, "Show Your Work: Improved Reporting of Experimental Results",
    arXiv:1909.03004, section 3.1.

    Args:
        losses: the validation loss that each trial ended with; infinity where it went wrong.
        worst: what a trial that went wrong counts as, such as the untuned base's loss. No trial
            counts as more, as a search would keep what there was before.

    Returns:
        As many as there are trials, none rising.
    """
    number = len(losses)
    ranked = sorted(min(loss, worst) if math.isfinite(loss) else worst for loss in losses)
    found = []
    for trials in range(1, number + 1):
        above = [((number - rank) / number) ** trials for rank in range(number + 1)]
        found.append(sum(loss * (above[i] - above[i + 1]) for i, loss in enumerate(ranked)))
    return found


def best_so_far(
    trials: Sequence[CandidateRecord], epoch_seconds: float
) -> list[tuple[float, float]]:
    """The lowest validation NLL after so many seconds of a search, each candidate by itself.

    Its rounds go over all of its candidates before any goes further, so that the epochs of all are
    counted one after the other: the first of each, then the second of those that went on.

    Args:
        trials: of one search, in the order in which they were named.
        epoch_seconds: of one epoch of one candidate alone.

    Returns:
        (seconds, NLL in nats per token) after each epoch.
    """
    longest = max((len(trial.epochs) for trial in trials), default=0)
    found: list[tuple[float, float]] = []
    lowest, spent = math.inf, 0.0
    for place in range(longest):
        for trial in trials:
            if place < len(trial.epochs):
                spent += epoch_seconds
                lowest = min(lowest, trial.epochs[place].val_nll)
                found.append((spent, lowest))
    return found


def best_by_epoch(
    runs: Sequence[CandidateRecord], epoch_seconds: float
) -> list[tuple[float, float]]:
    """The lowest validation NLL so far after each epoch of one training, the mean over seeds.

    Args:
        runs: of one setting, one for each seed. epoch_seconds: of one epoch of one of them alone.

    Returns:
        (seconds, NLL in nats per token) after each epoch that all of them have reached.
    """
    shortest = min((len(run.epochs) for run in runs), default=0)
    lowest = [math.inf] * len(runs)
    found = []
    for place in range(shortest):
        lowest = [
            min(best, run.epochs[place].val_nll) for best, run in zip(lowest, runs, strict=True)
        ]
        found.append(((place + 1) * epoch_seconds, sum(lowest) / len(lowest)))
    return found


def leaders(curves: Mapping[str, Sequence[tuple[float, float]]]) -> list[tuple[float, str]]:
    """Which curve is the lowest from when on.

    Args:
        curves: by name, (seconds, loss so far) in order; before its first point a curve has none.

    Returns:
        (seconds, name) at each change of the lowest, the first to have any loss first. Of equal
        ones the earlier stays.
    """
    moments = sorted({at for points in curves.values() for at, _ in points})
    found: list[tuple[float, str]] = []
    for moment in moments:
        lowest = {
            name: points[-1]
            for name, curve in curves.items()
            if (points := [loss for at, loss in curve if at <= moment])
        }
        holder = found[-1][1] if found else None
        best = min(lowest, key=lambda name: (lowest[name], name != holder))
        if best != holder:
            found.append((moment, best))
    return found

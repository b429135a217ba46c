"""What a search reaches for what it spends, from the records of its trials."""

from __future__ import annotations

import math
from collections.abc import Sequence

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

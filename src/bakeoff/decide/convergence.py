"""Whether candidates had stopped improving when their training ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from bakeoff.runs.records import CandidateRecord, EpochRecord

_SHARE: Final = 0.1
"""Of the margin, which a candidate that has converged may still gain in an epoch."""


def last_gain(epochs: Sequence[EpochRecord], untuned: float | None = None) -> float | None:
    """By how much the last epoch's validation NLL is below the lowest before it, in nats per token.

    Args:
        epochs: of one candidate, in order.
        untuned: the validation NLL of the untuned base, which a single epoch is held against. Many
            methods begin elsewhere, so that one that is still above it has an unknown gain.

    Returns:
        Negative where the last epoch was no better; None where that is not known.
    """
    if not epochs:
        return None
    before = [epoch.val_nll for epoch in epochs[:-1]]
    if before:
        return min(before) - epochs[-1].val_nll
    gain = 0.0 if untuned is None else untuned - epochs[-1].val_nll
    return gain if gain > 0.0 else None


def converged(
    candidates: Iterable[CandidateRecord],
    *,
    margin: float,
    decays: bool,
    untuned: float | None = None,
) -> bool | None:
    """Whether a method's runs had stopped improving by the end of their training.

    Args:
        candidates: of the chosen setting; those that did not end well say nothing.
        margin: a difference that does not matter, in nats per token.
        decays: whether their learning rate falls to zero over the epochs. Such a run hardly moves
            in its last epoch, whatever more epochs would bring.
        untuned: the validation NLL of the untuned base, or None where it is not known.

    Returns:
        False where one of them still gained more than a tenth of the margin in its last epoch,
        None where that is not known of any.
    """
    if decays:
        return None
    gains = [
        gain
        for candidate in candidates
        if candidate.state.is_eligible
        and (gain := last_gain(candidate.epochs, untuned)) is not None
    ]
    return max(gains) <= _SHARE * margin if gains else None

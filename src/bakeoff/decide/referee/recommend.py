"""Which method to use: the rules, over the tests of all pairs.

Axis letters: M candidates (methods that are not baselines and meet the limits). Arrays may have
axes before it, one entry for each of several studies that are judged at once.

1. A candidate that varies with its seeds and has fewer than three of them: ``undecided``.
2. ``over``: shown better than every baseline.
3. ``best``: the leader by mean is over, and shown better than each other candidate at half the
   error: it is chosen by the scores that test it (Gutmann and Maymin 1987, "Is the selected
   population the best?").
4. ``cheapest_equivalent``: the cheapest of those that are over and shown worse than no other by the
   margin or more.
5. ``none``: no candidate is over, and each is shown to gain less than the margin on some baseline.
6. Else ``undecided``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.referee.holm import holm
from bakeoff.decide.referee.influence import Bools, Floats
from bakeoff.decide.referee.pairs import PairTests


class Outcome(IntEnum):
    """What a recommendation says; its name in lower case is the verdict."""

    UNDECIDED = 0
    NONE = 1
    BEST = 2
    CHEAPEST_EQUIVALENT = 3


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The outcome of the rules, by the position of methods in ``PairTests``.

    Attributes:
        outcome: [...] values of ``Outcome``.
        method: [...] the recommended one; -1 unless ``best`` or ``cheapest_equivalent``.
        leader: [...] the best mean of the candidates.
        candidates: [M] their positions; the order of the axes below.
        near: [..., M] shown worse than no other by the margin or more.
        over: [..., M] shown better than every baseline.
        behind: [..., M] shown worse than the leader, and not near.
        ready: [...] whether every method and baseline has the seeds that it needs.
    """

    outcome: NDArray[np.intp]
    method: NDArray[np.intp]
    leader: NDArray[np.intp]
    candidates: NDArray[np.intp]
    near: Bools
    over: Bools
    behind: Bools
    ready: Bools


def choose(
    tests: PairTests,
    values: Floats,
    *,
    candidates: Sequence[int],
    baselines: Sequence[int],
    costs: Sequence[float],
    higher_is_better: bool,
    margin: float,
    alpha: float,
) -> Choice:
    """Applies the rules above.

    Args:
        tests: of all pairs.
        values: [..., all methods] the statistics.
        candidates: positions, of which there is at least one; between equal means and costs the
            earlier one is taken. baselines: positions.
        costs: of each candidate, in their order.
        margin: what does not matter. alpha: 1 - level.
    """
    chosen, rest = np.asarray(candidates, dtype=np.intp), np.asarray(baselines, dtype=np.intp)
    sign = 1.0 if higher_is_better else -1.0
    better, near_p = tests.p_above(0.0, sign), tests.p_above(-margin, sign)
    size = len(chosen)
    self_pairs = np.eye(size, dtype=np.bool_)
    step = alpha / max(1, size - 1)

    over = np.ones((*values.shape[:-1], size), dtype=np.bool_)
    beaten = np.zeros_like(over)
    if len(rest):
        worst = better[..., chosen[:, None], rest].max(axis=-1)
        over = holm(worst) <= alpha
        no_gain = near_p[..., rest[:, None], chosen].min(axis=-2)
        beaten = no_gain <= alpha / len(rest)
    # With a margin of zero it says what ``best`` says, at no more error than that.
    allowed = step if margin > 0.0 else min(step, alpha / 2.0)
    near = np.where(self_pairs, 0.0, near_p[..., chosen[:, None], chosen]).max(axis=-1) <= allowed

    means = sign * values[..., chosen]
    lead = np.argmax(means, axis=-1)
    ahead = np.where(self_pairs, 0.0, better[..., chosen[:, None], chosen])
    ahead = np.take_along_axis(ahead, lead[..., None, None], axis=-2)[..., 0, :]
    is_lead = np.arange(size) == lead[..., None]
    behind = (ahead <= step) & ~near & ~is_lead
    is_best = np.take_along_axis(over, lead[..., None], axis=-1)[..., 0]
    is_best = is_best & (ahead <= alpha / 2.0).all(axis=-1)

    usable = near & over
    cheapest = np.where(usable, np.asarray(costs, dtype=np.float64), np.inf)
    cheapest = usable & (cheapest == cheapest.min(axis=-1, keepdims=True))
    pick = np.argmax(np.where(cheapest, means, -np.inf), axis=-1)

    taking_part = np.concatenate([chosen, rest])
    ready = np.asarray(tests.has_seeds[..., taking_part, taking_part].all(axis=-1))
    none = beaten.all(axis=-1) & ~over.any(axis=-1)
    outcome = np.select(
        [~ready, is_best, usable.any(axis=-1), none],
        [Outcome.UNDECIDED, Outcome.BEST, Outcome.CHEAPEST_EQUIVALENT, Outcome.NONE],
        Outcome.UNDECIDED,
    )
    position = np.where(outcome == Outcome.BEST, lead, pick)
    decided = (outcome == Outcome.BEST) | (outcome == Outcome.CHEAPEST_EQUIVALENT)
    return Choice(
        outcome=outcome.astype(np.intp),
        method=np.where(decided, chosen[position], -1),
        leader=chosen[lead],
        candidates=chosen,
        near=near,
        over=over,
        behind=behind,
        ready=ready,
    )

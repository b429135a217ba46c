"""More seeds only where they are needed: which methods get them, and what each look may say.

The error is split over the looks (Bonferroni), so that looking again costs nothing in honesty. A
verdict once given stays, and its pair leaves the family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bakeoff.decide.referee.components import Components
from bakeoff.decide.referee.pairs import judge, pair_indices, pair_tests
from bakeoff.decide.referee.recommend import Outcome, choose
from bakeoff.errors import ConfigError
from bakeoff.runs.decisions import Comparable

# Number of seeds at each look, and its share of the error.
_LOOKS: Mapping[int, float] = {3: 0.2, 5: 0.3, 10: 0.5}

Aim = Literal["pairs", "recommendation"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the looks so far have said, by the position of methods.

    Attributes:
        verdicts: of pairs (i, j), i < j, that are decided; the verdict is of i.
        behind: candidates that were shown behind, and take no further part in the recommendation.
        outcome: of the recommendation, ``UNDECIDED`` while none is given. method: the recommended
            one, None unless there is one.
    """

    verdicts: Mapping[tuple[int, int], Comparable]
    behind: frozenset[int]
    outcome: Outcome
    method: int | None


NOTHING_SAID = Standing(verdicts={}, behind=frozenset(), outcome=Outcome.UNDECIDED, method=None)


def look_alphas(alpha: float, *, at_least: int = 3, at_most: int = 10) -> dict[int, float]:
    """The number of seeds at each look and the error that it may spend.

    Looks are at 3, 5 and 10 seeds, as far as they are within the bounds. 0.05 is split into 0.010,
    0.015 and 0.025, or with at most five seeds into 0.02 and 0.03.

    Raises:
        ConfigError: no look is within the bounds.
    """
    shares = {seeds: share for seeds, share in _LOOKS.items() if at_least <= seeds <= at_most}
    if not shares:
        raise ConfigError(
            f"protocol.seeds: no look is between at_least {at_least} and at_most {at_most}; "
            f"looks are at {', '.join(map(str, _LOOKS))}: seeds: let the bounds hold one"
        )
    whole = sum(shares.values())
    return {seeds: alpha * share / whole for seeds, share in shares.items()}


def look(
    methods: Sequence[Components],
    standing: Standing,
    *,
    num_seeds: int,
    candidates: Sequence[int],
    baselines: Sequence[int],
    costs: Sequence[float],
    higher_is_better: bool,
    margin: float,
    alpha: float,
) -> Standing:
    """Judges what is still open.

    Args:
        methods: of one study, with the seeds that each has got.
        standing: after the looks before. num_seeds: of this look.
        candidates, baselines, costs, higher_is_better, margin: see ``recommend.choose``.
        alpha: what this look may spend (``look_alphas``).
    """
    tests = pair_tests(methods)
    first, second = (indices.tolist() for indices in pair_indices(len(methods)))
    ready = [bool(m.fixed) or m.num_seeds >= num_seeds for m in methods]
    pairs = list(zip(first, second, strict=True))
    open_ = np.array(
        [pair not in standing.verdicts and ready[pair[0]] and ready[pair[1]] for pair in pairs],
        dtype=np.bool_,
    )
    verdicts = dict(standing.verdicts)
    judged = judge(tests, margin, alpha, open_)
    for k, (i, j) in enumerate(pairs):
        if open_[k] and judged.equivalent[k]:
            verdicts[i, j] = "equivalent"
        elif open_[k] and judged.different[k]:
            is_higher = tests.difference[i, j] > 0.0
            verdicts[i, j] = "better" if is_higher == higher_is_better else "worse"
    behind, outcome, method = set(standing.behind), standing.outcome, standing.method
    if outcome is Outcome.UNDECIDED:
        alive = [k for k, position in enumerate(candidates) if position not in behind]
        choice = choose(
            tests,
            np.array([float(m.mean) for m in methods]),
            candidates=[candidates[k] for k in alive],
            baselines=baselines,
            costs=[costs[k] for k in alive],
            higher_is_better=higher_is_better,
            margin=margin,
            alpha=alpha,
        )
        outcome = Outcome(int(choice.outcome))
        method = int(choice.method) if int(choice.method) >= 0 else None
        behind |= set(choice.candidates[choice.behind].tolist())
    return Standing(verdicts=verdicts, behind=frozenset(behind), outcome=outcome, method=method)


def wants_seeds(
    methods: Sequence[Components], standing: Standing, *, candidates: Sequence[int], aim: Aim
) -> list[int]:
    """The methods that get the seeds of the next look.

    Args:
        methods: as at the last look. standing: after it. candidates: as there.
        aim: ``pairs``: those in a pair that is open. ``recommendation``: the candidates that are
            not behind, until there is a recommendation.
    """
    if aim == "recommendation":
        wanted = set(candidates) - standing.behind
        if standing.outcome is not Outcome.UNDECIDED:
            wanted = set()
    else:
        first, second = (indices.tolist() for indices in pair_indices(len(methods)))
        pairs = zip(first, second, strict=True)
        wanted = {k for pair in pairs if pair not in standing.verdicts for k in pair}
    return [k for k in sorted(wanted) if not bool(methods[k].fixed)]

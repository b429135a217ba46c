"""What a judge's verdicts say of the judge: its agreement with itself, lengths, people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bakeoff.formatting import join
from bakeoff.runs.judged import HumanVotes, Share

MOST_BY_POSITION: Final = 0.2
"""Of the pairs, beyond which a judge is flagged."""
MOST_LENGTH_CORRELATION: Final = 0.5
_FEWEST_PAIRS: Final = 10
"""Decided pairs from which on a correlation with length is worth a word."""
_Z: Final = 1.959963984540054


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A pair of different answers with a verdict in both orders.

    Attributes:
        shown_first, shown_second: by how much the answer is preferred where it is A, and where it
            is B: 0, a half or 1.
        longer: its length in characters less the other's.
    """

    shown_first: float
    shown_second: float
    longer: int

    @property
    def preferred(self) -> float:
        """-1 to 1: of both orders together."""
        return self.shown_first + self.shown_second - 1.0

    @property
    def is_consistent(self) -> bool:
        """Whether both orders gave one verdict."""
        return self.shown_first == self.shown_second

    @property
    def is_by_position(self) -> bool:
        """Whether both orders preferred the same place."""
        return abs(self.shown_first - self.shown_second) == 1.0


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Attributes: as those of ``JudgeRecord`` of the same names."""

    pairs: int
    consistent: Share | None
    by_position: Share | None
    first: Share | None
    longer: Share | None
    length_correlation: float | None
    flags: tuple[str, ...]
    by_place_too_often: bool


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What a person prefers on a row: 1 is ``a``, -1 is ``b``, 0 is neither.

    Attributes:
        line: of its file, from 1; 0 where it is of none.
    """

    row: int
    a: str
    b: str
    preferred: int
    line: int = 0


@dataclass(frozen=True, order=True)
class VoteFault:
    """Why a line of a file of votes counts for nothing."""

    line: int
    why: str


def reliability(pairs: Sequence[Judged]) -> Reliability:
    """What the verdicts on some pairs say of the judge."""
    placed = [pair for pair in pairs if pair.is_by_position]
    by_position = share(len(placed), len(pairs))
    first = share(sum(pair.shown_first == 1.0 for pair in placed), len(placed))
    decided = [pair for pair in pairs if pair.preferred and pair.longer]
    longer = share(sum(pair.preferred * pair.longer > 0 for pair in decided), len(decided))
    correlation = _length_correlation(pairs)
    flags = []
    too_often = by_position is not None and by_position.value > MOST_BY_POSITION
    if too_often and by_position is not None:
        where = "first" if first is not None and first.value >= 0.5 else "second"
        flags.append(
            f"it prefers by position: on {_percent(by_position.value)} of {by_position.cases} "
            f"pairs both orders preferred the same place, mostly the {where}; nothing is called "
            "equal by such a judge"
        )
    if (
        correlation is not None
        and abs(correlation) > MOST_LENGTH_CORRELATION
        and len(decided) >= _FEWEST_PAIRS
        and longer is not None
    ):
        what = "longer" if correlation > 0 else "shorter"
        value = longer.value if correlation > 0 else 1.0 - longer.value
        flags.append(
            f"its verdicts go with length: the {what} answer won on {_percent(value)} of "
            f"{len(decided)} decided pairs (correlation {correlation:.2f}), so that quality and "
            "length cannot be told apart"
        )
    return Reliability(
        pairs=len(pairs),
        consistent=share(sum(pair.is_consistent for pair in pairs), len(pairs)),
        by_position=by_position,
        first=first,
        longer=longer,
        length_correlation=correlation,
        flags=tuple(flags),
        by_place_too_often=too_often,
    )


def human_votes(
    votes: Iterable[Vote],
    scores: Mapping[str, Mapping[int, float]],
    left_out: int = 0,
    *,
    first: VoteFault | None = None,
) -> HumanVotes:
    """People's votes against the judge's.

    Args:
        votes: as they were read. scores: by name of what was compared, then by row, 0..1; that of
            what all is compared with is a half.
        left_out: votes that could not be read. first: the first of these.
    """
    same = agreeing = decided = known = 0
    faults = [] if first is None else [first]
    for vote in votes:
        a, b = scores.get(vote.a, {}).get(vote.row), scores.get(vote.b, {}).get(vote.row)
        if a is None or b is None:
            left_out += 1
            faults.append(VoteFault(vote.line, _unknown(vote, scores)))
            continue
        known += 1
        said = (a > b) - (a < b)
        same += said == vote.preferred
        if said and vote.preferred:
            decided += 1
            agreeing += said == vote.preferred
    faults.sort()
    return HumanVotes(
        votes=known,
        left_out=left_out,
        first_left_out=f"line {faults[0].line}: {faults[0].why}" if faults else None,
        agreement=share(same, known),
        decided=share(agreeing, decided),
    )


def _unknown(vote: Vote, scores: Mapping[str, Mapping[int, float]]) -> str:
    """Why a vote speaks of nothing that was judged."""
    for name in (vote.a, vote.b):
        if name not in scores:
            return f"{name} was not judged, of {join(sorted(scores))} that were"
    return f"row {vote.row} was not judged for both of {vote.a} and {vote.b}"


def share(hits: int, cases: int) -> Share | None:
    """A share with Wilson's interval; None of nothing."""
    if not cases:
        return None
    value, square = hits / cases, _Z * _Z
    middle = (value + square / (2 * cases)) / (1 + square / cases)
    half = math.sqrt(value * (1 - value) / cases + square / (4 * cases * cases))
    half *= _Z / (1 + square / cases)
    return Share(
        value=value, low=max(0.0, middle - half), high=min(1.0, middle + half), cases=cases
    )


def _length_correlation(pairs: Sequence[Judged]) -> float | None:
    """Of the verdict and of which answer is longer, about zero, as A and B are named by chance."""
    signs = [(pair.longer > 0) - (pair.longer < 0) for pair in pairs]
    size = sum(sign * sign for sign in signs) * sum(pair.preferred**2 for pair in pairs)
    if not size:
        return None
    together = sum(s * pair.preferred for s, pair in zip(signs, pairs, strict=True))
    return max(-1.0, min(1.0, together / math.sqrt(size)))


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"

"""The record of a judge: how its verdicts came about, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of some cases.

    Attributes:
        value: in 0..1. low, high: Wilson's bounds, with 95 % probability. cases: how many.
    """

    value: float
    low: float
    high: float
    cases: int


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Of one method or baseline: the verdicts on its answers, both orders counted.

    Attributes:
        wins, ties, losses: against what everything is compared with. identical: pairs of equal
            answers, which are ties without a call.
    """

    wins: int
    ties: int
    losses: int
    identical: int = 0


@dataclass(frozen=True, kw_only=True)
class HumanVotes:
    """People's votes beside the judge's scores.

    Attributes:
        votes: that speak of rows and answers which were judged. left_out: others.
        first_left_out: the first of those by its line, with why; None of older results.
        agreement: with the judge's three-way verdict.
        decided: the same of those votes of which both name a better answer.
    """

    votes: int
    left_out: int = 0
    first_left_out: str | None = None
    agreement: Share | None = None
    decided: Share | None = None


@dataclass(frozen=True, kw_only=True)
class JudgeRecord:
    """How a judge judged.

    Attributes:
        model, endpoint, rubric: who was asked, where, and by what. against: what everything was
            compared with.
        rows: that were judged, of ``rows_of_test``, the same ones for all. why_fewer: in words.
        pairs: of different answers that have a verdict in both orders.
        calls: requests of all calls on the folder, failed ones included.
        unreadable: answers without a verdict. failed: requests that got no answer.
        input_tokens, output_tokens: as the server counted them, or as far as it did not
            (``estimated_tokens``) as estimated from bytes. cost: in the prices' money, or None.
        consistent: pairs on which both orders gave one verdict. by_position: pairs on which both
            orders preferred the same place. first: of those, the first place.
        longer: pairs with a better answer on which that was the longer one. length_correlation: of
            verdicts and of which answer is longer, in -1..1; None where neither varies.
        tallies: by method and baseline. human: None without votes.
        flags: what speaks against trusting the judge, in sentences.
        by_place_too_often: whether ``by_position`` is flagged, so that nothing is called equal.
    """

    model: str
    endpoint: str
    rubric: str
    against: str
    rows: int
    rows_of_test: int
    why_fewer: str | None = None
    pairs: int = 0
    calls: int = 0
    unreadable: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_tokens: bool = False
    cost: float | None = None
    currency: str = "$"
    consistent: Share | None = None
    by_position: Share | None = None
    first: Share | None = None
    longer: Share | None = None
    length_correlation: float | None = None
    tallies: dict[str, Tally]
    human: HumanVotes | None = None
    flags: tuple[str, ...] = ()
    by_place_too_often: bool = False

"""What an audit finds: the records that it hands out, and their form in JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from bakeoff.audits.published import LeftOut
from bakeoff.audits.ranking import Basis
from bakeoff.runs.reading import finite

SCHEMA = 1
"""Of the JSON form."""

Standing = Literal["top", "not separable", "separable"]


@dataclass(frozen=True, kw_only=True)
class MethodFinding:
    """One method in its ranking.

    Attributes:
        value: as published, the mean over runs. low, high: bounds at the level, for it alone; not
            finite where nothing is known.
        runs: how many. seeds: their labels. place: in the published order, from 1.
        first_place, last_place: it has one of these places, at the level for all pairs together.
        standing: whether it is shown to be worse than the top, at the same level.
    """

    method: str
    value: float
    low: float
    high: float
    runs: int
    seeds: tuple[str, ...]
    place: int
    first_place: int
    last_place: int
    standing: Standing


@dataclass(frozen=True, kw_only=True)
class RankingFinding:
    """One ranking: what of it stands.

    Attributes:
        name: of its group, or of all groups together. metric: its name.
        margin: a difference that does not matter. level: of all verdicts together.
        rows: of the test set. basis: what is known of them.
        is_share: whether values are shares of 1.
        speaks_of: ``methods`` where other seeds are allowed for; ``runs`` where only other rows
            are; ``repeats`` where changes between repeats stand for runs.
        methods: from the best to the worst. pairs: how many there are. separable: of them.
        equivalent: pairs that are shown to differ by less than the margin.
        neighbours: pairs that stand beside each other. separable_neighbours: of them.
        detectable: the difference that is found between two methods alone with 80 % probability;
            detectable_among_all: the same for a pair among all, beside those that were found.
        rows_for_margin: with how many rows the margin is found, runs as they are; None where that
            cannot be said.
        warnings: what makes the verdicts less certain. missing: what was not published.
        unlike: methods that were not trained or tested as most are, in sentences.
    """

    name: str
    metric: str
    higher_is_better: bool
    margin: float
    level: float
    rows: int | None
    basis: Basis
    is_share: bool
    speaks_of: Literal["runs", "methods", "repeats"]
    methods: tuple[MethodFinding, ...]
    pairs: int
    separable: int
    equivalent: int
    neighbours: int
    separable_neighbours: int
    detectable: float | None
    detectable_among_all: float | None
    rows_for_margin: int | None
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()

    @property
    def top(self) -> MethodFinding:
        """The best value."""
        return self.methods[0]

    @property
    def with_top(self) -> list[str]:
        """Those that are not shown to be worse than the top."""
        return [m.method for m in self.methods if m.standing == "not separable"]

    def value_of(self, method: str) -> float | None:
        """The value of a method, None where it is not in this ranking."""
        return next((m.value for m in self.methods if m.method == method), None)


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Two methods whose order turned round: ``ahead`` was ahead at first, and is not any more.

    Attributes:
        before: by how much it was ahead. after: by how much it is behind.
    """

    ahead: str
    behind: str
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its interval at the level."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Change:
    """One method's values in both groups."""

    method: str
    first: float
    second: float


@dataclass(frozen=True, kw_only=True)
class RepeatFinding:
    """The same methods in two groups.

    Attributes:
        first, second: the groups' names. metric: its name. is_share: as in ``RankingFinding``.
        level: of the intervals and of what is counted as close.
        changes: of every method in both, in the order of the first group.
        fell, rose, unchanged: how many. p_value: of as many falls or rises by chance, if both were
            as likely.
        shift: the mean change, that all have in common.
        change_sd: the standard deviation of the changes about it; run_sd: that of a single run,
            which is the same over the square root of two.
        counted: methods that it rests on. not_counted: those so near to none or all right that
            they hardly can change.
        same_seeds: whether every method has the same seeds in both.
        pairs: of the methods in both. swaps: those that changed places, the widest first.
        separable_swaps: swapped pairs that were called separable in either group.
        close_neighbours: neighbours in the second group, of the methods in both, that are closer
            than what two runs of one method differ by in a share ``level`` of cases. neighbours:
            how many there are.
        with_top: methods of the second group that cannot be separated from its top on these very
            rows, where runs vary that much; others: how many there are beside the top.
        circumstances: for each version or revision that differs, those of the first and second.
        training_change, largest_training_change: of the loss at the end of training, without its
            sign: the median and the most; None where not published.
    """

    first: str
    second: str
    metric: str
    is_share: bool
    level: float
    changes: tuple[Change, ...]
    fell: int
    rose: int
    unchanged: int
    p_value: float
    shift: Interval
    change_sd: Interval | None
    run_sd: Interval | None
    counted: int
    not_counted: tuple[str, ...]
    same_seeds: bool
    pairs: int
    swaps: tuple[Swap, ...]
    separable_swaps: int
    neighbours: int
    close_neighbours: int | None
    others: int
    with_top: int | None
    circumstances: dict[str, tuple[str, str]]
    training_change: float | None = None
    largest_training_change: float | None = None


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What of published rankings stands.

    Attributes:
        level: of all verdicts of a ranking together. files: how many were read.
        rankings: one for each group and metric. repeats: one for each two groups that follow each
            other and have methods in common.
        together: where there are repeats, all groups as one ranking.
        left_out: what was found and not used. notes: on the reading.
    """

    level: float
    files: int
    rankings: tuple[RankingFinding, ...]
    repeats: tuple[RepeatFinding, ...] = ()
    together: tuple[RankingFinding, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    def as_mapping(self) -> dict[str, Any]:
        """As JSON has it; what is not finite is None."""
        content: dict[str, Any] = finite({"schema": SCHEMA, **asdict(self)})
        return content

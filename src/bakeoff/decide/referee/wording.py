"""The sentences that a recommendation carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bakeoff.decide.referee.pairs import MIN_SEEDS
from bakeoff.formatting import join as joined
from bakeoff.runs.decisions import Needs

_MOST_PAIRS: Final = 3
"""That a sentence names."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What every sentence may refer to.

    Attributes:
        margin: a difference that does not matter, in words. has_margin: whether it is above zero.
        level: of the verdicts. baselines: their names. num_candidates: how many methods take part.
        has_costs: whether costs are known. unit: what N counts, in the plural.
        scope: which methods take part, as " within the limits".
        why_no_margin: a sentence on why the margin is zero, where the study did not choose it.
    """

    margin: str
    has_margin: bool
    level: float
    baselines: Sequence[str]
    num_candidates: int
    has_costs: bool
    unit: str
    scope: str = ""
    why_no_margin: str = ""

    @property
    def limits(self) -> str:
        return f"margin {self.margin}, level {self.level:.3g}"

    @property
    def over_baselines(self) -> str:
        if not self.baselines:
            return ""
        return f" and better than the {_noun(self.baselines, 'baseline')} {joined(self.baselines)}"


def best(setting: Setting, method: str) -> str:
    if setting.num_candidates == 1:
        if not setting.baselines:
            return (
                f"{method} is the only method{setting.scope}, and there is no baseline to compare "
                "it with."
            )
        return (
            f"{method} is the only method{setting.scope}; it is shown better than the "
            f"{_noun(setting.baselines, 'baseline')} {joined(setting.baselines)} "
            f"(level {setting.level:.3g})."
        )
    others = setting.num_candidates - 1
    which = "the other method" if others == 1 else f"each of the other {others} methods"
    which += f"{setting.scope}{setting.over_baselines}"
    return f"{method} is shown better than {which} (level {setting.level:.3g})."


def cheapest_equivalent(
    setting: Setting, method: str, equal: Sequence[str], open_: Sequence[str]
) -> str:
    if not equal:
        text = (
            f"{method} is shown to be no worse than any other method{setting.scope} by the margin "
            f"or more{setting.over_baselines}"
        )
    else:
        rank = "the cheapest" if setting.has_costs else "the one with the best mean"
        text = (
            f"{joined(sorted([method, *equal]))} are shown to be no worse than any other "
            f"method{setting.scope} by the margin or more, and {method} is {rank} of those"
        )
        if setting.baselines:
            text += " that are also shown better than every baseline"
    text += f" ({setting.limits})."
    if open_:
        text += f" Undecided: {joined(open_)}."
    return text


def none(setting: Setting, leader: str) -> str:
    return (
        f"No method{setting.scope} is shown better than the {_noun(setting.baselines, 'baseline')} "
        f"{joined(setting.baselines)}, and each is shown to gain less than the margin on "
        f"{'it' if len(setting.baselines) == 1 else 'one of them'} ({setting.limits}); {leader} "
        "has the best mean of the methods."
    )


def too_few_seeds(names: Sequence[str]) -> str:
    have, seed = ("has", "its seed") if len(names) == 1 else ("have", "their seeds")
    return (
        f"Nothing is recommended: {joined(names)} {have} fewer than {MIN_SEEDS} seeds, so what is "
        f"seen may be due to {seed}; train at least {MIN_SEEDS}."
    )


def undecided(
    setting: Setting,
    leader: str,
    open_: Sequence[str],
    needs: Needs | None,
    reasons: Sequence[str],
    *,
    not_over: Sequence[str],
    are_near: bool,
) -> str:
    """Args:
    reasons: why pairs were not judged at all, if any were not.
    not_over: methods of ``open_`` that are not shown better than every baseline.
    are_near: whether all of ``open_`` are shown to be no worse than any other by the margin.
    """
    over = f"better than the {_noun(setting.baselines, 'baseline')} {joined(setting.baselines)}"
    if len(open_) > 1 and are_near and not_over:
        said = (
            f"{joined(open_)} are shown to be no worse than any other method{setting.scope} by the "
            f"margin or more, but not to be {over}"
        )
    elif len(open_) > 1:
        said = f"{joined(open_)} cannot be told apart, nor shown equal"
        if setting.baselines and not not_over:
            said = f"{joined(open_)} are shown {over}, but cannot be told apart, nor shown equal"
        if len(not_over) == len(open_):
            said += f", and none is shown {over}"
        elif not_over:
            verb = "is" if len(not_over) == 1 else "are"
            said += f", and {joined(not_over)} {verb} not shown {over}"
    else:
        least = over if not_over else "to be best"
        said = f"{leader} has the best mean of the methods{setting.scope}, but is not shown {least}"
    text = f"Nothing is recommended: {said} ({setting.limits})."
    text += "".join(f" {reason}." for reason in reasons)
    if needs is not None:
        parts = [
            f"{count:,} {what}"
            for count, what in (
                (needs.seeds, "seeds of each method"),
                (needs.rows, f"test {setting.unit}"),
            )
            if count is not None
        ]
        return f"{text} {joined(parts)} would decide it with about 80 % probability."
    if not setting.has_margin:
        remedy = setting.why_no_margin or (
            "With a margin of zero no size shows two methods equal; give a margin."
        )
        return f"{text} {remedy}"
    return text


def few_rows(differing: int, total: int, least: int, unit: str) -> str:
    """Why a pair is not judged."""
    if differing == 0:
        return (
            f"they agree on all {total} {unit}, which says little of those on which they would not"
        )
    return f"they differ on {differing} of {total} {unit} only; at least {least} are needed"


def few_pair_seeds(names: Sequence[str]) -> str:
    """Why a pair is not judged."""
    have = "has" if len(names) == 1 else "have"
    return f"{joined(names)} {have} fewer than {MIN_SEEDS} seeds"


def untested(pairs: Sequence[tuple[str, str]], why: str) -> str:
    """A reason in a recommendation, which may hold for several pairs."""
    if len(pairs) == 1:
        a, b = pairs[0]
        return f"{a} and {b} are not compared: {why}"
    named = [f"{a} with {b}" for a, b in pairs[:_MOST_PAIRS]]
    rest = len(pairs) - len(named)
    if rest:
        named.append(f"{rest} other pair{'s' if rest > 1 else ''}")
    return f"{joined(named)} are not compared: {why}"


def skewed_rows(pairs: Sequence[tuple[str, str]]) -> str:
    """A warning."""
    named = "; ".join(f"{a} and {b}" for a, b in pairs[:3])
    rest = len(pairs) - 3
    more = f" and {rest} other pair{'s' if rest > 1 else ''}" if rest > 0 else ""
    return (
        f"a few rows make most of the difference between {named}{more}, so there are too few rows "
        "for the level to hold; verdicts on them are less certain than they look"
    )


def few_weights(what: str, effective: float) -> str:
    """A warning."""
    return (
        f"{what} are so uneven that they count as {effective:.0f} equal ones; intervals are too "
        "narrow below 20"
    )


def _noun(names: Sequence[str], noun: str) -> str:
    return noun if len(names) == 1 else f"{noun}s"

"""The sentences in which findings are put, on the terminal as on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bakeoff.audits.findings import Audit, RankingFinding, RepeatFinding
from bakeoff.audits.ranking import Ranking
from bakeoff.formatting import TIMES_100, Scale, join, scale_of, shown_p_value

_MOST_NAMES = 4


def scale(is_share: bool) -> Scale:
    """How values are written: shares as points."""
    return scale_of(TIMES_100) if is_share else Scale()


def unit(is_share: bool) -> str:
    """What follows a value."""
    return " %" if is_share else ""


def amount(value: float, is_share: bool, digits: int | None = None) -> str:
    """A difference without its sign: ``1.7 points``."""
    own = scale(is_share)
    number = f"{own.factor * abs(value):.{own.digits if digits is None else digits}f}"
    return f"{number} points" if is_share else number


def headline(found: RankingFinding) -> str:
    """What a ranking holds: ``test accuracy of 40 methods, 1,319 rows, one run each``."""
    count = len(found.methods)
    parts = [f"{found.metric} of {count} {plural('method', count)}"]
    if found.rows is not None:
        parts.append(f"{found.rows:,} rows")
    parts.append(runs_words(found))
    return ", ".join(parts)


def runs_words(found: RankingFinding) -> str:
    """``one run each (seed 0)``, ``3 runs each``, ``1 to 5 runs each``."""
    counts = sorted({method.runs for method in found.methods})
    seeds = sorted({seed for method in found.methods for seed in method.seeds})
    same = f" (seed {seeds[0]})" if len(seeds) == 1 and counts == [1] else ""
    if counts == [1]:
        return f"one run each{same}"
    few = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{few} runs each"


def verdict(found: RankingFinding) -> str:
    """What stands of the top."""
    top, others = found.top, found.with_top
    best = "highest" if found.higher_is_better else "lowest"
    value = f"{scale(found.is_share).write(top.value)}{unit(found.is_share)}"
    has = f"{top.method} has the {best} value, {value}"
    if len(found.methods) == 1:
        return f"{has}; it is the only method."
    if not others:
        return f"{has}, and each of the other {len(found.methods) - 1} is shown to be worse."
    if len(others) == len(found.methods) - 1:
        return f"{has}; none of the other {len(others)} can be separated from it."
    which = "is 1 that cannot" if len(others) == 1 else f"are {len(others)} that cannot"
    return f"{has}; of the other {len(found.methods) - 1} there {which} be separated from it."


def pair_sentence(found: RankingFinding) -> str:
    """How much of the order stands."""
    text = (
        f"Of {found.pairs:,} pairs {found.separable:,} are separable, and of {found.neighbours} "
        f"neighbours in the ranking {found.separable_neighbours}"
    )
    if found.margin > 0.0:
        margin = amount(found.margin, found.is_share)
        text += f"; {found.equivalent or 'none'} {'is' if found.equivalent == 1 else 'are'} shown "
        text += f"equal within {margin}"
    return f"{text} (level {100 * found.level:.3g} % for all together)."


def scope(found: RankingFinding) -> str:
    """What verdicts speak of, and what they leave out."""
    if found.speaks_of == "methods":
        if found.basis == "none":
            return (
                "Verdicts allow for other seeds, on these very rows: nothing is published of "
                "single rows."
            )
        return "Verdicts speak of the methods: they allow for other seeds and other rows."
    if found.speaks_of == "repeats":
        return (
            "The change between the repeats stands for that between runs, the same for every "
            "method, beside other rows of the same kind. Other seeds may differ by more."
        )
    if found.basis == "none":
        return (
            "Nothing can be said of any pair: neither scores of single rows, nor standard errors, "
            "nor three runs of a method are published."
        )
    few = "one run" if max(m.runs for m in found.methods) == 1 else "fewer than three runs"
    return (
        f"Verdicts speak of these very runs and allow for other rows only. {few.capitalize()} of "
        "a method says nothing of other seeds: they add to the uncertainty, so that what the rows "
        "leave open stays open, and what they separate may still be due to the seed."
    )


def independence(found: RankingFinding) -> str | None:
    """What is assumed where only figures are published."""
    if found.basis not in ("shares", "errors"):
        return None
    what = "shares" if found.basis == "shares" else "standard errors"
    return (
        f"From the published {what} alone, rows are taken as independent between methods. On the "
        "same rows methods mostly agree more than that: from the scores of each row, closer pairs "
        "could be told apart."
    )


def power_sentence(found: RankingFinding) -> str | None:
    """Which differences such a design finds."""
    if found.detectable is None or found.detectable_among_all is None:
        return None
    alone, among_all = (
        amount(value, found.is_share) for value in (found.detectable, found.detectable_among_all)
    )
    text = f"Such figures find a difference of {alone} between two methods with 80 % probability"
    if len(found.methods) > 2:
        text += f", and of {among_all} between two of {len(found.methods)}"
    if found.rows_for_margin is not None and found.rows_for_margin > (found.rows or 0):
        margin = amount(found.margin, found.is_share)
        text += f"; to find {margin} between two takes some {found.rows_for_margin:,} rows"
    return f"{text}."


def missing_from(ranking: Ranking) -> list[str]:
    """What was not published that would say more."""
    found = []
    few = [name for name, runs in ranking.runs.items() if len(runs) < 3]
    few = [name for name in few if name not in ranking.baselines]
    if few:
        which = "of each method" if len(few) == len(ranking.runs) else f"of {_named(few)}"
        found.append(f"Three runs or more {which}, with different seeds.")
    if ranking.basis != "scores":
        found.append("The score of each test row, for paired comparisons.")
    if ranking.basis == "none":
        found.append("The number of test rows, or a standard error.")
    return found


def unlike_sentences(differing: Mapping[str, Mapping[str, Sequence[str]]], count: int) -> list[str]:
    """Which methods were not trained or tested as the others."""
    by_methods: dict[tuple[str, ...], list[str]] = {}
    for key, values in differing.items():
        for methods in values.values():
            by_methods.setdefault(tuple(methods), []).append(key)
    return [
        f"{_named(methods)} {'differs' if len(methods) == 1 else 'differ'} from most of the "
        f"{count} in {join(keys)}."
        for methods, keys in by_methods.items()
    ]


def change_sentence(found: RepeatFinding) -> str:
    """How the repeats differ from the first runs."""
    count = len(found.changes)
    text = (
        f"{count} methods are in both {found.first} and {found.second} with the same settings: "
        f"{found.fell} fell, {found.rose} rose"
    )
    text += f" and {found.unchanged} did not change" if found.unchanged else ""
    own = scale(found.is_share)
    shift = found.shift
    text += (
        f". The mean change is {own.signed(shift.value)} ({own.signed(shift.low)} to "
        f"{own.signed(shift.high)}){' points' if found.is_share else ''}."
    )
    if found.p_value <= 0.05:
        way = "fall" if found.fell > found.rose else "rise"
        text += (
            f" So uneven a split is no chance (sign test, p {shown_p_value(found.p_value)}): "
            f"something that all have in common made them {way}."
        )
    return text


def run_sentence(found: RepeatFinding) -> str | None:
    """What the repeats say of a single run."""
    if found.change_sd is None or found.run_sd is None:
        return None
    run, change = found.run_sd, found.change_sd
    text = (
        "Beside what all have in common, a method changed by "
        f"{amount(change.value, found.is_share, 2 if found.is_share else None)} (standard "
        f"deviation, {_range(change.low, change.high, found.is_share)}; {found.counted} methods"
    )
    if found.not_counted:
        text += f", {_named(found.not_counted)} being too near to none or all right to change"
    text += (
        f"), so that a single run varies by about {amount(run.value, found.is_share, 2)}, on the "
        "same rows"
    )
    if found.same_seeds:
        text += " and with the same seed: other seeds may well vary by more"
    text += "."
    if found.close_neighbours is not None:
        text += (
            f" {found.close_neighbours} of the {found.neighbours} neighbours among them are closer "
            f"in {found.second} than two such runs of one method in {100 * found.level:.3g} % of "
            "cases."
        )
    if found.with_top is not None:
        text += (
            f" By that alone, {found.with_top or 'none'} of the other {found.others} in "
            f"{found.second} cannot be separated from its top on these very rows."
        )
    return text


def swap_sentence(found: RepeatFinding) -> str:
    """How many pairs changed places."""
    count = len(found.swaps)
    if not count:
        return f"None of the {found.pairs:,} pairs among them changed places."
    text = f"{count} of the {found.pairs:,} pairs among them changed places"
    widest = found.swaps[0]
    text += (
        f"; the widest: {widest.ahead} was {amount(widest.before, found.is_share)} ahead of "
        f"{widest.behind}, and is {amount(widest.after, found.is_share)} behind it"
    )
    if found.separable_swaps:
        return f"{text}. {found.separable_swaps} of them were separable by the rows of one run."
    return f"{text}. None of them was separable by the rows."


def circumstance_sentence(found: RepeatFinding) -> str | None:
    """What else differs between the groups."""
    if not found.circumstances:
        return None
    changes = [f"{key} {a} to {b}" for key, (a, b) in found.circumstances.items()]
    text = f"Recorded as different: {join(changes)}."
    if found.training_change is not None and found.largest_training_change is not None:
        text += (
            f" The loss at the end of training differs by {found.training_change:.1g} in the "
            f"median and {found.largest_training_change:.1g} at most"
        )
        if found.largest_training_change < 0.02 and found.p_value <= 0.05:
            text += ", so training repeated, and the cause is rather in generation or scoring"
        text += "."
    return text


def summary(audit: Audit) -> str:
    """One sentence or two over all rankings."""
    rankings = audit.rankings
    if len(rankings) == 1:
        text = verdict(rankings[0])
    else:
        stands = sum(not r.with_top and len(r.methods) > 1 for r in rankings)
        text = (
            f"In {stands or 'none'} of the {len(rankings)} rankings is the top shown to be better "
            "than all others."
        )
    swapped = sum(len(repeat.swaps) for repeat in audit.repeats)
    if swapped:
        text += f" In the repeats {swapped} {plural('pair', swapped)} changed places."
    return text


def rests_on(audit: Audit) -> list[str]:
    """What verdicts speak of and assume, each sentence once."""
    every = [*audit.rankings, *audit.together]
    found = [(r.name, text) for r in every for text in (scope(r), independence(r)) if text]
    names: dict[str, list[str]] = {}
    for name, text in found:
        names.setdefault(text, []).append(name)
    several = len(names) > 1 and len(every) > 1
    shown = [
        f"{join(list(dict.fromkeys(own)))}: {text}" if several and len(own) < len(every) else text
        for text, own in names.items()
    ]
    return [*shown, *(f"{note}." for note in audit.notes)]


def not_published(audit: Audit) -> list[str]:
    """What was missing in any ranking, each once."""
    return list(dict.fromkeys(text for r in audit.rankings for text in r.missing))


def plural(word: str, count: int) -> str:
    """``row``, ``rows``."""
    return word if count == 1 else f"{word}s"


def _range(low: float, high: float, is_share: bool) -> str:
    own = scale(is_share)
    digits = 2 if is_share else own.digits
    return f"{own.factor * low:.{digits}f} to {own.factor * high:.{digits}f}"


def _named(names: Sequence[str]) -> str:
    if len(names) <= _MOST_NAMES:
        return join(list(names))
    return f"{', '.join(names[:_MOST_NAMES])} and {len(names) - _MOST_NAMES} others"

"""What a study's recommendation says beside the rules' own words (``referee/wording.py``)."""

from __future__ import annotations

from collections.abc import Mapping

from bakeoff.decide.verdicts import (
    amount_words,
    best_baseline,
    best_word,
    label_of,
    metric_words,
    row_metric_of,
    unit_words,
    verdict_of,
)
from bakeoff.formatting import join, scale_of, shown_seconds
from bakeoff.runs.records import (
    DecisionRecord,
    Fallback,
    Margin,
    MetricRecord,
    Needs,
    Results,
)

_SOURCES = {
    "study": "as the study sets it",
    "gain": "a tenth of what the best method gains on the best baseline on validation",
    "least": "a quarter of the metric's own, as the gain on validation is small",
    "default": "the metric's own, as validation has no baseline to gain on",
}


def reached(results: Results, name: str | None) -> str:
    """What the best baseline reaches, and what a method does beside it; empty where neither is.

    By the deciding metric first, then by the one of single rows where that is another.

    Args:
        name: of the method; None where none was tested.
    """
    first = _reached(results, results.primary, name)
    second = row_metric_of(results)
    if not first or second == results.primary:
        return first
    return f"{first} {_reached(results, second, name, is_first=False)}".rstrip()


def _reached(
    results: Results, metric: MetricRecord, name: str | None, *, is_first: bool = True
) -> str:
    baseline = best_baseline(results, metric.name)
    ours = None if name is None else results.methods[name].test.get(metric.name)
    write, unit = scale_of(metric.unit).write, unit_words(metric.unit)
    what = f"a test {metric.title} of " if is_first else ""
    place = "" if is_first else f"In {metric.title} "
    if baseline is None:
        if ours is None or not is_first:
            return ""
        said = f"{name} reaches {what}{write(ours.mean)} {unit}".rstrip()
        return f"{said}; no baseline was scored by it."
    other, theirs = baseline
    label = label_of(results, other)
    the = "The" if is_first else "the"
    said = (
        f"{place}{the} best baseline, {label}, reaches {what}{write(theirs.mean)} {unit}".rstrip()
    )
    if ours is None or name is None:
        return f"{said}." if is_first else ""
    # By the deciding metric the recommendation itself says what is shown.
    verdict = None if is_first else verdict_of(results, name, other, metric.name)
    shown = "" if verdict is None else f" ({verdict})"
    return f"{said}; {name} reaches {write(ours.mean)}{shown}."


def cost_of_needs(needs: Needs | None, *, are_too_few: bool) -> str:
    """What it takes to decide; empty where that is not known.

    Args:
        are_too_few: whether methods have fewer seeds than anything is said of.
    """
    if needs is None or needs.seconds is None:
        return ""
    time = shown_seconds(needs.seconds)
    if are_too_few:
        return f"That would take about {time} more, one run at a time."
    what = "The further seeds take"
    if needs.rows is not None:
        what = "Answering further rows takes" if needs.seeds is None else "Both take"
    return f"{what} about {time}, one run at a time."


def fallback_words(results: Results, decision: DecisionRecord, found: Fallback) -> str:
    """What to do all the same, and whether the study accepts what that may lose."""
    unit, name = results.primary.unit, label_of(results, found.method)
    if found.regret is None:
        return f"In these very runs {name} has the {best_word(results)} " + (
            f"{metric_words(results)}."
        )
    text = (
        f"To use one all the same: {name} has the least expected regret, "
        f"{amount_words(unit, found.regret)}"
    )
    if found.bound is None:
        return f"{text}; what it may lose at most is not known."
    text += f", and loses at most {amount_words(unit, found.bound)} (level {decision.level:.3g})."
    if decision.tolerance is None:
        return text
    accepted = amount_words(unit, decision.tolerance)
    if found.bound <= decision.tolerance:
        return (
            f"{text} That is within the tolerance of {accepted} that the study accepts, so "
            f"{name} may be used."
        )
    return f"{text} That is more than the tolerance of {accepted} that the study accepts."


def margin_words(metric: MetricRecord, margin: Margin) -> str:
    """A margin and how it came about."""
    return f"{amount_words(metric.unit, margin.value)} ({_SOURCES[margin.source]})"


def unfinished_words(names: list[str]) -> str:
    """Which methods have not finished."""
    return f"{join(names)} {'has' if len(names) == 1 else 'have'} not finished"


def none_within(limits: tuple[str, ...], misses: Mapping[str, tuple[str, ...]]) -> str:
    """Where no method is shown to meet the limits.

    Args:
        limits: in words. misses: for each method the limits that it misses, in words.
    """
    nearest = min(misses, key=lambda name: len(misses[name]))
    return (
        f"Nothing is recommended: no method is shown to meet the limits ({join(limits)}). "
        f"{nearest} misses fewest: {join(misses[nearest])}."
    )

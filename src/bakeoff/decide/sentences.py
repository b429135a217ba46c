"""What a study's recommendation says beside the rules' own words (``referee/wording.py``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

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

LIKELIHOODS: Final = ("nll", "perplexity", "bits_per_byte")
"""Metrics that are one another's forms: of the same base they order alike."""
_MOST_NAMED: Final = 3
"""Metrics that a sentence names for one baseline."""
_SOURCES = {
    "study": "as the study sets it",
    "gain": "a tenth of what the best method gains on the best baseline on validation",
    "least": "a quarter of the metric's own, as the gain on validation is small",
    "default": "the metric's own, as validation has no baseline to gain on",
    "judge": "zero, as the judge prefers by position and calls nothing equal",
}


def reached(results: Results, name: str | None) -> str:
    """What the best baseline reaches, and what a method does beside it; empty where neither is.

    By the deciding metric, and in the same sentence by every other metric of the task in which a
    baseline is ahead of the method; then by the metric of single rows where that is not said yet.

    Args:
        name: of the method; None where none was tested.
    """
    first = _reached(results, name)
    if not first or name is None:
        return first
    ahead = _baselines_ahead(results, name)
    if ahead:
        first = f"{first.removesuffix('.')}, but {_joined(ahead)}."
    second = row_metric_of(results)
    if second == results.primary or any(metric == second.name for metric, _, _ in ahead):
        return first
    return f"{first} {_reached_in_rows(results, second, name)}".rstrip()


def _reached(results: Results, name: str | None) -> str:
    metric = results.primary
    baseline = best_baseline(results, metric.name)
    ours = None if name is None else results.methods[name].test.get(metric.name)
    write, unit = scale_of(metric.unit).write, unit_words(metric.unit)
    what = f"a test {metric.title} of"
    if baseline is None:
        if ours is None:
            return ""
        said = f"{name} reaches {what} {write(ours.mean)} {unit}".rstrip()
        return f"{said}; no baseline was scored by it."
    other, theirs = baseline
    said = f"The best baseline, {label_of(results, other)}, reaches {what} {write(theirs.mean)}"
    said = f"{said} {unit}".rstrip()
    # By this metric the recommendation itself says what is shown.
    return f"{said}." if ours is None else f"{said}; {name} reaches {write(ours.mean)}."


def _reached_in_rows(results: Results, metric: MetricRecord, name: str) -> str:
    baseline = best_baseline(results, metric.name)
    ours = results.methods[name].test.get(metric.name)
    if baseline is None or ours is None:
        return ""
    other, theirs = baseline
    write, unit = scale_of(metric.unit).write, unit_words(metric.unit)
    verdict = verdict_of(results, name, other, metric.name)
    shown = "" if verdict is None else f" ({verdict})"
    said = f"the best baseline, {label_of(results, other)}, reaches {write(theirs.mean)} {unit}"
    return f"In {metric.title} {said.rstrip()}; {name} reaches {write(ours.mean)}{shown}."


def _baselines_ahead(results: Results, name: str) -> list[tuple[str, str, str]]:
    """(metric, baseline, in words) for each metric in which a baseline is ahead of a method.

    A baseline is ahead by its mean; the words say where that is more than chance. Metrics that
    are another form of one that was looked at already order alike and are left out.
    """
    found = []
    looked_at = [results.primary.name]
    for metric in results.task.metrics:
        if metric.name in looked_at or _is_form_of(metric.name, looked_at):
            continue
        looked_at.append(metric.name)
        baseline = best_baseline(results, metric.name)
        ours = results.methods[name].test.get(metric.name)
        if baseline is None or ours is None:
            continue
        other, theirs = baseline
        write = scale_of(metric.unit).write
        lead = theirs.mean - ours.mean if metric.higher_is_better else ours.mean - theirs.mean
        if lead <= 0.0 or write(theirs.mean) == write(ours.mean):
            continue
        verdict = verdict_of(results, name, other, metric.name)
        shown = "" if verdict is None else f"; {'shown better' if verdict == 'worse' else verdict}"
        words = f"{metric.title} ({write(theirs.mean)} against {write(ours.mean)}{shown})"
        found.append((metric.name, other, words))
    return [(metric, label_of(results, other), words) for metric, other, words in found]


def _is_form_of(metric: str, others: Sequence[str]) -> bool:
    return metric in LIKELIHOODS and any(other in LIKELIHOODS for other in others)


def _joined(ahead: Sequence[tuple[str, str, str]]) -> str:
    """``lead-3 is ahead in ROUGE-1 (31.9 against 28.7; undecided)``, a clause a baseline."""
    by_baseline: dict[str, list[str]] = {}
    for _, label, words in ahead:
        by_baseline.setdefault(label, []).append(words)
    return join(
        [
            f"{label} is ahead in {join([*words[:_MOST_NAMED], *_further(words[_MOST_NAMED:])])}"
            for label, words in by_baseline.items()
        ]
    )


def _further(words: Sequence[str]) -> list[str]:
    return [f"{len(words)} more"] if words else []


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
        if len(alike := _alike(results, found.method)) > 1:
            return (
                f"In these very runs {join(alike)} reach the same test {results.primary.title} to "
                "the digits shown."
            )
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


def _alike(results: Results, name: str) -> list[str]:
    """Methods and baselines whose test mean is written like one's, itself among them."""
    metric = results.primary.name
    tested = {one: record.test for one, record in results.methods.items()}
    tested |= {one: record.test for one, record in results.baselines.items()}
    best = tested.get(name, {}).get(metric)
    if best is None:
        return []
    write = scale_of(results.primary.unit).write
    return [
        label_of(results, other)
        for other, test in tested.items()
        if (found := test.get(metric)) is not None and write(found.mean) == write(best.mean)
    ]


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

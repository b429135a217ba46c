"""Which study's choice is the best, by paired comparison over the test rows that they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.judged import MetricScores, judge_metric
from bakeoff.decide.limits import Limits
from bakeoff.decide.recommendation import shown_recommendation
from bakeoff.formatting import join, scale_of
from bakeoff.report.comparable import Comparability
from bakeoff.report.load import Run, groups_of_test_rows
from bakeoff.report.scores import BITS_PER_BYTE, NLL, Scores, all_scores
from bakeoff.runs.records import Comparable, Comparison, MetricRecord

_LEVEL = 0.95
OF_TOKENS: Final = (NLL, "perplexity")
"""Metrics whose unit is a token, and so another one for each tokenizer."""
_BITS_PER_BYTE: Final = MetricRecord(
    name=BITS_PER_BYTE,
    title="bits per byte",
    unit="",
    higher_is_better=False,
    primary=False,
    signature="over the reference's text in UTF-8",
)
_BITS_MARGIN: Final = 0.01
"""The metric's own."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The answer over several studies.

    Attributes:
        metric: what decides; see ``deciding_metric``. remark: why it is another than a study's own.
        picks: the recommended method by study, without the studies that recommend none.
        whys: each study's own word on its recommendation.
        verdict, sentence: the answer in short, and the rest of its sentence.
        comparisons: of every two picks in ``metric``, and in NLL where tokens are the same.
        best: the study whose pick is best in ``metric``, None where nothing is ranked.
        standing: what is said against it of the studies whose picks are not shown to be worse:
            equivalent, undecided.
    """

    metric: MetricRecord
    remark: str
    picks: dict[str, str]
    whys: dict[str, str]
    verdict: str
    sentence: str
    comparisons: list[Comparison]
    best: str | None
    standing: dict[str, Comparable]


def deciding_metric(
    runs: Mapping[str, Run], alike: Comparability, is_read: Callable[[str], bool]
) -> tuple[MetricRecord, str]:
    """By what studies are ranked, and why it is not what decided each of them.

    What decided all of them, where its unit is the same and what was kept of rows gives it. NLL and
    perplexity of different tokens become bits per byte. Otherwise a score of what was written, and
    where there is none, the likelihood.

    Args:
        runs, alike: the studies. is_read: whether what was kept of rows gives a metric.
    """
    decided = {label: run.results.primary for label, run in runs.items()}
    first = next(iter(decided.values()))
    metrics = next(iter(runs.values())).results.task.metrics
    scores = [m for m in metrics if m.higher_is_better]
    nats = [m for m in metrics if m.name == NLL and alike.same_tokens]
    others = (m for m in (*scores, *nats, _BITS_PER_BYTE) if is_read(m.name))
    written = next(others, first)
    if len({metric.name for metric in decided.values()}) > 1:
        each = join([f"{label} by {metric.title}" for label, metric in decided.items()])
        return written, f"The studies were decided by different metrics ({each})."
    if first.name in OF_TOKENS:
        if not alike.same_tokens:
            remark = f"{first.title} of different tokens is of different units."
            return _BITS_PER_BYTE, remark
        return first, ""
    if is_read(first.name):
        return first, ""
    why = "by which each study was decided, does not follow from what was kept of rows."
    return written, f"{first.title}, {why}"


def rank_studies(
    runs: Mapping[str, Run], alike: Comparability, limits: Limits | None = None
) -> Ranking:
    """Compares the studies' recommended methods with each other.

    Where there are obstacles nothing is compared, and the ranking says so. The margin is the
    largest that one of the studies set.
    """
    given = {label: shown_recommendation(run.results, limits) for label, run in runs.items()}
    picks = {label: g.method for label, g in given.items() if g.method is not None}
    whys = {label: g.why for label, g in given.items()}

    @cache
    def scores_by(name: str) -> dict[str, Scores]:
        each = {label: all_scores(runs[label], method, name) for label, method in picks.items()}
        return {label: found for label, found in each.items() if found is not None}

    names = [NLL, *(m.name for run in runs.values() for m in run.results.task.metrics)]
    known = [label for label in picks if any(label in scores_by(name) for name in names)]

    def is_read(name: str) -> bool:
        return len(known) < 2 or all(label in scores_by(name) for label in known)

    metric, remark = deciding_metric(runs, alike, is_read)
    read = NLL if metric.name in OF_TOKENS else metric.name
    scores = scores_by(read)
    if missing := [label for label in picks if label not in scores]:
        said = f"Nothing is said of {join(missing)}, of whose answers too little was kept."
        remark = f"{remark} {said}".strip()
    if alike.obstacles or len(scores) < 2:
        reason = (
            "these studies were not measured alike, so nothing is ranked across them"
            if alike.obstacles
            else "fewer than two studies recommend a method whose answers are kept"
        )
        return Ranking(
            metric=metric,
            remark=remark,
            picks=picks,
            whys=whys,
            verdict="Side by side only",
            sentence=f"{reason}.",
            comparisons=[],
            best=None,
            standing={},
        )
    compared = _compared(runs, picks, metric, scores)
    if alike.same_tokens and read != NLL:
        likelihoods = scores_by(NLL)
        records = (m for run in runs.values() for m in run.results.task.metrics)
        nll = next((record for record in records if record.name == NLL), None)
        if nll is not None and len(likelihoods) == len(scores):
            compared += _compared(runs, picks, nll, likelihoods)
    means = {label: _shown(metric, found.mean) for label, found in scores.items()}
    best = (max if metric.higher_is_better else min)(means, key=means.__getitem__)
    verdicts = {label: _verdict(compared, metric, label, best) for label in means if label != best}
    standing: dict[str, Comparable] = {
        label: v for label, v in verdicts.items() if v in ("equivalent", "undecided")
    }
    return Ranking(
        metric=metric,
        remark=remark,
        picks=picks,
        whys=whys,
        verdict=_headline(best, standing),
        sentence=_sentence(metric, picks, means, best, standing, compared),
        comparisons=compared,
        best=best,
        standing=standing,
    )


def written_difference(comparison: Comparison, unit: str) -> str:
    """A comparison's difference in its metric's own digits, with its interval."""
    scale = scale_of(unit)
    difference = scale.signed(comparison.difference)
    if comparison.low is None or comparison.high is None:
        return difference
    return f"{difference} ({scale.signed(comparison.low)} to {scale.signed(comparison.high)})"


def _compared(
    runs: Mapping[str, Run],
    picks: Mapping[str, str],
    metric: MetricRecord,
    scores: Mapping[str, Scores],
) -> list[Comparison]:
    decisions = [d for run in runs.values() if (d := run.results.decision) is not None]
    margins = [d.margins[metric.name].value for d in decisions if metric.name in d.margins]
    own = _BITS_MARGIN if metric.name == BITS_PER_BYTE else 0.0

    first = next(iter(scores.values()))

    def value(sums: NDArray[Any]) -> Any:
        return _shown(metric, first.value(sums))

    groups = [known for label in scores if (known := groups_of_test_rows(runs[label])) is not None]
    # What was made elsewhere and has one run can get no more.
    single = [
        label
        for label in scores
        if (pick := runs[label].results.methods[picks[label]]).external is not None
        and len(pick.seeds) == 1
    ]
    judged = judge_metric(
        MetricScores(
            set="test",
            metric=metric.name,
            higher_is_better=metric.higher_is_better,
            runs={label: list(found.statistics_SNC) for label, found in scores.items()},
            value=value,
            is_ratio=first.is_ratio and metric.name != "perplexity",
            has_weights=first.is_ratio,
            withheld=first.withheld,
            groups=groups[0] if groups else None,
        ),
        margin=max(margins, default=own),
        level=max((d.level for d in decisions), default=_LEVEL),
        baselines=single,
    )
    return list(judged.comparisons)


def _shown(metric: MetricRecord, mean: Any) -> Any:
    """The metric's value of a mean: perplexity is kept as nats."""
    return np.exp(mean) if metric.name == "perplexity" else mean


def _headline(best: str, standing: Mapping[str, Comparable]) -> str:
    if not standing:
        return f"{best} leads"
    if all(verdict == "equivalent" for verdict in standing.values()):
        return f"{join([best, *standing])} are equivalent"
    return f"Undecided between {join([best, *standing])}"


def _sentence(
    metric: MetricRecord,
    picks: Mapping[str, str],
    means: Mapping[str, float],
    best: str,
    standing: Mapping[str, Comparable],
    compared: Sequence[Comparison],
) -> str:
    write = scale_of(metric.unit).write

    def named(labels: list[str]) -> str:
        return join([f"{label}'s {picks[label]} ({write(means[label])})" for label in labels])

    whose = f"{best}'s" if standing else "its"
    word = "highest" if metric.higher_is_better else "lowest"
    parts = [f"{whose} {picks[best]} has the {word} {metric.title}, {write(means[best])}"]
    equal = [label for label, verdict in standing.items() if verdict == "equivalent"]
    if equal:
        parts.append(f"{named(equal)} {'is' if len(equal) == 1 else 'are'} equivalent to it")
    if open_ := [label for label, verdict in standing.items() if verdict == "undecided"]:
        whys = [c.why for c in compared if c.metric == metric.name and c.why is not None]
        because = f" ({whys[0]})" if whys else ""
        parts.append(f"{named(open_)} cannot be told apart from it, nor shown equal{because}")
    behind = [label for label in means if label != best and label not in standing]
    if behind:
        parts.append(f"it is better than {named(behind)}")
    return f"{'; '.join(parts)}."


def _verdict(compared: list[Comparison], metric: MetricRecord, a: str, b: str) -> Comparable:
    """What is said of ``a`` against ``b``, the one with the best mean."""
    for found in compared:
        if found.metric == metric.name and {found.a, found.b} == {a, b}:
            return found.verdict if found.verdict in ("equivalent", "undecided") else "worse"
    return "undecided"

"""Which study's choice is the best, by paired comparison over the test rows that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.judged import MetricScores, judge_metric
from bakeoff.decide.limits import Limits
from bakeoff.decide.recommendation import shown_recommendation
from bakeoff.formatting import join, scale_of
from bakeoff.report.comparable import Comparability
from bakeoff.report.load import Run, row_metric_of
from bakeoff.report.scores import Scores, all_scores
from bakeoff.runs.records import Comparable, Comparison, MetricRecord

NLL = "nll"
_LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The answer over several studies.

    Attributes:
        metric: what decides: how well text was written, such as ROUGE-1.
        picks: the recommended method by study, without the studies that recommend none.
        whys: each study's own word on its recommendation.
        verdict, sentence: the answer in short, and the rest of its sentence.
        comparisons: of every two picks in ``metric``, and in NLL where tokens are the same.
        best: the study whose pick is best in ``metric``, None where nothing is ranked.
        standing: what is said against it of the studies whose picks are not shown to be worse:
            equivalent, undecided.
    """

    metric: MetricRecord
    picks: dict[str, str]
    whys: dict[str, str]
    verdict: str
    sentence: str
    comparisons: list[Comparison]
    best: str | None
    standing: dict[str, Comparable]


def rank_studies(
    runs: Mapping[str, Run], alike: Comparability, limits: Limits | None = None
) -> Ranking:
    """Compares the studies' recommended methods with each other.

    What was written decides, as text is measured alike whatever the tokenizer. Where there are
    obstacles nothing is compared, and the ranking says so. The margin is the largest that one of
    the studies set.
    """
    given = {label: shown_recommendation(run.results, limits) for label, run in runs.items()}
    picks = {label: g.method for label, g in given.items() if g.method is not None}
    whys = {label: g.why for label, g in given.items()}
    metric = row_metric_of(next(iter(runs.values())).results)
    scores = {
        label: found
        for label, method in picks.items()
        if (found := all_scores(runs[label], method)) is not None
    }
    if alike.obstacles or len(scores) < 2:
        reason = (
            "these studies were not measured alike, so nothing is ranked across them"
            if alike.obstacles
            else "fewer than two studies recommend a method whose answers are kept"
        )
        return Ranking(
            metric=metric,
            picks=picks,
            whys=whys,
            verdict="Side by side only",
            sentence=f"{reason}.",
            comparisons=[],
            best=None,
            standing={},
        )
    written = {label: _columns(found.written_SN, None) for label, found in scores.items()}
    compared = _compared(runs, metric.name, written, higher_is_better=metric.higher_is_better)
    if alike.same_tokens and all(found.nll_SN is not None for found in scores.values()):
        compared += _compared(
            runs,
            NLL,
            {label: _nll_columns(found) for label, found in scores.items()},
            higher_is_better=False,
        )
    means = {label: float(np.mean(found.written_SN)) for label, found in scores.items()}
    best = (max if metric.higher_is_better else min)(means, key=means.__getitem__)
    verdicts = {label: _verdict(compared, metric, label, best) for label in means if label != best}
    standing: dict[str, Comparable] = {
        label: v for label, v in verdicts.items() if v in ("equivalent", "undecided")
    }
    return Ranking(
        metric=metric,
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
    metric: str,
    statistics: Mapping[str, Sequence[NDArray[Any]]],
    *,
    higher_is_better: bool,
) -> list[Comparison]:
    decisions = [d for run in runs.values() if (d := run.results.decision) is not None]
    margins = [d.margins[metric].value for d in decisions if metric in d.margins]
    judged = judge_metric(
        MetricScores(
            set="test",
            metric=metric,
            higher_is_better=higher_is_better,
            runs=statistics,
            value=lambda sums: sums[..., 0] / sums[..., 1],
            is_ratio=True,
        ),
        margin=max(margins, default=0.0),
        level=max((d.level for d in decisions), default=_LEVEL),
        baselines=(),
    )
    return list(judged.comparisons)


def _columns(
    scores_SN: NDArray[np.float64], weights_SN: NDArray[np.float64] | None
) -> list[NDArray[np.float64]]:
    """For each seed [N, 2] scores and what they are divided by; ones without weights."""
    weights = np.ones_like(scores_SN) if weights_SN is None else weights_SN
    return [np.stack(pair, axis=1) for pair in zip(scores_SN, weights, strict=True)]


def _nll_columns(found: Scores) -> list[NDArray[np.float64]]:
    assert found.nll_SN is not None and found.tokens_SN is not None
    return _columns(found.nll_SN, found.tokens_SN)


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

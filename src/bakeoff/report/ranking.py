"""Which study's choice is the best, by paired comparison over the test rows that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bakeoff.decide.choice import recommend
from bakeoff.decide.comparisons import compare_methods
from bakeoff.decide.limits import Limits
from bakeoff.formatting import join, scale_of
from bakeoff.report.comparable import Comparability
from bakeoff.report.load import Run, row_metric_of
from bakeoff.report.scores import all_scores
from bakeoff.runs.records import Comparison, MetricRecord

NLL = "nll"


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
        ties: the studies whose picks are not shown to differ from it.
    """

    metric: MetricRecord
    picks: dict[str, str]
    whys: dict[str, str]
    verdict: str
    sentence: str
    comparisons: list[Comparison]
    best: str | None
    ties: list[str]


def rank_studies(
    runs: Mapping[str, Run], alike: Comparability, limits: Limits | None = None
) -> Ranking:
    """Compares the studies' recommended methods with each other.

    What was written decides, as text is measured alike whatever the tokenizer. Where there are
    obstacles nothing is compared, and the ranking says so.
    """
    given = {label: recommend(run.results, limits) for label, run in runs.items()}
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
            else "fewer than two studies recommend a method whose summaries are kept"
        )
        return Ranking(
            metric=metric,
            picks=picks,
            whys=whys,
            verdict="Side by side only",
            sentence=f"{reason}.",
            comparisons=[],
            best=None,
            ties=[],
        )
    resamples = max(10_000, 40 * len(scores) ** 2)
    compared = compare_methods(
        {label: found.written_SN for label, found in scores.items()},
        metric=metric.name,
        weights=None,
        higher_is_better=metric.higher_is_better,
        resamples=resamples,
    )
    nlls = {label: s.nll_SN for label, s in scores.items() if s.nll_SN is not None}
    if alike.same_tokens and len(nlls) == len(scores):
        tokens = {label: s.tokens_SN for label, s in scores.items() if s.tokens_SN is not None}
        compared += compare_methods(
            nlls, metric=NLL, weights=tokens, higher_is_better=False, resamples=resamples
        )
    means = {label: float(np.mean(found.written_SN)) for label, found in scores.items()}
    best = (max if metric.higher_is_better else min)(means, key=means.__getitem__)
    others = [label for label in means if label != best]
    ties = [label for label in others if _is_tie(compared, metric, best, label)]
    return Ranking(
        metric=metric,
        picks=picks,
        whys=whys,
        verdict=f"{join([best, *ties])} tie" if ties else f"{best} leads",
        sentence=_sentence(metric, picks, means, best, ties),
        comparisons=compared,
        best=best,
        ties=ties,
    )


def written_difference(comparison: Comparison, unit: str) -> str:
    """A comparison's difference in its metric's own digits, with its interval."""
    scale = scale_of(unit)
    difference = scale.signed(comparison.difference)
    if comparison.low is None or comparison.high is None:
        return difference
    return f"{difference} ({scale.signed(comparison.low)} to {scale.signed(comparison.high)})"


def _sentence(
    metric: MetricRecord,
    picks: Mapping[str, str],
    means: Mapping[str, float],
    best: str,
    ties: list[str],
) -> str:
    write = scale_of(metric.unit).write

    def named(labels: list[str]) -> str:
        return join([f"{label}'s {picks[label]} ({write(means[label])})" for label in labels])

    whose = f"{best}'s" if ties else "its"
    word = "highest" if metric.higher_is_better else "lowest"
    parts = [f"{whose} {picks[best]} has the {word} {metric.title}, {write(means[best])}"]
    if ties:
        parts.append(f"{named(ties)} {'ties' if len(ties) == 1 else 'tie'} with it")
    behind = [label for label in means if label != best and label not in ties]
    if behind:
        parts.append(f"it is ahead of {named(behind)} beyond chance")
    return f"{'; '.join(parts)}."


def _is_tie(compared: list[Comparison], metric: MetricRecord, a: str, b: str) -> bool:
    found = next(c for c in compared if c.metric == metric.name and {c.a, c.b} == {a, b})
    return found.verdict not in ("better", "worse")

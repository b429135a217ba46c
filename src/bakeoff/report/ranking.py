"""Which study's choice is the best, by paired comparison over the test rows that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bakeoff.decide.choice import recommend
from bakeoff.decide.comparisons import Comparison, compare_methods
from bakeoff.decide.facts import join
from bakeoff.decide.limits import Limits
from bakeoff.page import words
from bakeoff.quantities import signed
from bakeoff.report.comparable import Comparability
from bakeoff.report.load import Run, all_scores


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The answer over several studies.

    Attributes:
        picks: the recommended method by study, without the studies that recommend none.
        whys: each study's own word on its recommendation.
        verdict, sentence: the answer in short, and the rest of its sentence.
        comparisons: of every two picks in ROUGE-1, and in test NLL where tokens are the same.
        best: the study whose pick has the highest ROUGE-1, None where nothing is ranked.
        ties: the studies whose picks are not shown to differ from it.
    """

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

    ROUGE-1 decides, as text is measured alike whatever the tokenizer. Where there are obstacles
    nothing is compared, and the ranking says so.
    """
    given = {label: recommend(run.results, limits) for label, run in runs.items()}
    picks = {label: str(g["method"]) for label, g in given.items() if g["method"] is not None}
    whys = {label: str(g["why"]) for label, g in given.items()}
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
        {label: s.rouge1_SN for label, s in scores.items()},
        metric="rouge1",
        weights=None,
        higher_is_better=True,
        resamples=resamples,
    )
    nlls = {label: s.nll_SN for label, s in scores.items() if s.nll_SN is not None}
    if alike.same_tokens and len(nlls) == len(scores):
        tokens = {label: s.tokens_SN for label, s in scores.items() if s.tokens_SN is not None}
        compared += compare_methods(
            nlls, metric="test_nll", weights=tokens, higher_is_better=False, resamples=resamples
        )
    means = {label: float(np.mean(s.rouge1_SN)) for label, s in scores.items()}
    best = max(means, key=means.__getitem__)
    ties = [label for label in means if label != best and _is_tie(compared, best, label)]
    behind = [label for label in means if label != best and label not in ties]
    told = f"its {picks[best]} has the highest ROUGE-1, {words.rouge(means[best])}"
    if ties:
        told += f"; {_named(ties, picks, means)} {'ties' if len(ties) == 1 else 'tie'} with it"
    if behind:
        told += f"; it is ahead of {_named(behind, picks, means)} beyond chance"
    return Ranking(
        picks=picks,
        whys=whys,
        verdict=f"{best} leads" if not ties else f"{join([best, *ties])} tie",
        sentence=f"{told if not ties else told.replace('its ', best + chr(39) + 's ', 1)}.",
        comparisons=compared,
        best=best,
        ties=ties,
    )


def told_difference(comparison: Comparison) -> str:
    """A comparison's difference in the figure's own digits, with its interval."""
    is_rouge = comparison.metric.startswith("rouge")
    factor, digits = (100.0, 1) if is_rouge else (1.0, 3)
    ends = [
        signed(factor * v, digits) for v in (comparison.difference, comparison.low, comparison.high)
    ]
    return f"{ends[0]} ({ends[1]} to {ends[2]})"


def _is_tie(compared: list[Comparison], a: str, b: str) -> bool:
    found = next(c for c in compared if c.metric == "rouge1" and {c.a, c.b} == {a, b})
    return found.verdict == "tie"


def _named(labels: list[str], picks: Mapping[str, str], means: Mapping[str, float]) -> str:
    return join([f"{label}'s {picks[label]} ({words.rouge(means[label])})" for label in labels])

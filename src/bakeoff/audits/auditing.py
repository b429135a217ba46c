"""``bakeoff.audit``: which published rankings stand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from bakeoff.audits.findings import Audit, RankingFinding, RepeatFinding
from bakeoff.audits.judged import judge_ranking
from bakeoff.audits.published import Run
from bakeoff.audits.ranking import Ranking, build_rankings
from bakeoff.audits.reading import read_published
from bakeoff.audits.repeats import find_repeats, judge_together
from bakeoff.audits.separation import Separation, separate
from bakeoff.decide.referee.checks import check_level, check_margin
from bakeoff.errors import ConfigError

Paths = str | Path | Sequence[str | Path]


def audit(
    paths: Paths,
    *,
    metrics: Sequence[str] = (),
    lower_is_better: Sequence[str] = (),
    baselines: Sequence[str] = (),
    margin: float | None = None,
    level: float = 0.95,
    rows: int | None = None,
) -> Audit:
    """Says which rankings of results that others published stand.

    Reads PEFT's ``method_comparison`` JSON, lm-eval's ``results_*.json`` with the
    ``samples_*.jsonl`` that belong to them, and CSV files with the columns ``method, seed, row``
    and one for each metric. Runs that were published in one folder make a ranking; the same method
    in another folder is a repeat. Only files are read, nothing is fetched.

    Args:
        paths: files, and folders, which are read whole.
        metrics: names of those to look at; none of them: all.
        lower_is_better: metrics of which less is better, where neither file nor name says so.
        baselines: methods that need no training, so that one run says all of them.
        margin: a difference that does not matter, in the metric's unit; None takes 0.01 of a
            share, 0.02 nats, and none of other metrics.
        level: 1 minus the share of such rankings in which any verdict may be wrong.
        rows: of the test set, for shares whose file does not say over how many they are.

    Returns:
        What stands of each ranking, what repeats say, and what is missing.

    Raises:
        DataError: a file that cannot be read, or is not what it should be.
        ConfigError: another argument that breaks a rule.
    """
    alpha = 1.0 - check_level(level)
    if margin is not None:
        margin = check_margin(margin)
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    published = read_published([Path(path) for path in listed], rows)
    runs = _chosen(published.runs, metrics, lower_is_better, baselines)
    rankings = build_rankings(runs, margin=margin, lower=lower_is_better, baselines=baselines)
    judged = [(ranking, separate(ranking, alpha)) for ranking in rankings]
    repeats, together = _repeats(judged, alpha)
    return Audit(
        level=level,
        files=published.files,
        rankings=tuple(judge_ranking(r, separation, alpha) for r, separation in judged),
        repeats=tuple(repeats),
        together=tuple(together),
        left_out=published.left_out,
        notes=published.notes,
    )


def _chosen(
    runs: Sequence[Run], metrics: Sequence[str], lower: Sequence[str], baselines: Sequence[str]
) -> list[Run]:
    """The runs of the metrics that were asked for.

    Raises:
        ConfigError: a name that is in no file.
    """
    known = list(dict.fromkeys(run.metric for run in runs))
    methods = list(dict.fromkeys(run.method for run in runs))
    for option, names, there in (
        ("metrics", metrics, known),
        ("lower_is_better", lower, known),
        ("baselines", baselines, methods),
    ):
        for name in names:
            if name not in there:
                shown = ", ".join(there[:10]) + (" ..." if len(there) > 10 else "")
                raise ConfigError(f"audit: {option} names {name!r}; there are {shown}")
    return [run for run in runs if not metrics or run.metric in metrics]


def _repeats(
    judged: Sequence[tuple[Ranking, Separation]], alpha: float
) -> tuple[list[RepeatFinding], list[RankingFinding]]:
    """What groups that follow each other say of each metric, and all groups together."""
    repeats: list[RepeatFinding] = []
    together: list[RankingFinding] = []
    for metric in dict.fromkeys(ranking.metric for ranking, _ in judged):
        own = [(r, s) for r, s in judged if r.metric == metric]
        found = [
            one
            for (a, first), (b, second) in pairwise(own)
            if (one := find_repeats(a, b, (first, second), alpha)) is not None
        ]
        repeats += found
        if found:
            whole = judge_together([ranking for ranking, _ in own], alpha)
            together += [] if whole is None else [whole]
    return repeats, together

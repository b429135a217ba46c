"""What mattered: how much of the spread the method, the base and the prompt make."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Final

from bakeoff.decide.factors import component_words, factors_sentence, share_words
from bakeoff.decide.verdicts import amount_words
from bakeoff.formatting import scale_of, shown_whole
from bakeoff.report.table import metric_label
from bakeoff.runs.factors import FactorsRecord
from bakeoff.runs.records import MetricRecord, Results

PART_HEADS: Final = ("Part", "Share of the variance", "Interval", "Spread between levels")
_TITLES: Final = {"method": "Method", "base": "Base", "template": "Prompt"}


@dataclass(frozen=True, kw_only=True)
class FactorsView:
    """The section as it is written.

    Attributes:
        sentence: what mattered most. lead: how the table is to be read.
        parts: a line for each part of the variance, as ``PART_HEADS``.
        level_heads, levels: a line for each level of each factor, with the mean over all others.
        texts: layouts and bases by name, as the study gives them.
        notes: what the table does not count.
    """

    sentence: str
    lead: str
    parts: list[tuple[str, ...]]
    level_heads: tuple[str, ...]
    levels: list[tuple[str, ...]]
    texts: list[tuple[str, str]]
    notes: list[str]


def factors_view(results: Results) -> FactorsView | None:
    """What mattered in a crossed study; None of any other."""
    record = results.factors
    if record is None:
        return None
    metric = results.primary
    return FactorsView(
        sentence=factors_sentence(record),
        lead=_lead(record, metric),
        parts=[
            (
                _title(component_words(one)),
                share_words(one.share),
                f"{share_words(one.low)} to {share_words(one.high)}",
                amount_words(metric.unit, one.deviation),
            )
            for one in record.components
        ],
        level_heads=("Factor", "Level", f"Mean {metric_label(metric)} {metric.unit}".strip()),
        levels=_levels(results, record, metric),
        texts=[
            *((f"base {name}", base) for name, base in record.bases.items()),
            *((f"prompt {name}", text) for name, text in record.templates.items()),
        ],
        notes=[
            f"{name} was not tested with every base and prompt, and is not counted."
            for name in record.left_out
        ],
    )


def per_token_words(results: Results) -> str:
    """What a figure of an NLL per token must say where bases have different tokenizers."""
    if results.factors is None or results.factors.one_tokenizer:
        return ""
    return (
        " The bases have different tokenizers: an NLL per token compares within one base, and "
        "never between two."
    )


def _lead(record: FactorsRecord, metric: MetricRecord) -> str:
    seeds = (
        "Another seed: what single runs of one setting differ by. "
        if any(not one.factors for one in record.components)
        else ""
    )
    tokens = (
        ""
        if record.one_tokenizer
        else " The bases have different tokenizers, so that nothing here is per token."
    )
    return (
        f"By {metric.title} on {shown_whole(record.rows)} test rows that all share. The spread of "
        "the scores is taken apart into what each factor does on average, what two of them do "
        f"together beyond that, and chance. {seeds}Intervals hold at the "
        f"{100 * record.level:.3g}\u00a0% level, over other test rows and other seeds; the levels "
        f"are those of this study, and nothing is said of other bases or prompts.{tokens}"
    )


def _levels(results: Results, record: FactorsRecord, metric: MetricRecord) -> list[tuple[str, ...]]:
    """The mean of each level over all runs of methods that stand in every cell."""
    write = scale_of(metric.unit).write
    found: list[tuple[str, ...]] = []
    for factor, levels in record.levels.items():
        if len(levels) < 2:
            continue
        for level in levels:
            means = [
                method.test[metric.name].mean
                for method in results.methods.values()
                if method.base is not None or method.template is not None
                if method.plain_name not in record.left_out and metric.name in method.test
                if level == (method.plain_name if factor == "method" else getattr(method, factor))
            ]
            if means:
                found.append((_TITLES[factor], level, write(statistics.fmean(means))))
    return found


def _title(words: str) -> str:
    short = words.removeprefix("the ")
    return short[:1].upper() + short[1:]

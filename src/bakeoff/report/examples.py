"""The test rows worth reading: where the methods disagree most."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from bakeoff.report.load import Example, Run
from bakeoff.report.table import Row

NUM_EXAMPLES = 10
MAX_CHARACTERS = 12_000
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What one method or baseline wrote, cut into pieces that do or do not match."""

    row: Row
    rouge1: float | None
    pieces: list[tuple[str, bool]]
    text: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One test row with every summary side by side."""

    example: Example
    spread: float | None
    document: str
    is_cut: bool
    """Whether the page shows only the start of the document."""
    summaries: list[Summary]


def choose_examples(run: Run, rows: list[Row], limit: int = NUM_EXAMPLES) -> list[Shown]:
    """The rows with the widest spread of ROUGE-1 over methods, widest first, then by index.

    Where fewer than two methods have predictions, the baselines count as well.
    """
    methods = [r.name for r in rows if not r.is_baseline and r.name in run.predictions]
    judges = methods if len(methods) > 1 else [r.name for r in rows if r.name in run.predictions]
    spreads = {example.index: _spread(run, judges, example.index) for example in run.examples}

    def order(example: Example) -> tuple[float, int]:
        spread = spreads[example.index]
        return (1.0 if spread is None else -spread), example.index

    return [
        _show(run, rows, example, spreads[example.index])
        for example in sorted(run.examples, key=order)[:limit]
    ]


def matches(summary: str, reference: str) -> list[tuple[str, bool]]:
    """Cuts a summary into pieces; True marks runs of two or more words that the reference holds.

    Words are compared without case; what lies between the words of a run belongs to it.
    """
    known = [m.group().lower() for m in _WORD.finditer(reference)]
    pairs = set(itertools.pairwise(known))
    found = list(_WORD.finditer(summary))
    spans: list[tuple[int, int]] = []
    for left, right in itertools.pairwise(found):
        if (left.group().lower(), right.group().lower()) in pairs:
            if spans and spans[-1][1] > left.start():
                spans[-1] = (spans[-1][0], right.end())
            else:
                spans.append((left.start(), right.end()))
    pieces, at = [], 0
    for start, end in spans:
        if start > at:
            pieces.append((summary[at:start], False))
        pieces.append((summary[start:end], True))
        at = end
    if at < len(summary):
        pieces.append((summary[at:], False))
    return pieces


def _spread(run: Run, names: list[str], index: int) -> float | None:
    scores = [
        found.rouge1
        for name in names
        if (found := run.predictions[name].get(index)) is not None and found.rouge1 is not None
    ]
    return max(scores) - min(scores) if len(scores) > 1 else None


def _show(run: Run, rows: list[Row], example: Example, spread: float | None) -> Shown:
    summaries = []
    for row in rows:
        found = run.predictions.get(row.name, {}).get(example.index)
        if found is not None:
            text = found.text[:MAX_CHARACTERS]
            summaries.append(
                Summary(
                    row=row,
                    rouge1=found.rouge1,
                    pieces=matches(text, example.reference),
                    text=text,
                )
            )
    return Shown(
        example=example,
        spread=spread,
        document=example.document[:MAX_CHARACTERS],
        is_cut=len(example.document) > MAX_CHARACTERS,
        summaries=summaries,
    )

"""The test rows, those worth reading first: where the methods disagree most."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bakeoff.formatting import scale_of
from bakeoff.report.load import Example, Run
from bakeoff.report.table import Row

MAX_CHARACTERS = 12_000
FEWER_CHARACTERS = 2_000
"""Of a text, where all rows' would be more than the page takes."""
BUDGET_BYTES = 2_000_000
"""Of all rows' texts: a page of thousands of rows still opens at once."""
CHUNK = 50
"""Rows a block of JSON, so that the page reads no more of them than it shows."""


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One test row and by how much the methods' scores differ on it."""

    example: Example
    spread: float | None


@dataclass(frozen=True, kw_only=True)
class Browser:
    """Rows as JSON that may be put inside a script element.

    Attributes:
        count: number of rows in it. total: of the run; those that are left out are the last.
        names: methods and baselines that have predictions, in the table's order.
        head: what sorting and filtering need: each row's index, spread and scores.
        blocks: the texts, ``CHUNK`` rows each, in the order of ``head``.
    """

    count: int
    total: int
    names: list[str]
    head: str
    blocks: list[str]


def rank_examples(run: Run, rows: list[Row]) -> list[Ranked]:
    """Every row, the widest spread of the run's ``row_metric`` first, then by index.

    Where fewer than two methods have predictions, the baselines count as well.
    """
    methods = [r.name for r in rows if not r.is_baseline and r.name in run.predictions]
    judges = methods if len(methods) > 1 else [r.name for r in rows if r.name in run.predictions]
    found = [Ranked(example=e, spread=_spread(run, judges, e.index)) for e in run.examples]
    return sorted(found, key=lambda r: (1.0 if r.spread is None else -r.spread, r.example.index))


def build_browser(run: Run, rows: list[Row], ranked: list[Ranked]) -> Browser:
    """The data of the page's browser of examples: as many rows as the page takes."""
    names = [row.name for row in rows if row.name in run.predictions]
    total = len(ranked)
    texts = _within_budget(run, names, ranked)
    ranked = ranked[: len(texts)]
    predictions = [run.predictions[name] for name in names]
    metric = run.row_metric
    scale = scale_of(metric.unit)
    head = {
        "chunk": CHUNK,
        "metric": {
            "title": metric.title,
            "unit": metric.unit,
            "factor": scale.factor,
            "digits": scale.digits,
        },
        "names": names,
        "input": run.results.task.input_word.capitalize(),
        "rows": [
            [
                r.example.index,
                _short(r.spread),
                [
                    _short(p.scores.get(metric.name)) if (p := found.get(r.example.index)) else None
                    for found in predictions
                ],
            ]
            for r in ranked
        ],
    }
    return Browser(
        count=len(ranked),
        total=total,
        names=names,
        head=inside_script(head),
        blocks=[f"[{','.join(texts[at : at + CHUNK])}]" for at in range(0, len(ranked), CHUNK)],
    )


def answers(run: Run, rows: list[Row], index: int) -> Iterator[tuple[Row, str, float | None]]:
    """What each method and baseline answered to one row, in the table's order, with its score."""
    metric = run.row_metric.name
    for row in rows:
        found = run.predictions.get(row.name, {}).get(index)
        if found is not None:
            yield row, found.text, found.scores.get(metric)


def inside_script(content: object) -> str:
    """JSON that ends no script element and opens no comment, whatever text it holds."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _within_budget(run: Run, names: list[str], ranked: Sequence[Ranked]) -> list[str]:
    """Each row's texts as JSON; where they are too many, shorter ones, then the first rows'."""
    found: list[str] = []
    for most in (MAX_CHARACTERS, FEWER_CHARACTERS):
        found, room = [], BUDGET_BYTES
        for one in ranked:
            text = inside_script(_texts(run, names, one.example, most))
            room -= len(text.encode("utf-8", "replace"))
            if room < 0 and found:
                break
            found.append(text)
        if len(found) == len(ranked):
            break
    return found


def _texts(run: Run, names: list[str], example: Example, most: int) -> list[object]:
    """[input, whether only its start, reference, [answer or None, by name]]."""
    found = [run.predictions[name].get(example.index) for name in names]
    return [
        example.shown[:most],
        int(len(example.shown) > most),
        example.reference[:most],
        [None if p is None else p.text[:most] for p in found],
    ]


def _short(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def _spread(run: Run, names: Sequence[str], index: int) -> float | None:
    metric = run.row_metric.name
    found = [run.predictions[name].get(index) for name in names]
    scores = [p.scores[metric] for p in found if p is not None and metric in p.scores]
    return max(scores) - min(scores) if len(scores) > 1 else None

"""The page: one file that asks nothing of the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bakeoff.decide.facts import comparisons, dig, mapping, number
from bakeoff.page import words
from bakeoff.page.palette import BASELINE_LOOK, looks
from bakeoff.page.render import Figure
from bakeoff.page.shell import make_environment, shell
from bakeoff.report.answer import Answer
from bakeoff.report.examples import Browser
from bakeoff.report.figures.build import GROUPS
from bakeoff.report.load import Run
from bakeoff.report.searched import SEARCH_HEADS, search_cost, searched_methods
from bakeoff.report.table import Row, build_marks, cheapest_name, shown_columns

_SPLIT_COLUMNS = {
    "examples": "Examples",
    "tokens_raw": "Tokens, raw",
    "tokens_padded": "Tokens, padded",
    "tokens_supervised": "Tokens, supervised",
    "documents_truncated": "Documents cut to fit",
    "rows_skipped": "Rows skipped",
}
_COMPARISON = ("metric", "a", "b", "difference", "low", "high", "p_value", "verdict")
_CANDIDATE = ("method", "learning_rate", "seed", "state", "best_epoch", "epochs", "reason")


def build_page(
    run: Run, rows: list[Row], answer: Answer, figures: list[Figure], examples: Browser
) -> str:
    """The whole of ``report.html``.

    Text from the study, the data and the models is escaped by Jinja. What is inserted as it is:
    our own style sheet and scripts, whose hashes the content security policy names, SVG that was
    parsed and written by an XML library, and JSON without any sign that could end its element.
    """
    results = run.results
    by_name = {row.name: row for row in rows}
    return (
        make_environment()
        .get_template("report.html.j2")
        .render(
            **shell("report.js", "examples.js"),
            name=str(dig(results, "study", "name") or run.folder.name),
            meta=headline_facts(results),
            answer=answer,
            adapter=_adapter(run, answer.method),
            rows=in_order(rows),
            columns=shown_columns(rows),
            marks=build_marks(results, rows),
            cheapest=cheapest_name(results, rows),
            looks=looks(row.name for row in rows if not row.is_baseline),
            baseline_look=BASELINE_LOOK,
            groups=[
                (title, [f for f in figures if f.group == key])
                for key, title in GROUPS.items()
                if any(f.group == key for f in figures)
            ],
            comparisons=[_whole(c, _COMPARISON) for c in comparisons(results)],
            candidates={
                k: _whole(c, _CANDIDATE) for k, c in mapping(results.get("candidates")).items()
            },
            best_val=best_val,
            searched=searched_methods(results),
            search_heads=SEARCH_HEADS,
            search_cost=search_cost(results),
            nll_or_rouge=lambda metric: (
                words.rouge if str(metric).startswith("rouge") else words.nll
            ),
            examples=examples,
            example_rows=[by_name[name] for name in examples.names],
            splits=split_table(results),
            split_columns=_SPLIT_COLUMNS,
            overlap=words.flatten(mapping(dig(results, "data", "overlap"))),
            study=study_sections(results),
            environment=words.flatten(mapping(results.get("environment"))),
            notes=[*map(str, results.get("notes") or ()), *run.notes],
            is_partial=results.get("status") == "partial",
        )
    )


def in_order(rows: list[Row]) -> list[Row]:
    """Rows from the lowest test NLL; those without any keep their order at the end."""

    def order(row: Row) -> float:
        value = row.value("test_nll")
        return math.inf if value is None else value

    return sorted(rows, key=order)


def _adapter(run: Run, method: str | None) -> str | None:
    """Where the recommended method's adapter lies in the run's folder, if it does."""
    candidate = run.chosen.get(str(method))
    place = f"candidates/{candidate}/adapter"
    return place if candidate is not None and (run.folder / place).is_dir() else None


def headline_facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Base, task, sizes and device: what the answer holds for."""
    source = dig(results, "study", "task", "source")
    facts = [
        ("Base", dig(results, "study", "base")),
        ("Task", words.plain(source) if source is not None else None),
        ("Training examples", _counted(dig(results, "data", "train", "examples"))),
        ("Test examples", _counted(dig(results, "data", "test", "examples"))),
        ("Device", dig(results, "environment", "device")),
        ("Finished", dig(results, "environment", "finished")),
    ]
    return [(label, str(value)) for label, value in facts if value is not None]


def split_table(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Counts by split, for the splits that were read."""
    found = {s: mapping(dig(results, "data", s)) for s in ("train", "validation", "test")}
    return {split: counts for split, counts in found.items() if counts}


def study_sections(results: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The resolved study by section: general settings first, then each mapping."""
    study = mapping(results.get("study"))
    general = {k: v for k, v in study.items() if not isinstance(v, Mapping)}
    sections = [("study", words.flatten(general))] if general else []
    sections += [(k, words.flatten(v)) for k, v in study.items() if isinstance(v, Mapping)]
    return sections


def best_val(candidate: Mapping[str, Any]) -> float | None:
    """A candidate's lowest validation NLL."""
    losses = [number(mapping(e).get("val_nll")) for e in candidate.get("epochs") or ()]
    return min((loss for loss in losses if loss is not None), default=None)


def _whole(entry: object, keys: tuple[str, ...]) -> dict[str, Any]:
    """The entry with None for what a partial result lacks."""
    return {key: mapping(entry).get(key) for key in keys}


def _counted(value: object) -> str | None:
    return None if value is None else words.count(value)

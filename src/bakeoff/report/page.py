"""The page: one file that asks nothing of the network."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bakeoff.decide.representative import own_score
from bakeoff.decide.verdicts import best_val_nll
from bakeoff.formatting import MISSING, scale_of, shown_count, shown_whole
from bakeoff.page import words
from bakeoff.page.figure import Figure
from bakeoff.page.frame import frame, make_environment
from bakeoff.page.palette import BASELINE_LOOK, looks
from bakeoff.report.also import also_tables
from bakeoff.report.answer import Answer
from bakeoff.report.claims import OTHER_SETS, claims_by_place, touched_claims
from bakeoff.report.confusion import confusion_tables
from bakeoff.report.data import LENGTH_HEADS, length_advice, length_rows, overlap_facts
from bakeoff.report.deploying import deployments
from bakeoff.report.examples import Browser
from bakeoff.report.factors import PART_HEADS, factors_view
from bakeoff.report.figures.groups import CURVE_GROUP, FOLDED, GROUPS
from bakeoff.report.learning_curve import CURVE_LEAD, curve_table
from bakeoff.report.load import Run
from bakeoff.report.searched import SEARCH_HEADS, search_cost, searched_methods
from bakeoff.report.table import (
    Row,
    Write,
    baseline_label,
    build_marks,
    cheapest_tag,
    metric_label,
    shown_columns,
)
from bakeoff.runs.places import candidate_folder
from bakeoff.runs.records import Comparison, Results, SplitRecord
from bakeoff.runs.settings import bases_of, setting

_PARAMETERS = re.compile(r"([0-9][0-9,]*) parameters")
"""In what a base says of itself."""
_SPLIT_COLUMNS = {
    "examples": "Examples",
    "tokens_raw": "Tokens, raw",
    "tokens_padded": "Tokens, padded",
    "tokens_supervised": "Tokens, supervised",
    "documents_truncated": "Rows cut to fit",
    "rows_skipped": "Rows skipped",
}


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One paired comparison as a row of its table, its sides by their labels."""

    comparison: Comparison
    title: str
    first: str
    second: str
    write: Write
    margin: str


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
    claims_of = claims_by_place(results, figures)
    return (
        make_environment()
        .get_template("report.html.j2")
        .render(
            **frame("report.js", "examples.js"),
            name=run.name,
            meta=headline_facts(results),
            evidence=evidence(results),
            answer=answer,
            adapter=_adapter(run, answer.method),
            own_score=_own_score(run, answer.method),
            rows=in_order(results, rows),
            columns=shown_columns(results.task.metrics, rows),
            primary=results.primary,
            row_metric=run.row_metric,
            metric_label=metric_label,
            marks=build_marks(results, rows),
            cheapest=cheapest_tag(results, rows),
            looks=looks(row.name for row in rows if not row.is_baseline),
            baseline_look=BASELINE_LOOK,
            groups=[
                (title, _is_folded(run, key), [f for f in figures if f.group == key])
                for key, title in GROUPS.items()
                if any(f.group == key for f in figures)
            ],
            comparisons=compared(results),
            family=family_words(results, answer),
            level=f"{100 * (0.95 if results.decision is None else results.decision.level):.3g}",
            confusions=confusion_tables(results),
            also=also_tables(results),
            factors=factors_view(results),
            part_heads=PART_HEADS,
            curve=curve_table(results),
            curve_lead=CURVE_LEAD,
            curve_figures=[figure for figure in figures if figure.group == CURVE_GROUP],
            claims_of=claims_of,
            claims_of_other_sets=claims_of.get(OTHER_SETS, ()),
            claims=touched_claims(run, claims_of),
            output_word=results.task.output_word,
            candidates=results.candidates,
            best_val=best_val_nll,
            searched=searched_methods(results),
            search_heads=SEARCH_HEADS,
            search_cost=search_cost(results),
            examples=examples,
            example_rows=[by_name[name] for name in examples.names],
            splits=split_table(results),
            split_columns=_SPLIT_COLUMNS,
            overlap=overlap_facts(results.data.overlap),
            lengths=length_rows(results),
            length_heads=LENGTH_HEADS,
            length_advice=length_advice(results),
            study=study_sections(results),
            environment=words.flatten(asdict(results.environment)),
            notes=[*results.notes, *run.notes],
            unfinished="running" if run.is_running else "partial" * (results.status == "partial"),
        )
    )


def in_order(results: Results, rows: Sequence[Row]) -> list[Row]:
    """Rows from the best primary result; those without any keep their order at the end."""
    sign = -1.0 if results.primary.higher_is_better else 1.0

    def order(row: Row) -> float:
        value = row.value(results.primary.name)
        return math.inf if value is None else sign * value

    return sorted(rows, key=order)


def compared(results: Results) -> list[Compared]:
    """The comparisons on the test set, those by the deciding metric first."""
    metrics = {metric.name: metric for metric in results.task.metrics}
    labels = {name: baseline_label(name, record) for name, record in results.baselines.items()}
    found = []
    for one in sorted(results.comparisons, key=lambda c: c.metric != results.primary.name):
        metric = metrics.get(one.metric)
        if one.set != "test" or metric is None:
            continue
        first, second = (labels.get(name, name) for name in (one.a, one.b))
        found.append(
            Compared(
                comparison=one,
                title=metric_label(metric),
                first=first,
                second=second,
                write=scale_of(metric.unit).write,
                margin=_margin(one, metric.unit),
            )
        )
    return found


def _margin(one: Comparison, unit: str) -> str:
    return MISSING if one.margin is None else f"{scale_of(unit).factor * one.margin:.3g}"


def family_words(results: Results, answer: Answer) -> str:
    """How the table of comparisons is to be read.

    Args:
        results: the study's. answer: what is said of it.
    """
    if results.decision is None:
        return (
            "First minus second, by the rules of an earlier version: paired bootstrap over test "
            "rows and seeds; p and interval corrected (Holm) for the number of pairs."
        )
    pairs = f"{100 * results.decision.level:.3g}\u00a0%"
    return (
        "First minus second; the verdict speaks of the first. Verdicts and p hold for all pairs of "
        f"a metric together at the {pairs} level, corrected step by step (Holm). Low and high are "
        "at alpha / K for K pairs (Bonferroni), which is stricter: a pair may be better or worse "
        "while they hold zero. The recommendation is a family of its own "
        f"{answer.level}: a method may be recommended as the best where one of its "
        "pairs reads undecided."
    )


def _adapter(run: Run, method: str | None) -> str | None:
    """Where in the run's folder the recommended method's adapter is, if it is there."""
    candidate = run.chosen.get(str(method))
    if candidate is None:
        return None
    place = candidate_folder(run.folder, run.results, candidate) / "adapter"
    return place.relative_to(run.folder).as_posix() if place.is_dir() else None


def _own_score(run: Run, method: str | None) -> str | None:
    """The test score of the very run whose adapter is named, where there are several."""
    candidate = run.chosen.get(str(method))
    if candidate is None or len(run.results.methods[str(method)].seeds) < 2:
        return None
    value = own_score(run.results, candidate)
    metric = run.results.primary
    return None if value is None else f"{metric.title} {scale_of(metric.unit).write(value)}"


def _is_folded(run: Run, group: str) -> bool:
    """Whether a group of figures is shown once it is asked for; curves are why one looks live."""
    return group in FOLDED and not (run.is_running and group == "history")


def headline_facts(results: Results) -> list[tuple[str, str]]:
    """Base, task, sizes and device: what the answer holds for."""
    facts = [
        ("Base", bases_of(results.study)),
        ("Task", setting(results.study, "task.source")),
        ("Training examples", shown_whole(results.data.train.examples)),
        ("Test examples", shown_whole(results.data.test.examples)),
        ("Device", results.environment.device),
        ("Finished", results.environment.finished),
    ]
    return [(label, words.plain(value)) for label, value in facts if value]


def evidence(results: Results) -> str:
    """What the answer rests on: the base's size, the test rows and the seeds."""
    found = _PARAMETERS.search(results.environment.base)
    seeds = sorted({len(method.seeds) for method in results.methods.values()})
    parts = [
        f"{shown_count(int(found[1].replace(',', '')))} parameters" if found else "",
        f"{shown_whole(results.data.test.examples)} test rows",
        f"{' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} "
        f"seed{'' if seeds[-1] == 1 else 's'}"
        if seeds
        else "",
    ]
    return ", ".join(part for part in parts if part)


def split_table(results: Results) -> dict[str, SplitRecord]:
    """Counts by split."""
    data = results.data
    return {"train": data.train, "validation": data.validation, "test": data.test}


def study_sections(results: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    """The resolved study by section: general settings first, then each mapping."""
    study = results.study
    general = {k: v for k, v in study.items() if not isinstance(v, Mapping)}
    sections = [("study", words.flatten(general))] if general else []
    sections += [(k, words.flatten(v)) for k, v in study.items() if isinstance(v, Mapping)]
    if results.methods:
        sections.append(("where each method runs", deployments(results)))
    return sections

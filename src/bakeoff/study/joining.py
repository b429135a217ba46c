"""A crossed study's results, put together from the runs of its cells.

Each cell is a run with a folder and records of its own; what is read here is what they wrote.
Figures of one run (costs, curves, a search) are taken over as they are. Whatever compares runs is
judged again, over all cells at once, on the test rows that all of them share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bakeoff.decide.factors import factors_sentence
from bakeoff.decide.judged import MetricJudgement
from bakeoff.decide.recommendation import recommend
from bakeoff.formatting import join
from bakeoff.runs.factors import CellRecord, FactorsRecord
from bakeoff.runs.places import CELLS
from bakeoff.runs.records import (
    BaselineRecord,
    Estimate,
    MethodRecord,
    Recommendation,
    Results,
    SearchRecord,
    TaskRecord,
)
from bakeoff.study.cells import TEST, OpenedCell, deciding_metric, one_tokenizer
from bakeoff.study.crossing import BITS_PER_BYTE, PER_TOKEN
from bakeoff.study.joined_judging import (
    JoinedSet,
    JudgedCells,
    across,
    comparable,
    decision_across,
    join_sets,
    judge_across,
    warnings_across,
    with_factors,
)
from bakeoff.study.joined_scores import baseline_names, folder_of, read_cells, read_scores
from bakeoff.study.judged_notes import JUDGED_ABOVE, judge_notes
from bakeoff.study.set_records import metric_records
from bakeoff.study.study import Study


def join_results(
    study: Study,
    place: Path,
    opened: Mapping[str, OpenedCell],
    *,
    complete: bool,
    notes: Sequence[str] = (),
    judged: JudgedCells | None = None,
) -> Results | None:
    """Puts together what the cells have found so far.

    Args:
        study: crossed. place: its folder. opened: all cells. complete: whether nothing is left.
        notes: what a reader must know besides. judged: what a judge said of all answers, if known.

    Returns:
        None while no cell has results.
    """
    cells = read_cells(place, opened)
    if not cells:
        return None
    joining = _Joining(study, place, opened, cells, judged)
    return joining.results(complete=complete, notes=notes)


class _Joining:
    """One set of results in the making.

    Args:
        study, place, opened, judged: see ``join_results``.
        cells: by label the results that are there.
    """

    def __init__(
        self,
        study: Study,
        place: Path,
        opened: Mapping[str, OpenedCell],
        cells: Mapping[str, Results],
        judged: JudgedCells | None,
    ) -> None:
        self.judged = judged
        self.record = None if judged is None else judged.record
        self.study, self.place = study, place
        self.opened, self.cells = opened, cells
        self.first = next(iter(cells.values()))
        self.deciding = deciding_metric(study, opened)
        self.metrics = comparable(next(iter(opened.values())).task.metrics, opened)
        self.names = baseline_names(study, cells, opened)

    def results(self, *, complete: bool, notes: Sequence[str]) -> Results:
        """All of them, with the recommendation."""
        methods, baselines = self._methods(), self._baselines()
        decision = decision_across(
            self.study, self.deciding, self.metrics, methods, baselines, self.record
        )
        margins = {name: margin.value for name, margin in decision.margins.items()}
        joined = self._joined(TEST)
        if self.judged is not None:
            joined = joined.with_judge(self.judged.statistics)
        judged = judge_across(joined, margins, decision.level)
        warnings = [*warnings_across(joined, judged, self.deciding)]
        also: dict[str, dict[str, MetricJudgement]] = {}
        for name in self.study.also:
            one = self._joined(name)
            given = self.study.options.decision.margin
            also[name] = judge_across(one, given, decision.level)
            warnings += warnings_across(one, also[name], self.deciding)
        shown = {
            name: replace(record, test=_estimates(judged, name), also_test=_also(also, name))
            for name, record in methods.items()
        }
        known = {
            name: replace(record, test=_estimates(judged, name), also_test=_also(also, name))
            for name, record in baselines.items()
        }
        factors = self._factors(joined, decision.level)
        record = replace(
            self.first,
            status="complete" if complete else "partial",
            study=self.study.resolved,
            environment=self._environment(),
            task=self._task(),
            baselines=known,
            methods=shown,
            candidates={k: v for one in self.cells.values() for k, v in one.candidates.items()},
            comparisons=tuple(
                comparison
                for one in (judged, *also.values())
                for found in one.values()
                for comparison in found.comparisons
            ),
            decision=replace(decision, warnings=(*decision.warnings, *warnings)),
            recommendation=Recommendation(method=None, verdict="undecided", why=""),
            search=self._search(),
            also_test=self._sets(),
            learning_curve={
                k: v for one in self.cells.values() for k, v in one.learning_curve.items()
            },
            judge=self.record,
            factors=factors,
            notes=(
                *self._notes(factors),
                *notes,
                *judge_notes(self.record),
                *(() if self.judged is None else self.judged.notes),
                *self._cells_notes(),
            ),
        )
        return replace(record, recommendation=recommend(record))

    def _joined(self, name: str) -> JoinedSet:
        scored = {
            label: read_scores(
                folder_of(self.place, label), results, self.opened[label].rows[name], name
            )
            for label, results in self.cells.items()
        }
        return join_sets(scored, self.opened, name, self.names)

    def _baselines(self) -> dict[str, BaselineRecord]:
        found = {}
        for (label, plain), name in self.names.items():
            record, cell = self.cells[label].baselines[plain], self.opened[label]
            title = record.title or plain
            found[name] = replace(
                record,
                title=title if name == plain else cell.cell.place.variant(title),
                validation=self._across(record.validation, cell),
                cell=label,
                plain_name=plain,
            )
        return found

    def _methods(self) -> dict[str, MethodRecord]:
        """By the study's order of methods, then of cells."""
        found: dict[str, MethodRecord] = {}
        for plain in self.study.options.methods:
            for label, results in self.cells.items():
                cell = self.opened[label]
                place = cell.cell.place
                for name in (place.variant(plain), plain):
                    if (record := results.methods.get(name)) is None:
                        continue
                    is_crossed = name != plain
                    found[name] = replace(
                        record,
                        validation=self._across(record.validation, cell),
                        cell=label,
                        base=place.base if is_crossed else None,
                        template=place.template if is_crossed else None,
                        plain_name=plain,
                    )
        return found

    def _across(self, validation: Mapping[str, Estimate], cell: OpenedCell) -> dict[str, Estimate]:
        return across(validation, cell, [metric.name for metric in self.metrics])

    def _task(self) -> TaskRecord:
        return replace(self.first.task, metrics=metric_records(self.metrics, self.deciding))

    def _sets(self) -> dict[str, Any]:
        """The further test sets, by the metrics that compare."""
        found = {}
        cell = next(iter(self.opened.values()))
        for name, record in self.first.also_test.items():
            metrics = comparable(cell.also[name].metrics, self.opened)
            kept = metric_records(metrics, metrics[0].name)
            names = [metric.name for metric in metrics]
            margins = {k: v for k, v in record.margins.items() if k in names}
            outputs = {
                self.names.get((label, one), one): counted
                for label, results in self.cells.items()
                if name in results.also_test  # a cell that has not been gone on with lacks it
                for one, counted in results.also_test[name].outputs.items()
            }
            found[name] = replace(record, metrics=kept, margins=margins, outputs=outputs)
        return found

    def _environment(self) -> Any:
        """That of the first cell, with the bases and the time of all of them."""
        seconds: dict[str, float] = {}
        for one in self.cells.values():
            for stage, spent in one.environment.wall_seconds.items():
                seconds[stage] = round(seconds.get(stage, 0.0) + spent, 3)
        if self.judged is not None:
            seconds["judge"] = round(self.judged.seconds, 3)
            seconds["total"] = round(seconds.get("total", 0.0) + self.judged.seconds, 3)
        bases = list(dict.fromkeys(one.environment.base for one in self.cells.values()))
        prints = dict.fromkeys(one.environment.base_fingerprint for one in self.cells.values())
        return replace(
            self.first.environment,
            base=bases[0] if len(bases) == 1 else "; ".join(bases),
            base_fingerprint=", ".join(prints),
            started=min(one.environment.started for one in self.cells.values()),
            finished=max(one.environment.finished for one in self.cells.values()),
            wall_seconds=seconds,
        )

    def _search(self) -> SearchRecord | None:
        found = [one.search for one in self.cells.values() if one.search is not None]
        if not found:
            return None
        return replace(
            found[0],
            epochs_trained=sum(one.epochs_trained for one in found),
            epochs_full_grid=sum(one.epochs_full_grid for one in found),
            tokens_trained=sum(one.tokens_trained for one in found),
            tokens_full_grid=sum(one.tokens_full_grid for one in found),
        )

    def _factors(self, joined: JoinedSet, level: float) -> FactorsRecord:
        crossing = self.study.crossing
        assert crossing is not None
        levels = crossing.levels
        cells, places = {}, {}
        trained = [entry.name for entry in self.study.entries]
        for label, cell in self.opened.items():
            place, results = cell.cell.place, self.cells.get(label)
            cells[label] = CellRecord(
                base=place.base,
                template=place.template,
                folder=f"{CELLS}/{label}",
                status="waiting" if results is None else results.status,
                description=cell.description,
                base_fingerprint=cell.fingerprint,
                tokenizer=cell.tokenizer,
                tokens_supervised=cell.tokens_supervised,
                test_rows=len(cell.rows[TEST].numbers),
                test_tokens_raw=None if results is None else results.data.test.tokens_raw,
                test_tokens_supervised=(
                    None if results is None else results.data.test.tokens_supervised
                ),
                test_tokens_read=None if results is None else results.data.test.tokens_read,
                test_tokens_written=None if results is None else results.data.test.tokens_written,
                bits=cell.bits if math.isfinite(cell.bits) else None,
            )
            for plain in trained:
                places[place.variant(plain)] = (plain, place.base or "", place.template or "")
        record = FactorsRecord(
            levels={
                "method": tuple(trained),
                **({} if levels.bases is None else {"base": tuple(levels.bases)}),
                **({} if levels.templates is None else {"template": tuple(levels.templates)}),
            },
            bases={k: one.base for k, one in (levels.bases or {}).items()},
            templates=dict(levels.templates or {}),
            cells=cells,
            metric=self.deciding,
            level=level,
            rows=joined.rows,
            one_tokenizer=one_tokenizer(self.opened),
        )
        return with_factors(record, joined, places)

    def _notes(self, factors: FactorsRecord) -> list[str]:
        """What a reader of the whole must know."""
        found = [sentence] if (sentence := factors_sentence(factors)) else []
        if factors.left_out:
            found.append(
                f"{join(list(factors.left_out))} was not tested with every base and prompt, and "
                "has no part in what mattered"
            )
        if not factors.one_tokenizer:
            asked = self.study.options.decision.metric
            instead = ""
            if asked in PER_TOKEN:
                instead = f", and {BITS_PER_BYTE} decides in place of {asked}"
            found.append(
                "the bases have different tokenizers, whose tokens are not the same amount of "
                f"text, so that nothing is compared in nats per token{instead}"
                "; each base's own figures are in its folder below cells/"
            )
        first = next(iter(self.cells))
        found.append(
            f"lengths and counts of the data are those of {first}; other bases and prompts have "
            "their own, in their folders below cells/"
        )
        return found

    def _cells_notes(self) -> list[str]:
        """What the cells say, each sentence once, with the cells that say it."""
        said: dict[str, list[str]] = {}
        for label, results in self.cells.items():
            for note in results.notes:
                if note == JUDGED_ABOVE:
                    continue  # here it is
                said.setdefault(note, []).append(label)
        every = len(self.cells)
        return [
            note if len(labels) == every else f"{join(labels)}: {note}"
            for note, labels in said.items()
        ]


def _estimates(judged: Mapping[str, MetricJudgement], name: str) -> dict[str, Estimate]:
    return {
        metric: found.estimates[name] for metric, found in judged.items() if name in found.estimates
    }


def _also(
    also: Mapping[str, Mapping[str, MetricJudgement]], name: str
) -> dict[str, dict[str, Estimate]]:
    return {one: found for one, judged in also.items() if (found := _estimates(judged, name))}

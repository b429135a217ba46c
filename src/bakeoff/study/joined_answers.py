"""The judge of a crossed study: answers of all cells, compared with one answer to each row.

Each cell keeps its answers in its own folder. They are judged once all cells are run, with one
journal of calls, one bound and the same rows for all; against another answer in each cell, a score
of one base would say nothing beside that of another.

Axis letters: M rows that all cells share.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import DataError
from bakeoff.execution.archive import PREDICTIONS_FILE, SCORE_FILES
from bakeoff.execution.judging.asking import Contestant, Rows
from bakeoff.execution.judging.judging import Contest, Judging
from bakeoff.execution.stopping import StopSignals
from bakeoff.formatting import join
from bakeoff.metrics.judge import REFERENCE, Judge, JudgeOptions
from bakeoff.runs.arrays import read_arrays
from bakeoff.runs.folder import EXAMPLES_FILE
from bakeoff.runs.places import BASELINES, CANDIDATES
from bakeoff.runs.records import Results
from bakeoff.study.cells import TEST, OpenedCell
from bakeoff.study.joined_judging import JudgedCells
from bakeoff.study.joined_scores import (
    baseline_names,
    folder_of,
    read_cells,
    shared_rows,
    single_rows,
)
from bakeoff.study.study import Study
from bakeoff.tasks.contract import ZERO_SHOT


def judge_cells(
    study: Study,
    place: Path,
    opened: Mapping[str, OpenedCell],
    stop: StopSignals,
    *,
    progress: Callable[[int, int], None],
    warn: Callable[[str], None],
) -> JudgedCells:
    """Asks for what is missing, and scores all that was judged.

    Args:
        study: crossed, with a judge. place: its folder. opened: all cells. stop: when to end early.
        progress: rows done and in all. warn: shows what a reader must know at once.
    """
    started = time.perf_counter()
    options, notes = study.options.judge, list[str]()
    assert options is not None
    shared = shared_rows(opened, TEST)
    answers = _Answers(study, place, opened, shared, options)

    def note(text: str) -> None:
        notes.append(text)
        warn(text)

    judging = Judging(
        options=options,
        prices=study.options.prices,
        folder=place,
        stop=stop.ask,
        progress=progress,
        warn=warn,
        note=note,
    )
    with stop.deferred():
        verdicts = judging.judge(answers.contest, len(shared))
    found: dict[str, list[NDArray[Any]]] = {}
    if verdicts.contest is not None:
        preferred, against = verdicts.preferred(), verdicts.contest.against
        runs = [(one.run, one.name) for one in verdicts.contest.contestants]
        for run, name in [*runs, *([] if against == REFERENCE else [(against, against)])]:
            found.setdefault(name, []).append(answers.statistics(preferred.get(run, {})))
    return JudgedCells(
        record=verdicts.record,
        statistics=found,
        failed=verdicts.failed,
        seconds=time.perf_counter() - started,
        notes=tuple(notes),
    )


@dataclass
class _Answers:
    """What the cells have answered.

    Attributes:
        study, place, opened, options: see ``judge_cells``. shared: [M] numbers of rows.
        rows: those of them that are one row in every cell, which can be judged.
        cells: by label the results that are there. names: by (label, plain name) what a baseline is
            called in the study.
    """

    study: Study
    place: Path
    opened: Mapping[str, OpenedCell]
    shared: NDArray[np.int64]
    options: JudgeOptions
    rows: NDArray[np.int64] = field(init=False)
    cells: dict[str, Results] = field(init=False)
    names: dict[tuple[str, str], str] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = single_rows(self.opened, TEST, self.shared)
        self.cells = read_cells(self.place, self.opened)
        self.names = baseline_names(self.study, self.cells, self.opened)

    def contest(self) -> Contest:
        """Everything that wrote answers, against one of them or each row's right answer.

        Raises:
            DataError: what all is to be compared with is not there, or answers are missing.
        """
        baselines = {
            called: (label, f"{BASELINES}/{plain}")
            for (label, plain), called in self.names.items()
            if self._has_texts(label, f"{BASELINES}/{plain}")
        }
        against = self._against(baselines)
        found = [
            Contestant(run=name, name=name, answers=self._read(*where))
            for name, where in baselines.items()
            if name != against
        ]
        for label, results in self.cells.items():
            for name, record in results.methods.items():
                for id in record.candidates:
                    where = f"{CANDIDATES}/{id}"
                    eligible = results.candidates[id].state.is_eligible
                    if eligible and self._has_texts(label, where):
                        answers = self._read(label, where)
                        found.append(Contestant(run=id, name=name, answers=answers))
        tasks, right, indices = self._examples()
        is_shown = self.options.show_reference and against != REFERENCE
        return Contest(
            against=against,
            contestants=found,
            rows=Rows(
                tasks=tasks,
                references=[text if is_shown and text else None for text in right],
                against=right if against == REFERENCE else self._read(*baselines[against]),
            ),
            indices=indices,
        )

    def statistics(self, preferred: Mapping[int, float]) -> NDArray[Any]:
        """[M, 2] what the shared rows add; one that was not judged adds nothing.

        Args:
            preferred: by place among ``rows``, 0..1.
        """
        found_M = np.full(len(self.shared), np.nan)
        for row, value in preferred.items():
            found_M[np.searchsorted(self.shared, self.rows[row])] = value
        return Judge.statistics_of(found_M)

    def _against(self, baselines: Mapping[str, Any]) -> str:
        given, first = self.options.against, next(iter(self.opened))
        if given is not None:
            found = given if given in baselines else self.names.get((first, given), given)
            if found == REFERENCE or found in baselines:
                return found
            raise DataError(
                f"judge.against: {given} has no written answers to compare with; give one of "
                f"{join(sorted({REFERENCE, *baselines}))}"
            )
        asked = self.names.get((first, ZERO_SHOT.name))
        if asked in baselines:
            return str(asked)
        if not baselines:
            raise DataError(
                "judge.against: no baseline of this study writes answers to compare with; let "
                f"baselines have {ZERO_SHOT.name}, or give {REFERENCE}, each row's right answer"
            )
        return next(iter(baselines))

    def _has_texts(self, label: str, where: str) -> bool:
        scores = read_arrays(folder_of(self.place, label) / where / SCORE_FILES[TEST])
        return scores is not None and "empty" in scores

    def _read(self, label: str, where: str) -> list[str]:
        """The answers to ``rows``."""
        path = folder_of(self.place, label) / where / PREDICTIONS_FILE
        answers = {row.get("index"): str(row.get("prediction") or "") for row in _lines(path)}
        index = {int(n): i for i, n in enumerate(self.opened[label].rows[TEST].numbers)}
        places = [index[int(number)] for number in self.rows]
        if any(one not in answers for one in places):
            raise DataError(
                f"judge: {path} has no answer to some of {len(places)} test rows; remove "
                f"{path.parent} and run the same command again, which makes it again"
            )
        return [answers[one] for one in places]

    def _examples(self) -> tuple[list[str], list[str], list[int]]:
        """What ``rows`` ask, what is right, and their indices, as the first cell has them.

        These are the indices that the report shows.
        """
        label = next(iter(self.cells), next(iter(self.opened)))
        path = folder_of(self.place, label) / EXAMPLES_FILE
        by_number = {row.get("row"): row for row in _lines(path)}
        found = [by_number.get(int(number)) for number in self.rows]
        known = [row for row in found if row is not None]
        if len(known) < len(found):
            raise DataError(
                f"judge: {path} lacks some of {len(found)} test rows; remove it and run the same "
                "command again, which writes it again"
            )
        tasks = [str(row.get("input") or "") for row in known]
        right = [str(row.get("reference") or "") for row in known]
        return tasks, right, [int(row["index"]) for row in known]


def _lines(path: Path) -> Sequence[dict[str, Any]]:
    """The rows of a JSON-lines file; none where it is missing or torn."""
    try:
        text = path.read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.split("\n") if line]
    except (OSError, ValueError, RecursionError):
        return []
    return rows if all(isinstance(row, dict) for row in rows) else []

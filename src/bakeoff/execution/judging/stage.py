"""The judge's stage: kept answers in, scores of the metric ``judge`` and a record of it out.

Every score follows from the journal of calls, so that the stage may run as often as it likes: what
is known costs nothing, and a bound that was raised or a seed that was added asks for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bakeoff.decide.prices import PriceOptions
from bakeoff.engine.candidate import Candidate
from bakeoff.errors import DataError
from bakeoff.execution.archive import PREDICTIONS_FILE
from bakeoff.execution.judging.asking import Contestant, Rows
from bakeoff.execution.judging.judging import Contest, Judging
from bakeoff.execution.questions import Questions
from bakeoff.execution.scores import SetScores
from bakeoff.execution.stopping import StopSignals
from bakeoff.formatting import join
from bakeoff.metrics.base import is_judged
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.metrics.judge import REFERENCE, JudgeOptions
from bakeoff.tasks.contract import ZERO_SHOT


class JudgeStage:
    """Judges whatever was tested.

    Args:
        options: the study's. prices: what tokens cost where the judge has no prices of its own.
        questions: the run's. stop: when it is to end early.
    """

    def __init__(
        self,
        options: JudgeOptions,
        prices: PriceOptions,
        questions: Questions,
        stop: StopSignals,
    ) -> None:
        self._options, self._questions, self._stop = options, questions, stop
        self._bench, self._archive = questions.bench, questions.archive
        self._findings = questions.archive.findings
        self._prices = prices

    def run(self) -> None:
        """Asks for what is missing, and scores all that was judged.

        A judge that cannot be asked to the end leaves a note and the study partial.
        """
        with self._stop.deferred():
            self._run()

    def _run(self) -> None:
        questions, findings = self._questions, self._findings
        judging = Judging(
            options=self._options,
            prices=self._prices,
            folder=self._archive.folder.path,
            stop=self._stop.ask,
            progress=lambda done, total: questions.view.count("judge", done, total),
            warn=questions.view.on_note,
            note=questions.note,
        )
        verdicts = judging.judge(self._contest, len(self._bench.data.splits["test"]))
        findings.failed_judge = verdicts.failed
        self._keep_scores(verdicts.preferred())
        findings.judge = verdicts.record

    def _contest(self) -> Contest:
        against = self._against()
        contestants = self._contestants(against)
        return Contest(against=against, contestants=contestants, rows=self._rows(against))

    def _against(self) -> str:
        """What everything is compared with.

        Raises:
            DataError: it is not there.
        """
        known = {REFERENCE, *(name for name in self._findings.baselines if self._has_texts(name))}
        given = self._options.against
        if given is not None:
            if given not in known:
                raise DataError(
                    f"judge.against: {given} has no written answers to compare with; give one of "
                    f"{join(sorted(known))}"
                )
            return given
        names = [b.name for b in self._bench.baselines if b.name in known]
        if ZERO_SHOT.name in names:
            return ZERO_SHOT.name
        if not names:
            raise DataError(
                "judge.against: no baseline of this study writes answers to compare with; let "
                f"baselines have {ZERO_SHOT.name}, or give {REFERENCE}, each row's right answer"
            )
        return names[0]

    def _has_texts(self, name: str) -> bool:
        scored = self._findings.baselines[name]
        return bool(scored) and scored[0].empty is not None

    def _tested(self) -> list[Candidate]:
        scores = self._findings.test_scores
        return [
            candidate
            for candidate in self._findings.schedule.finals
            if candidate.state.is_eligible and candidate.id in scores
        ]

    def _from_elsewhere(self) -> list[tuple[str, str]]:
        """(id, entrant's name) of every tested run that was made elsewhere."""
        return [
            (run.id, entrant.entry.name)
            for entrant in self._bench.entrants
            for run in entrant.runs
            if run.id in self._findings.test_scores
        ]

    def _contestants(self, against: str) -> list[Contestant]:
        """All that wrote answers; of a baseline with several draws the first is kept."""
        found = [
            Contestant(run=name, name=name, answers=self._answers(f"baselines/{name}"))
            for name in self._findings.baselines
            if name != against and self._has_texts(name)
        ]
        own = [(candidate.id, candidate.method_name) for candidate in self._tested()]
        for id, name in (*own, *self._from_elsewhere()):
            if self._findings.test_scores[id].empty is not None:
                answers = self._answers(f"candidates/{id}")
                found.append(Contestant(run=id, name=name, answers=answers))
        return found

    def _answers(self, place: str) -> list[str]:
        rows = self._archive.folder.read_lines(f"{place}/{PREDICTIONS_FILE}") or []
        answers = {row.get("index"): str(row.get("prediction") or "") for row in rows}
        number = len(self._bench.data.splits["test"])
        if any(row not in answers for row in range(number)):
            path = self._archive.folder.path / place / PREDICTIONS_FILE
            raise DataError(
                f"judge: {path} has no answer to some of {number} test rows; remove {path.parent} "
                "and run the same command again, which makes it again"
            )
        return [answers[row] for row in range(number)]

    def _rows(self, against: str) -> Rows:
        test = self._bench.data.splits["test"]
        right = [found[0] if found else "" for found in test.references]
        fixed = right if against == REFERENCE else self._answers(f"baselines/{against}")
        is_shown = self._options.show_reference and against != REFERENCE
        return Rows(
            tasks=list(test.shown),
            references=[text if is_shown and text else None for text in right],
            against=fixed,
        )

    def _keep_scores(self, preferred: Mapping[str, Mapping[int, float]]) -> None:
        """Writes the metric's statistics beside those of the others, where they are new.

        Args:
            preferred: by run, then by row.
        """
        findings, number = self._findings, len(self._bench.data.splits["test"])
        for baseline in self._bench.baselines:
            scored = findings.baselines.get(baseline.name)
            if scored is None or baseline.name not in preferred:
                continue
            first = self._with_judge(scored[0], preferred[baseline.name], number)
            if first is None:
                continue
            validation = findings.baselines_validation[baseline.name]
            draws = [
                {"test": test, "validation": before}
                for test, before in zip([first, *scored[1:]], validation, strict=True)
            ]
            answers = self._answers(f"baselines/{baseline.name}")
            shots = findings.baseline_shots.get(baseline.name)
            self._archive.keep_baseline(baseline, answers, *draws, shots=shots)
        for candidate in self._tested():
            if candidate.id not in preferred:
                continue
            scores = findings.test_scores[candidate.id]
            new = self._with_judge(scores, preferred[candidate.id], number)
            if new is None:
                continue
            sets = {"test": new}
            if candidate.id in findings.validation_scores:
                sets["validation"] = findings.validation_scores[candidate.id]
            answers = self._answers(f"candidates/{candidate.id}")
            self._archive.keep_scores(candidate, answers, sets)
        for id, _ in self._from_elsewhere():
            if id not in preferred:
                continue
            new = self._with_judge(findings.test_scores[id], preferred[id], number)
            if new is not None:
                self._archive.rescore_entrant(id, self._answers(f"candidates/{id}"), new)

    def _with_judge(
        self, scores: SetScores, preferred: Mapping[int, float], number: int
    ) -> SetScores | None:
        """The scores with the metric's; None where they have them already."""
        [metric] = [metric for metric in self._bench.task.metrics if is_judged(metric)]
        found_N = np.full(number, np.nan)
        for row, value in preferred.items():
            found_N[row] = value
        expected = self._bench.data.splits["test"].expected
        statistics = metric.statistics(ModelOutputs(preferred_N=found_N), expected)
        before = scores.statistics.get(metric.name)
        if before is not None and np.array_equal(before, statistics):
            return None
        return replace(scores, statistics={**scores.statistics, metric.name: statistics})

"""The judge's stage: kept answers in, scores of the metric ``judge`` and a record of it out.

Every score follows from the journal of calls, so that the stage may run as often as it likes: what
is known costs nothing, and a bound that was raised or a seed that was added asks for the rest.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from bakeoff.decide.prices import PriceOptions
from bakeoff.engine.candidate import Candidate
from bakeoff.errors import ConfigError, DataError, EndpointError
from bakeoff.execution.archive import PREDICTIONS_FILE
from bakeoff.execution.judging.asking import Asking, Contestant, Pair, Rows, preference
from bakeoff.execution.judging.client import ChatClient
from bakeoff.execution.judging.journal import CallJournal
from bakeoff.execution.judging.statistics import Judged, human_votes, reliability
from bakeoff.execution.judging.votes import VOTES_FILE, KeptAnswers, placed_votes
from bakeoff.execution.questions import Questions
from bakeoff.execution.scores import SetScores
from bakeoff.execution.stopping import StopSignals
from bakeoff.formatting import join
from bakeoff.metrics.base import is_judged
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.metrics.judge import REFERENCE, JudgeOptions
from bakeoff.runs.judged import HumanVotes, JudgeRecord, Tally
from bakeoff.tasks.contract import ZERO_SHOT

_log = logging.getLogger(__name__)
_MOST_UNREAD: Final = 0.2
"""Of the answers, beyond which it is flagged that they hold no verdict."""
Preferences = dict[str, dict[int, tuple[float, float]]]
"""By run, then by row: what each order prefers."""


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
        own = options.prices
        self._prices = own if own.is_known else prices.tokens
        self._currency = prices.currency

    def run(self) -> None:
        """Asks for what is missing, and scores all that was judged.

        A judge that cannot be asked to the end leaves a note and the study partial.
        """
        with self._stop.deferred():
            self._run()

    def _run(self) -> None:
        findings = self._findings
        journal = CallJournal(self._archive.folder.path)
        findings.failed_judge = False
        against, why = "", None
        preferences: Preferences = {}
        contestants: list[Contestant] = []
        pairs: list[Pair] = []
        asking: Asking | None = None
        try:
            against = self._against()
            contestants = self._contestants(against)
            cancelled = threading.Event()
            asking = Asking(
                self._options,
                self._prices,
                ChatClient(self._options, cancelled),
                cancelled,
                journal,
                stop=self._stop.ask,
                progress=lambda done, total: self._questions.view.count("judge", done, total),
            )
            for of_row in asking.run(self._rows(against), contestants):
                found = [(pair, preference(pair, journal)) for pair in of_row]
                # A row counts for all or for none.
                if all(said is not None for _, said in found):
                    for pair, said in found:
                        assert said is not None
                        preferences.setdefault(pair.contestant.run, {})[pair.row] = said
                        pairs.append(pair)
        except (EndpointError, DataError, ConfigError) as error:
            why = str(error)
            findings.failed_judge = True
            _log.exception("the judge was given up")
            # The record says it in the report, where a later call may take it back.
            self._questions.view.on_note(f"the judge was given up: {error}")
        self._keep_scores(against, contestants, preferences)
        why = why or (None if asking is None else asking.why_fewer)
        findings.judge = self._record(against, contestants, preferences, pairs, journal, why)

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

    def _keep_scores(
        self, against: str, contestants: Sequence[Contestant], preferences: Preferences
    ) -> None:
        """Writes the metric's statistics beside those of the others, where they are new."""
        findings, number = self._findings, len(self._bench.data.splits["test"])
        rows = {row for found in preferences.values() for row in found}
        preferred = {
            one.run: {row: sum(said) / 2 for row, said in preferences.get(one.run, {}).items()}
            for one in contestants
        }
        if against in findings.baselines:
            preferred[against] = dict.fromkeys(rows, 0.5)
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

    def _record(
        self,
        against: str,
        contestants: Sequence[Contestant],
        preferences: Preferences,
        pairs: Sequence[Pair],
        journal: CallJournal,
        why_fewer: str | None,
    ) -> JudgeRecord:
        judged: dict[tuple[str, str], Judged] = {}
        tallies: dict[str, list[int]] = {one.name: [0, 0, 0, 0] for one in contestants}
        for pair in pairs:
            said, tally = preferences[pair.contestant.run][pair.row], tallies[pair.contestant.name]
            if pair.keys is None:
                tally[3] += 1
                continue
            for value in said:
                tally[0 if value == 1.0 else 1 if value == 0.5 else 2] += 1
            # Equal answers of two seeds are one question.
            judged[pair.keys] = Judged(
                shown_first=said[0],
                shown_second=said[1],
                longer=len(pair.question.a.strip()) - len(pair.question.b.strip()),
            )
        found = reliability(list(judged.values()))
        flags, known = list(found.flags), len(journal.verdicts)
        if known and journal.unreadable > _MOST_UNREAD * known:
            flags.append(f"{journal.unreadable} of {known} of its answers hold no verdict")
        number = len(self._bench.data.splits["test"])
        rows = len({row for by_row in preferences.values() for row in by_row})
        if why_fewer is None and rows < (self._options.rows or number):
            why_fewer = "the judge gave no verdict on the others"
        return JudgeRecord(
            model=self._options.model,
            endpoint=self._options.endpoint,
            rubric=self._options.criteria,
            against=against,
            rows=rows,
            rows_of_test=number,
            why_fewer=why_fewer,
            pairs=found.pairs,
            calls=journal.requests,
            unreadable=journal.unreadable,
            failed=journal.failed,
            input_tokens=journal.input_tokens,
            output_tokens=journal.output_tokens,
            estimated_tokens=journal.has_estimates,
            cost=self._prices.of_tokens(journal.input_tokens, journal.output_tokens),
            currency=self._currency,
            consistent=found.consistent,
            by_position=found.by_position,
            first=found.first,
            longer=found.longer,
            length_correlation=found.length_correlation,
            tallies={
                name: Tally(wins=w, ties=t, losses=lost, identical=same)
                for name, (w, t, lost, same) in tallies.items()
            },
            human=self._human(against, contestants, preferences),
            flags=tuple(flags),
            by_place_too_often=found.by_place_too_often,
        )

    def _human(
        self, against: str, contestants: Sequence[Contestant], preferences: Preferences
    ) -> HumanVotes | None:
        """People's votes, where there are any, against the judge's."""
        path = votes_file(self._options, self._archive.folder.path)
        if path is None:
            return None
        try:
            votes, faults = placed_votes(path, self._kept_answers(against, contestants))
        except DataError as error:
            self._questions.note(str(error))
            return None
        scores: dict[str, dict[int, float]] = {}
        sums: dict[str, dict[int, list[float]]] = {}
        for one in contestants:
            for row, said in preferences.get(one.run, {}).items():
                scores.setdefault(one.run, {})[row] = sum(said) / 2
                sums.setdefault(one.name, {}).setdefault(row, []).append(sum(said) / 2)
        for name, by_row in sums.items():
            scores[name] = {row: sum(found) / len(found) for row, found in by_row.items()}
        rows = {row for by_row in preferences.values() for row in by_row}
        scores[against] = dict.fromkeys(rows, 0.5)
        return human_votes(votes, scores, len(faults), first=min(faults, default=None))

    def _kept_answers(self, against: str, contestants: Sequence[Contestant]) -> KeptAnswers:
        """What blind votes are matched with: of runs, of methods, and what all is compared with."""
        answers: dict[str, dict[str, Sequence[str]]] = {}
        for one in contestants:
            answers.setdefault(one.name, {})[one.run] = one.answers
            answers.setdefault(one.run, {})[one.run] = one.answers
        if against in self._findings.baselines:
            answers[against] = {against: self._answers(f"baselines/{against}")}
        return KeptAnswers(self._bench.data.splits["test"].shown, answers)


def votes_file(options: JudgeOptions, folder: Path) -> Path | None:
    """Where people's votes are; None where there are none."""
    if options.votes is not None:
        return Path(options.votes)
    path = folder / VOTES_FILE
    return path if path.is_file() else None

"""The test set: baselines, and once for each candidate that may be chosen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from bakeoff.engine.backends.memory import is_out_of_memory, release_memory
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import ScoreError, StoreError
from bakeoff.execution.archive import ERROR_FILE, Archive
from bakeoff.execution.failures import reason_of, traceback_of
from bakeoff.execution.findings import Findings
from bakeoff.execution.outputs import answers_of, ask
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.scores import SetScores
from bakeoff.formatting import scale_of
from bakeoff.methods.contract import ExecutionPath
from bakeoff.metrics.background import BackgroundScoring
from bakeoff.metrics.contract import Ask, ModelOutputs
from bakeoff.tasks.contract import Baseline
from bakeoff.types import RunState, Split

_log = logging.getLogger(__name__)


class Tester:
    """Scores candidates and baselines on the test set and keeps their predictions."""

    def __init__(
        self,
        bench: Workbench,
        findings: Findings,
        archive: Archive,
        view: ProgressView,
        slots: Mapping[str, int],
    ) -> None:
        """Args:
        bench, findings, archive, view: the run's.
        slots: candidates in one pass, by execution path, as in training.
        """
        self.bench = bench
        self.slots = slots
        self.findings = findings
        self.archive = archive
        self.view = view
        self.test = bench.data.splits["test"]
        self.metrics = bench.task.metrics

    def baselines(self) -> None:
        """What needs no training; one that fails fails alone."""
        with BackgroundScoring(self.metrics) as scoring:
            for baseline in self.bench.task.baselines:
                if baseline.name in self.findings.baselines:
                    continue
                try:
                    self._baseline(baseline, scoring)
                except StoreError:
                    raise
                except Exception as error:  # whatever it is, the methods are trained
                    self.findings.failed_baselines.add(baseline.name)
                    self.archive.keep_baseline_error(baseline.name, traceback_of(error))
                    self._note(
                        f"the baseline {baseline.title} failed: {reason_of(error)} (the whole "
                        f"error is in baselines/{baseline.name}/{ERROR_FILE})"
                    )

    def _baseline(self, baseline: Baseline, scoring: BackgroundScoring) -> None:
        splits = self.bench.data.splits
        if baseline.outputs is None:
            with Cohort(self.bench.base, [], 1) as cohort:
                [(validation, outputs)] = self._outcomes(
                    cohort, [0], scoring, f"{baseline.title} answers", validate=True
                )
        else:
            validation = baseline.outputs(splits["train"], splits["validation"])
            outputs = baseline.outputs(splits["train"], splits["test"])
        sets = {"test": self._scores(outputs, "test")}
        if validation is not None:
            sets["validation"] = self._scores(validation, "validation")
        for split, scores in sets.items():
            if (row := scores.bad_row()) is not None:
                self._note(
                    f"{baseline.title}: the score of {split} row {row} is not a finite number, so "
                    "it takes no part in the comparisons"
                )
                return
        self.archive.keep_baseline(
            baseline.name, answers_of(self.bench.task, outputs, self.test), sets
        )
        self.view.say(f"  {baseline.title:<28} {self._shown(sets['test'])}")

    def _scores(self, outputs: ModelOutputs, split: Split) -> SetScores:
        return SetScores.of(self.metrics, outputs, self.bench.data.splits[split].expected)

    def _shown(self, scores: SetScores) -> str:
        """The first two metrics that are there, for the terminal."""
        found = [(m, value) for m in self.metrics if (value := scores.value(m)) is not None]
        written = [f"{m.title} {scale_of(m.unit).write(value)}" for m, value in found[:2]]
        return f"test {', '.join(written)}"

    def candidates(self) -> None:
        """Every final candidate that ended well and is not tested yet, by execution path.

        Groups are made of all of them and tested whole, so that an interrupted test, taken up
        again, rounds as an undisturbed one. Where memory does not hold a group, each of it goes
        alone; a candidate that it does not hold alone has failed, and the rest is tested.
        """
        done = self.findings.test_scores
        eligible = [c for c in self.findings.schedule.finals if c.state.is_eligible]
        with BackgroundScoring(self.metrics) as scorer:
            for execution_path in ExecutionPath:
                here = [c for c in eligible if c.method.execution_path is execution_path]
                size = (
                    self.slots.get(execution_path.value) or self.bench.num_slots(here)
                    if here
                    else 1
                )
                for start in range(0, len(here), size):
                    group = here[start : start + size]
                    if any(candidate.id not in done for candidate in group):
                        self._test(group, scorer)

    def _test(self, group: Sequence[Candidate], scorer: BackgroundScoring) -> None:
        """Tests candidates in one pass; where that fails, each alone, so that one fails alone."""
        try:
            outcomes = self._pass(group, scorer)
        except StoreError:
            raise
        except Exception as error:  # whatever it is, the others are tested
            failure: Exception | None = error
        else:
            failure = None
        self.view.clear()
        if failure is not None:
            is_short = is_out_of_memory(failure)
            if len(group) == 1:
                self._fail(group[0], failure)
                return
            # The error holds the cohort, and its memory with it.
            failure = None
            release_memory()
            if is_short:
                note = (
                    f"memory is too small to test {len(group)} candidates in one pass; each of "
                    f"{', '.join(candidate.id for candidate in group)} goes alone"
                )
                self._note(note)
            for candidate in group:
                if candidate.id not in self.findings.test_scores:
                    self._test([candidate], scorer)
            return
        for candidate, (validation, outputs) in zip(group, outcomes, strict=True):
            try:
                sets = {"test": self._scores(outputs, "test")}
                if validation is not None:
                    sets["validation"] = self._scores(validation, "validation")
                for split, scores in sets.items():
                    if (row := scores.bad_row()) is not None:
                        raise ScoreError(
                            f"{split} row {row} of method {candidate.method_name}, seed "
                            f"{candidate.seed}: its score is not a finite number"
                        )
                self.archive.keep_scores(
                    candidate, answers_of(self.bench.task, outputs, self.test), sets
                )
            except StoreError:
                raise
            except Exception as error:
                self._fail(candidate, error)
                continue
            _log.info("%s: tested, %s", candidate.id, self._shown(sets["test"]))
            self.view.say(f"  {candidate.id:<28} {self._shown(sets['test'])}")

    def _fail(self, candidate: Candidate, error: Exception) -> None:
        """Marks a candidate that cannot be tested; what it was trained to stays on the disk.

        So the next call only tests it.
        """
        candidate.state = RunState.FAILED
        candidate.reason = f"testing failed: {reason_of(error)}"
        self.archive.keep_error(candidate, traceback_of(error))
        self.view.on_end(candidate)
        _log.error("%s: %s", candidate.id, candidate.reason)

    def _pass(
        self, group: Sequence[Candidate], scorer: BackgroundScoring
    ) -> list[tuple[ModelOutputs | None, ModelOutputs]]:
        methods = list(dict.fromkeys(c.method for c in group))
        with ExitStack() as stack:
            cohort = Cohort(self.bench.base, methods, len(group))
            for slot, candidate in enumerate(group):
                cohort.seat(slot, candidate.method, self.archive.tensors_of(candidate))
            stack.enter_context(cohort)
            names = ", ".join(dict.fromkeys(c.method_name for c in group))
            return self._outcomes(
                cohort,
                list(range(len(group))),
                scorer,
                f"answers: {names}",
                validate=Ask.CHOICE in self.bench.task.asks,
            )

    def _outcomes(
        self,
        cohort: Cohort,
        slots: Sequence[int],
        scoring: BackgroundScoring,
        title: str,
        *,
        validate: bool,
    ) -> list[tuple[ModelOutputs | None, ModelOutputs]]:
        """For each slot what its candidate gives for the validation and the test set.

        Args:
            validate: whether the validation set is asked as well, but for texts: those take long.
        """

        def asked(split: Split, asks: frozenset[Ask]) -> list[ModelOutputs]:
            part = self.bench.data.splits[split]
            given = ask(
                cohort,
                slots,
                part,
                self.bench.plans[split],
                asks,
                self.bench.generation,
                scoring,
                progress=lambda what, done, total: self.view.count(title, done, total),
                note=self._note,
            )
            return [self.bench.task.read_outputs(outputs, part) for outputs in given]

        asks = self.bench.task.asks
        before: Sequence[ModelOutputs | None] = [None] * len(slots)
        if validate:
            before = asked("validation", asks - {Ask.TEXT})
        return list(zip(before, asked("test", asks), strict=True))

    def _note(self, text: str) -> None:
        """Keeps a note for the report, and shows it."""
        _log.warning("%s", text)
        self.archive.keep_note(text)
        self.view.on_note(text)

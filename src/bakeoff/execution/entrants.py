"""Entrants from elsewhere, asked and scored by the code that tests a study's own candidates."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bakeoff.data.batches import BatchPlan
from bakeoff.data.taskdata import SplitData
from bakeoff.engine.backends.memory import release_memory
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.entrants import Checkpoint, Entrant, EntrantRun
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import DataError, ScoreError, StoreError
from bakeoff.execution.archive import RECORD_FILE, Archive
from bakeoff.execution.failures import reason_of, traceback_of
from bakeoff.execution.findings import Findings
from bakeoff.execution.outputs import answers_of
from bakeoff.execution.questions import Questions
from bakeoff.execution.scores import SetScores
from bakeoff.execution.shared_runs import end_if_alone
from bakeoff.metrics.base import is_judged, missing_outputs
from bakeoff.metrics.contract import Ask, Metric, ModelOutputs
from bakeoff.runs.arrays import read_arrays
from bakeoff.runs.folder import damaged
from bakeoff.runs.reading import from_json
from bakeoff.runs.records import CandidateRecord, SourceRecord
from bakeoff.tasks.contract import Task
from bakeoff.tasks.preparation.known import with_found
from bakeoff.types import RunState, Split

_log = logging.getLogger(__name__)
_OF_TOKENS = "tokens_N"
"""What a metric reads that means something under one tokenizer only."""


def ask_entrants(
    questions: Questions, findings: Findings, further: Mapping[str, Questions]
) -> None:
    """Tests every run of every entrant that has no scores for what its files are now.

    One that fails fails alone; the next call tries it again.

    Args:
        questions, findings: the run's. further: by further test set, who asks there. Predictions
            are answers to the study's own test rows, so they have no part in those.
    """
    for entrant in questions.bench.entrants:
        for note in entrant.notes:
            questions.view.on_note(note)
        for seed, run in enumerate(entrant.runs):
            worker = _Worker(questions, findings, further, entrant, run, seed)
            if not worker.take_up():
                worker.test()


@dataclass(frozen=True)
class _Worker:
    """Tests one run of an entrant."""

    questions: Questions
    findings: Findings
    further: Mapping[str, Questions]
    entrant: Entrant
    run: EntrantRun
    seed: int

    @property
    def archive(self) -> Archive:
        return self.questions.archive

    @property
    def bench(self) -> Workbench:
        return self.questions.bench

    def record(self, state: RunState, reason: str | None = None) -> CandidateRecord:
        """What is kept of the run, without its files."""
        return CandidateRecord(
            method=self.entrant.entry.name,
            learning_rate=None,
            seed=self.seed,
            state=state,
            best_epoch=None,
            epochs=(),
            reason=reason,
            made_with=self.archive.made_with,
            source=SourceRecord(path=self.entrant.entry.places[self.seed], sha256=self.run.sha256),
        )

    def take_up(self) -> bool:
        """Whether an earlier call has tested what the files are now, by all metrics of now."""
        kept = self.archive.folder.read_json(f"candidates/{self.run.id}/{RECORD_FILE}")
        place = self.archive.folder.path / "candidates" / self.run.id
        if kept is None:
            return False
        try:
            record = from_json(CandidateRecord, kept, where=str(place / RECORD_FILE))
        except StoreError as error:
            self.questions.note(f"{error}; {self.run.id} is tested again")
            return False
        if record.source is None or not record.state.is_eligible:
            return False
        if record.source.sha256 != self.run.sha256:
            self.questions.note(
                f"{self.run.place}: its content changed since {self.run.id} was tested; it is "
                "tested again"
            )
            return False
        if (fault := damaged(place, record.files)) is not None:
            self.questions.note(f"{fault}; {self.run.id} is tested again")
            return False
        found = {
            split: scores
            for split, part in self._parts.items()
            if (scores := _read(place / f"scores/{split}.npz", part)) is not None
        }
        if not self._is_whole(found):
            return False
        self.findings.records[self.run.id] = record
        self._file(found)
        return True

    @property
    def _sets(self) -> Mapping[str, Questions]:
        if self.run.answers is not None:
            return {}
        name = self.entrant.entry.name
        return {one: asks for one, asks in self.further.items() if self.bench.also[one].asks(name)}

    @property
    def _parts(self) -> dict[str, SplitData]:
        """Rows by set; only the names of further ones begin with ``also-``."""
        splits = self.bench.data.splits
        further = {f"also-{name}": self.bench.also[name].data for name in self._sets}
        return {"test": splits["test"], "validation": splits["validation"], **further}

    def _is_whole(self, found: Mapping[str, SetScores]) -> bool:
        """Whether kept scores are by every metric that the run can have."""
        asked = self._askable(self.bench.task.metrics)
        wanted = {"test": asked}
        if self.run.answers is None:
            wanted["validation"] = [m for m in asked if m.asks is not Ask.TEXT]
        for name, questions in self._sets.items():
            wanted[f"also-{name}"] = self._askable(questions.metrics)
        return all(
            split in found and {m.name for m in metrics} <= set(found[split].statistics)
            for split, metrics in wanted.items()
        )

    def _askable(self, metrics: Sequence[Metric]) -> list[Metric]:
        """The metrics that the run can be scored by; a judge's comes after all others."""
        metrics = [metric for metric in metrics if not is_judged(metric)]
        if self.run.answers is not None:
            given = outputs_of(self.bench.task, self.run, self.bench.data.splits["test"])
            return [m for m in metrics if not missing_outputs(m, given)]
        if self.run.checkpoint is not None and self.run.checkpoint.data is not None:
            return [metric for metric in metrics if not _is_per_token(metric)]
        return metrics

    def test(self) -> None:
        """Asks and scores it; whatever goes wrong is its own failure."""
        try:
            with self.questions, ExitStack() as stack:
                for questions in self._sets.values():
                    stack.enter_context(questions)
                answers, found = self._scored()
            for split, scores in found.items():
                if (row := scores.bad_row()) is not None:
                    raise ScoreError(
                        f"{split} row {row} of {self.run.id}: its score is not a finite number"
                    )
            self.findings.failed_entrants.discard(self.run.id)
            self.archive.keep_entrant(self.run.id, self.record(RunState.COMPLETE), answers, found)
            self._file(found)
            shown = self.questions.shown(found["test"])
            _log.info("%s: tested, %s", self.run.id, shown)
            self.questions.view.on_tested(self.run.id, shown)
        except StoreError:
            raise
        except Exception as error:  # whatever it is, the methods are trained
            end_if_alone(error)
            self.findings.failed_entrants.add(self.run.id)
            reason = f"testing failed: {reason_of(error)}"
            self.archive.fail_entrant(
                self.run.id, self.record(RunState.FAILED, reason), traceback_of(error)
            )
            self.questions.note(f"{self.run.id}: {reason}")
        finally:
            release_memory()

    def _file(self, found: Mapping[str, SetScores]) -> None:
        findings = self.findings
        findings.test_scores[self.run.id] = found["test"]
        if "validation" in found:
            findings.validation_scores[self.run.id] = found["validation"]
        for name in self._sets:
            findings.also_scores.setdefault(name, {})[self.run.id] = found[f"also-{name}"]

    def _scored(self) -> tuple[dict[str, Sequence[str]], dict[str, SetScores]]:
        """(answers by set, scores by set)."""
        data = self.bench.data
        if self.run.answers is not None:
            outputs = outputs_of(self.bench.task, self.run, data.splits["test"])
            scores = self.questions.scores(outputs, "test")
            if outputs.texts is None and outputs.chosen_N is not None:
                none_N = outputs.chosen_N < 0
                scores = replace(scores, invalid=none_N if none_N.any() else scores.invalid)
            return {"test": self.run.answers}, {"test": scores}
        if self.run.adapter is not None:
            method = self.run.adapter
            cohort = Cohort(self.bench.base, [method], 1)
            cohort.seat(0, method, method.load(self.run.place))
            with cohort:
                return self._asked(cohort, None)
        checkpoint = self.run.checkpoint
        if checkpoint is None:
            raise RuntimeError(f"{self.run.id} has neither adapter, checkpoint nor answers")
        with Cohort(checkpoint.open(), [], 1) as cohort:
            return self._asked(cohort, checkpoint)

    def _asked(
        self, cohort: Cohort, checkpoint: Checkpoint | None
    ) -> tuple[dict[str, Sequence[str]], dict[str, SetScores]]:
        task, name = self.bench.task, self.entrant.entry.name
        own = None if checkpoint is None else checkpoint.data
        answers: dict[str, Sequence[str]] = {}
        found: dict[str, SetScores] = {}
        held_out: tuple[Split, ...] = ("validation", "test")
        for split in held_out:
            asks = task.asks if split == "test" else task.asks - {Ask.TEXT}
            if not asks:
                continue
            part, plan = self.bench.data.splits[split], self.bench.plans[split]
            if own is not None:
                part = own.splits[split]
                plan = self._plan(cohort, part)
            # A tokenizer of its own brings a chat template of its own.
            laid_out = None if own is None else with_found(task, own.found)
            outputs = self._outputs(
                self.questions, cohort, part, plan, asks, f"{name} answers", laid_out
            )
            if own is not None:
                outputs = replace(outputs, tokens_N=None)  # so that nothing is scored per token
            found[split] = SetScores.of(task.metrics, outputs, part.expected)
            if split == "test":
                answers[split] = answers_of(outputs, part)
        for also, questions in self._sets.items():
            if own is not None:
                raise DataError(
                    f"{self.run.place}: has a tokenizer of its own, with which further test sets "
                    "are not laid out; leave also_test out, or give its answers as predictions"
                )
            one = self.bench.also[also]
            outputs = self._outputs(
                questions, cohort, one.data, one.plan, one.task.asks, f"{also}: {name}"
            )
            found[f"also-{also}"] = SetScores.of(questions.metrics, outputs, one.data.expected)
            answers[f"also-{also}"] = answers_of(outputs, one.data)
        return answers, found

    def _plan(self, cohort: Cohort, part: SplitData) -> BatchPlan:
        bench = replace(self.bench, base=cohort.base)
        return bench.plan_of(part, bench.task.max_length)

    @staticmethod
    def _outputs(
        questions: Questions,
        cohort: Cohort,
        part: SplitData,
        plan: BatchPlan,
        asks: frozenset[Ask],
        title: str,
        task: Task | None = None,
    ) -> ModelOutputs:
        [outputs] = questions.asked_of(cohort, [0], part, plan, asks, title, task)
        return outputs


def outputs_of(task: Task, run: EntrantRun, part: SplitData) -> ModelOutputs:
    """Answers from a file as a model's outputs: texts, or the choices that they spell.

    Raises:
        DataError: an answer that spells several of a row's choices.
    """
    texts = run.answers
    if texts is None:
        raise RuntimeError(f"{run.id} has no answers")
    if Ask.TEXT in task.asks:
        return task.read_outputs(ModelOutputs(texts=list(texts)), part)
    chosen = [
        _choice(text, expected.choices, run, name)
        for text, expected, name in zip(texts, part.expected, part.row_ids, strict=True)
    ]
    return ModelOutputs(chosen_N=np.array(chosen, dtype=np.int64))


def _choice(text: str, choices: Sequence[str], run: EntrantRun, name: str) -> int:
    """The place of an answer among a row's choices, by its very text, else without capitals.

    An answer that is none of them is -1: it is counted as invalid, and wrong.
    """
    for same in (str.__eq__, lambda a, b: a.strip().casefold() == b.strip().casefold()):
        meant = [place for place, choice in enumerate(choices) if same(choice, text)]
        if len(meant) == 1:
            return meant[0]
        if meant:
            raise DataError(
                f"{run.place}: the answer {text!r} of row {name} is {len(meant)} of its choices; "
                "rows with equal choices cannot be answered by text"
            )
    return -1


def _is_per_token(metric: Metric) -> bool:
    return _OF_TOKENS in getattr(metric, "needs", ())


def _read(path: Path, part: SplitData) -> SetScores | None:
    arrays = read_arrays(path) if path.is_file() else None
    return None if arrays is None else SetScores.of_arrays(arrays, len(part))

"""The test set: baselines, and once for each candidate that may be chosen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.cleaning import clean
from bakeoff.engine.backends.memory import is_out_of_memory, release_memory
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.score import example_nlls, mean_nll
from bakeoff.engine.texts import decode
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import ScoreError, StoreError
from bakeoff.execution.archive import ERROR_FILE, Archive
from bakeoff.execution.failures import reason_of, traceback_of
from bakeoff.execution.findings import Findings, TestScores
from bakeoff.execution.progress import ProgressView
from bakeoff.methods.contract import ExecutionPath
from bakeoff.metrics.rouge import ROUGE_KEYS, PendingScores, RougeScorer
from bakeoff.metrics.sentences import lead
from bakeoff.types import RunState

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
        self.plan = bench.plans["test"]
        self.batch_source = TokenSource(bench.base.device)

    def baselines(self) -> None:
        """The untuned base and the document's first sentences; one that fails fails alone."""
        steps = {"lead": self._lead, "zero_shot": self._zero_shot}
        with RougeScorer() as scorer:
            for name, step in steps.items():
                if name in self.findings.baselines:
                    continue
                try:
                    step(scorer)
                except StoreError:
                    raise
                except Exception as error:  # whatever it is, the methods are trained
                    self.findings.failed_baselines.add(name)
                    self.archive.keep_baseline_error(name, traceback_of(error))
                    self._note(
                        f"the baseline {name} failed: {reason_of(error)} (the whole error is in "
                        f"baselines/{name}/{ERROR_FILE})"
                    )

    def _lead(self, scorer: RougeScorer) -> None:
        cleaning, sentences = self.bench.task.cleaning, self.bench.lead_sentences
        texts = [
            "\n".join(
                clean(sentence, cleaning) for sentence in lead(document, sentences).split("\n")
            )
            for document in self.test.raw_documents
        ]
        rouge_N4 = scorer.submit(texts, list(self.test.summaries)).result()
        scores = TestScores(rouge_N4=rouge_N4, nll_N=None, empty_N=_empty(texts))
        self.archive.keep_baseline("lead", texts, scores)

    def _zero_shot(self, scorer: RougeScorer) -> None:
        with Cohort(self.bench.base, [], 1) as cohort:
            validation = self.bench.plans["validation"]
            sums = example_nlls(cohort, 0, self.batch_source, validation)
            self.findings.zero_shot_val_nll = mean_nll(sums, validation)
            [(written, nll_N)] = self._outcomes(cohort, [0], scorer, "zero-shot summaries")
        scores = written.scores(nll_N)
        if (row := scores.bad_row()) is not None:
            self._note(
                f"zero-shot: the score of test row {row} is not a finite number, so the "
                "untuned base takes no part in the comparisons"
            )
            return
        self.archive.keep_baseline("zero_shot", written.texts, scores)
        self.view.say(
            f"  {'zero-shot':<28} validation {self.findings.zero_shot_val_nll:.4f}  "
            f"test {mean_nll(nll_N, self.plan):.4f}  ROUGE-1 "
            f"{100 * scores.rouge_N4[:, 0].mean():.1f}"
        )

    def candidates(self) -> None:
        """Every final candidate that ended well and is not tested yet, by execution path.

        Groups are made of all of them and tested whole, so that an interrupted test, taken up
        again, rounds as an undisturbed one. Where memory does not hold a group, each of it goes
        alone; a candidate that it does not hold alone has failed, and the rest is tested.
        """
        done = self.findings.test_scores
        eligible = [c for c in self.findings.schedule.finals if c.state.is_eligible]
        with RougeScorer() as scorer:
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

    def _test(self, group: Sequence[Candidate], scorer: RougeScorer) -> None:
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
        for candidate, (written, nll_N) in zip(group, outcomes, strict=True):
            try:
                scores = written.scores(nll_N)
                if (row := scores.bad_row()) is not None:
                    raise ScoreError(
                        f"test row {row} of method {candidate.method_name}, seed "
                        f"{candidate.seed}: its score is not a finite number"
                    )
                self.archive.keep_scores(candidate, written.texts, scores)
            except StoreError:
                raise
            except Exception as error:
                self._fail(candidate, error)
                continue
            _log.info("%s: tested, NLL %.4f", candidate.id, mean_nll(nll_N, self.plan))
            self.view.say(
                f"  {candidate.id:<28} test {mean_nll(nll_N, self.plan):.4f}  ROUGE-1 "
                f"{100 * scores.rouge_N4[:, 0].mean():.1f}"
            )

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
        self, group: Sequence[Candidate], scorer: RougeScorer
    ) -> list[tuple[_ScoredTexts, NDArray[np.float64]]]:
        methods = list(dict.fromkeys(c.method for c in group))
        with ExitStack() as stack:
            cohort = Cohort(self.bench.base, methods, len(group))
            for slot, candidate in enumerate(group):
                cohort.seat(slot, candidate.method, self.archive.tensors_of(candidate))
            stack.enter_context(cohort)
            names = ", ".join(dict.fromkeys(c.method_name for c in group))
            return self._outcomes(cohort, list(range(len(group))), scorer, f"summaries: {names}")

    def _outcomes(
        self, cohort: Cohort, slots: Sequence[int], scorer: RougeScorer, title: str
    ) -> list[tuple[_ScoredTexts, NDArray[np.float64]]]:
        """For each slot its generated texts and each example's NLL."""
        nlls = [example_nlls(cohort, slot, self.batch_source, self.plan) for slot in slots]
        prompts = [self.test.generation_prompts[i] for i in range(len(self.test))]
        longest = self.bench.generation.max_new_tokens
        texts = {slot: _ScoredTexts(self.test.summaries, scorer) for slot in slots}

        def written(slot: int, chosen: NDArray[np.int64], ids: list[list[int]]) -> None:
            unfinished = [len(row) >= longest for row in ids]
            texts[slot].add(chosen, decode(self.bench.base, ids), unfinished)

        generate(
            cohort,
            slots,
            prompts,
            self.bench.generation,
            progress=lambda done, total: self.view.count(title, done, total),
            written=written,
            note=self._note,
        )
        return list(zip(texts.values(), nlls, strict=True))

    def _note(self, text: str) -> None:
        """Keeps a note for the report, and shows it."""
        _log.warning("%s", text)
        self.archive.keep_note(text)
        self.view.on_note(text)


class _ScoredTexts:
    """One candidate's texts, which the workers score while later ones are being written.

    Attributes:
        texts: in the test set's order.
    """

    def __init__(self, references: Sequence[str], scorer: RougeScorer) -> None:
        self.texts = [""] * len(references)
        self._unfinished_N = np.zeros(len(references), dtype=np.bool_)
        self._references = references
        self._scorer = scorer
        self._pending: list[tuple[NDArray[np.int64], PendingScores]] = []

    def add(
        self, chosen: NDArray[np.int64], texts: Sequence[str], unfinished: Sequence[bool]
    ) -> None:
        """Takes in the texts of some of the examples and has them scored."""
        for index, text in zip(chosen, texts, strict=True):
            self.texts[int(index)] = text
        self._unfinished_N[chosen] = unfinished
        references = [self._references[int(index)] for index in chosen]
        self._pending.append((chosen, self._scorer.submit(texts, references)))

    def scores(self, nll_N: NDArray[np.float64]) -> TestScores:
        """The scores of all texts; waits for what is not scored yet.

        Args:
            nll_N: [N] summed nats of each reference.
        """
        rouge_N4 = np.zeros((len(self.texts), len(ROUGE_KEYS)))
        for chosen, pending in self._pending:
            rouge_N4[chosen] = pending.result()
        return TestScores(
            rouge_N4=rouge_N4,
            nll_N=nll_N,
            empty_N=_empty(self.texts),
            unfinished_N=self._unfinished_N,
        )


def _empty(texts: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([not text.strip() for text in texts], dtype=np.bool_)

"""The test set: baselines, and once for each candidate that may be chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.cleaning import clean
from bakeoff.engine.batch_source import TokenFeed
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.score import example_nlls, mean_nll
from bakeoff.engine.texts import decode
from bakeoff.execution.archive import Archive
from bakeoff.execution.progress import ProgressView
from bakeoff.methods.contract import Ground
from bakeoff.metrics.rouge import ROUGE_KEYS, PendingScores, RougeScorer
from bakeoff.metrics.sentences import lead
from bakeoff.study.results import Findings, TestScores
from bakeoff.study.workbench import Workbench


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
        slots: candidates in one pass, by ground, as in training.
        """
        self.bench = bench
        self.slots = slots
        self.findings = findings
        self.archive = archive
        self.view = view
        self.test = bench.data.splits["test"]
        self.plan = bench.plans["test"]
        self.feed = TokenFeed(bench.base.device)

    def baselines(self) -> None:
        """The untuned base and the document's first sentences."""
        task, options = self.bench.study.options.task, self.bench.study.options
        references = list(self.test.summaries)
        with RougeScorer() as scorer:
            if "lead" not in self.findings.baselines:
                texts = [
                    "\n".join(
                        clean(sentence, task.cleaning)
                        for sentence in lead(document, options.lead_sentences).split("\n")
                    )
                    for document in self.test.raw_documents
                ]
                rouge_N4 = scorer.submit(texts, references).result()
                self.archive.keep_baseline("lead", texts, TestScores(rouge_N4=rouge_N4, nll_N=None))
            if "zero_shot" not in self.findings.baselines:
                with Cohort(self.bench.base, [], 1) as cohort:
                    validation = self.bench.plans["validation"]
                    sums = example_nlls(cohort, 0, self.feed, validation)
                    self.findings.zero_shot_val_nll = mean_nll(sums, validation)
                    [(summaries, nll_N)] = self._outcomes(
                        cohort, [0], scorer, "zero-shot summaries"
                    )
                scores = TestScores(rouge_N4=summaries.scores(), nll_N=nll_N)
                self.archive.keep_baseline("zero_shot", summaries.texts, scores)
                self.view.say(
                    f"  {'zero-shot':<28} validation {self.findings.zero_shot_val_nll:.4f}  "
                    f"test {mean_nll(nll_N, self.plan):.4f}  ROUGE-1 "
                    f"{100 * scores.rouge_N4[:, 0].mean():.1f}"
                )

    def candidates(self) -> None:
        """Every final candidate that ended well and has not been tested yet, ground by ground.

        Groups are made of all of them and tested whole, so that an interrupted test, taken up
        again, rounds as an undisturbed one.
        """
        done = self.findings.test_scores
        eligible = [c for c in self.findings.schedule.finals if c.state.is_eligible]
        with RougeScorer() as scorer:
            for ground in Ground:
                here = [c for c in eligible if c.method.ground is ground]
                size = self.slots.get(ground.value) or self.bench.num_slots(here) if here else 1
                for start in range(0, len(here), size):
                    group = here[start : start + size]
                    if any(candidate.id not in done for candidate in group):
                        self._test(group, scorer)

    def _test(self, group: Sequence[Candidate], scorer: RougeScorer) -> None:
        methods = list(dict.fromkeys(c.method for c in group))
        with ExitStack() as stack:
            cohort = Cohort(self.bench.base, methods, len(group))
            for slot, candidate in enumerate(group):
                cohort.seat(slot, candidate.method, self.archive.tensors_of(candidate))
            stack.enter_context(cohort)
            names = ", ".join(dict.fromkeys(c.method_name for c in group))
            outcomes = self._outcomes(
                cohort, list(range(len(group))), scorer, f"summaries: {names}"
            )
        for candidate, (summaries, nll_N) in zip(group, outcomes, strict=True):
            scores = TestScores(rouge_N4=summaries.scores(), nll_N=nll_N)
            self.archive.keep_predictions(f"candidates/{candidate.id}", summaries.texts, scores)
            self.findings.test_scores[candidate.id] = scores
            self.view.say(
                f"  {candidate.id:<28} test {mean_nll(nll_N, self.plan):.4f}  ROUGE-1 "
                f"{100 * scores.rouge_N4[:, 0].mean():.1f}"
            )

    def _outcomes(
        self, cohort: Cohort, slots: Sequence[int], scorer: RougeScorer, title: str
    ) -> list[tuple[_ScoredTexts, np.ndarray]]:
        """For each slot its generated texts and each example's NLL."""
        nlls = [example_nlls(cohort, slot, self.feed, self.plan) for slot in slots]
        prompts = [self.test.generation_prompts[i] for i in range(len(self.test))]
        texts = {slot: _ScoredTexts(self.test.summaries, scorer) for slot in slots}
        generate(
            cohort,
            slots,
            prompts,
            self.bench.study.options.generation,
            progress=lambda done, total: self.view.count(title, done, total),
            written=lambda slot, chosen, ids: texts[slot].add(chosen, decode(self.bench.base, ids)),
            note=self._note,
        )
        self.view.clear()
        return list(zip(texts.values(), nlls, strict=True))

    def _note(self, text: str) -> None:
        """Keeps a note for the report, and shows it."""
        self.archive.keep_note(text)
        self.view.on_note(text)


class _ScoredTexts:
    """One candidate's texts, which the workers score while later ones are being written.

    Attributes:
        texts: in the test set's order.
    """

    def __init__(self, references: Sequence[str], scorer: RougeScorer) -> None:
        self.texts = [""] * len(references)
        self._references = references
        self._scorer = scorer
        self._pending: list[tuple[NDArray[np.int64], PendingScores]] = []

    def add(self, chosen: NDArray[np.int64], texts: Sequence[str]) -> None:
        """Takes in the texts of some of the examples and has them scored."""
        for index, text in zip(chosen, texts, strict=True):
            self.texts[int(index)] = text
        references = [self._references[int(index)] for index in chosen]
        self._pending.append((chosen, self._scorer.submit(texts, references)))

    def scores(self) -> NDArray[np.float64]:
        """[N, 4] as ``rouge_scores`` returns them; waits for what is not scored yet."""
        rouge_N4 = np.zeros((len(self.texts), len(ROUGE_KEYS)))
        for chosen, pending in self._pending:
            rouge_N4[chosen] = pending.result()
        return rouge_N4

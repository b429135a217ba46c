"""Scores of what candidates answer, while others are still answering."""

from __future__ import annotations

import numpy as np
import pytest

from bakeoff.data.taskdata import ExpectedAnswer
from bakeoff.execution.scores import SetScores, row_values
from bakeoff.metrics.background import BackgroundScoring, BackgroundTexts
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.metrics.registry import metric_of
from bakeoff.metrics.rouge import ROUGE_KEYS, RougeScorer, rouge_scores
from bakeoff.runs.records import Outputs

METRICS = tuple(metric_of(name) for name in ("nll", *ROUGE_KEYS))
LABELS = tuple(metric_of(name, labels=("a", "b")) for name in ("accuracy", "macro_f1"))


class Scorer(RougeScorer):
    """Notes how many texts it has been given."""

    given = 0

    def submit(self, predictions, references):  # type: ignore[no-untyped-def]
        self.given += len(predictions)
        return super().submit(predictions, references)


def expected(references: list[str]) -> list[ExpectedAnswer]:
    return [ExpectedAnswer([text], (), None) for text in references]


def test_texts_are_scored_as_they_come_and_in_the_examples_order() -> None:
    references = ["a cat sat", "dogs bark at night", "rain fell", "the end", "no text"]
    texts = ["a cat", "dogs bark at night", "snow", "the very end", ""]
    with Scorer(workers=1) as scorer:
        background = BackgroundTexts(expected(references), scorer)
        background.add(np.array([3, 1]), [texts[3], texts[1]], [True, False])
        assert scorer.given == 2, "before the others are written"
        background.add(np.array([4, 0, 2]), [texts[4], texts[0], texts[2]], [False] * 3)
        background.finish()
        outputs = ModelOutputs(
            nll_N=np.ones(5),
            tokens_N=np.full(5, 2.0),
            texts=background.texts,
            unfinished_N=background.unfinished_N,
        )
        found = SetScores.of(METRICS, outputs, expected(references))
        assert scorer.given == 5, "nothing is scored again"
    assert background.texts == texts
    rouge_N4 = rouge_scores(texts, references, workers=1)
    for column, key in enumerate(ROUGE_KEYS):
        np.testing.assert_array_equal(found.statistics[key][:, 0], rouge_N4[:, column])
    assert found.outputs == Outputs(examples=5, empty=1, unfinished=1)
    assert found.bad_row() is None
    assert found.value(METRICS[0]) == pytest.approx(0.5)
    assert row_values(found, METRICS, 0)["tokens"] == 2


def test_without_a_metric_of_texts_no_worker_starts() -> None:
    with BackgroundScoring(LABELS) as scoring:
        texts = scoring.texts(expected(["a", "b"]))
        texts.add(np.array([1]), ["b"], [False])
        texts.finish()
    assert texts.texts == ["", "b"]


def test_what_an_output_lacks_is_not_scored() -> None:
    answers = [ExpectedAnswer(["a"], ("a", "b"), 0), ExpectedAnswer(["b"], ("a", "b"), 1)]
    found = SetScores.of(LABELS, ModelOutputs(chosen_N=np.array([0, 0])), answers)
    assert set(found.statistics) == {"accuracy", "macro_f1"}
    assert found.value(LABELS[0]) == 0.5
    assert found.outputs is None, "nothing was written"
    confusion = found.confusion(LABELS)
    assert confusion is not None
    assert confusion.tolist() == [[1, 0], [1, 0]]
    assert row_values(found, LABELS, 1) == {"accuracy": 0.0}, "macro-F1 of one row says nothing"


def test_scores_survive_their_file() -> None:
    answers = [ExpectedAnswer(["a"], ("a", "b"), 0), ExpectedAnswer(["b"], ("a", "b"), 1)]
    found = SetScores.of(LABELS, ModelOutputs(chosen_N=np.array([0, -1])), answers)
    again = SetScores.of_arrays(found.arrays(), 2)
    assert again is not None
    for name, statistics in found.statistics.items():
        np.testing.assert_array_equal(again.statistics[name], statistics)
    assert SetScores.of_arrays(found.arrays(), 3) is None
    assert SetScores.of_arrays({}, 2) is None


def test_a_score_that_is_no_number_is_found() -> None:
    outputs = ModelOutputs(nll_N=np.array([1.0, np.nan]), tokens_N=np.ones(2))
    found = SetScores.of(METRICS[:1], outputs, expected(["a", "b"]))
    assert found.bad_row() == 1

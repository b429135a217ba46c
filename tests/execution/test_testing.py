"""Scores of texts that are still being written."""

from __future__ import annotations

import numpy as np

from bakeoff.execution.testing import _ScoredTexts
from bakeoff.metrics.rouge import RougeScorer, rouge_scores
from bakeoff.runs.records import Outputs


class Scorer(RougeScorer):
    """Notes how many texts it has been given."""

    given = 0

    def submit(self, predictions, references):  # type: ignore[no-untyped-def]
        self.given += len(predictions)
        return super().submit(predictions, references)


def test_texts_are_scored_as_they_come_and_in_the_examples_order() -> None:
    references = ["a cat sat", "dogs bark at night", "rain fell", "the end", "no text"]
    texts = ["a cat", "dogs bark at night", "snow", "the very end", ""]
    with Scorer(workers=1) as scorer:
        scored = _ScoredTexts(references, scorer)
        scored.add(np.array([3, 1]), [texts[3], texts[1]], [True, False])
        assert scorer.given == 2, "before the others are written"
        scored.add(np.array([4, 0, 2]), [texts[4], texts[0], texts[2]], [False] * 3)
        found = scored.scores(np.ones(5))
    assert scored.texts == texts
    np.testing.assert_array_equal(found.rouge_N4, rouge_scores(texts, references, workers=1))
    assert found.outputs == Outputs(examples=5, empty=1, unfinished=1)
    assert found.bad_row() is None


def test_no_texts_have_no_scores() -> None:
    with RougeScorer(workers=1) as scorer:
        assert _ScoredTexts([], scorer).scores(np.ones(0)).rouge_N4.shape == (0, 4)

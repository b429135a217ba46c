"""Scores of texts that are still being written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bakeoff.metrics import background, rouge_metrics
from bakeoff.metrics.background import BackgroundScoring
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.metrics.registry import metric_of
from bakeoff.metrics.rouge import ROUGE_KEYS, PendingScores, RougeScorer, rouge_scores
from tests.metrics.examples import with_references

REFERENCES = ["a cat sat", "dogs bark at night", "rain fell", "the end", "no text"]
TEXTS = ["a cat", "dogs bark at night", "snow", "the very end", ""]
EXPECTED = with_references(REFERENCES)
ROUGES = [metric_of(name) for name in ROUGE_KEYS]


class Scorer(RougeScorer):
    """Notes how many texts it has been given."""

    given = 0

    def submit(self, predictions: Sequence[str], references: Sequence[str]) -> PendingScores:
        type(self).given += len(predictions)
        return super().submit(predictions, references)


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> type[Scorer]:
    monkeypatch.setattr(Scorer, "given", 0)
    monkeypatch.setattr(background, "RougeScorer", lambda workers: Scorer(workers=1))
    return Scorer


def test_texts_are_scored_as_they_come_and_in_the_examples_order(
    scorer: type[Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with BackgroundScoring(ROUGES) as scoring:
        found = scoring.texts(EXPECTED)
        found.add(np.array([3, 1]), [TEXTS[3], TEXTS[1]], [True, False])
        assert scorer.given == 2, "before the others are written"
        found.add(np.array([4, 0, 2]), [TEXTS[4], TEXTS[0], TEXTS[2]], [False] * 3)
        found.finish()
    assert found.texts == TEXTS
    assert found.unfinished_N.tolist() == [False, False, False, True, False]
    monkeypatch.setattr(rouge_metrics, "rouge_scores", lambda *_: pytest.fail("scored twice"))
    scores_N4 = rouge_scores(TEXTS, REFERENCES, workers=1)
    for column, metric in enumerate(ROUGES):
        statistics = metric.statistics(ModelOutputs(texts=found.texts), EXPECTED)
        np.testing.assert_array_equal(statistics[:, 0], scores_N4[:, column])


def test_two_candidates_texts_do_not_mix(scorer: type[Scorer]) -> None:
    with BackgroundScoring(ROUGES) as scoring:
        first, second = scoring.texts(EXPECTED[:2]), scoring.texts(EXPECTED[:2])
        first.add(np.array([0, 1]), TEXTS[:2], [False, False])
        second.add(np.array([1, 0]), ["x", REFERENCES[0]], [False, True])
        second.finish()
        first.finish()
    assert (first.texts, second.texts) == (TEXTS[:2], [REFERENCES[0], "x"])
    rouge1 = ROUGES[0]
    [one, two] = [
        rouge1.statistics(ModelOutputs(texts=found.texts), EXPECTED[:2])[:, 0]
        for found in (first, second)
    ]
    assert two.tolist() == [1.0, 0.0]
    np.testing.assert_array_equal(one, rouge_scores(TEXTS[:2], REFERENCES[:2], workers=1)[:, 0])


def test_no_texts_are_no_trouble(scorer: type[Scorer]) -> None:
    with BackgroundScoring(ROUGES) as scoring:
        found = scoring.texts([])
        found.finish()
    assert found.texts == []
    assert found.unfinished_N.shape == (0,)
    assert ROUGES[0].statistics(ModelOutputs(texts=[]), []).shape == (0, 2)


def test_without_rouge_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "RougeScorer", lambda workers: pytest.fail("started"))
    with BackgroundScoring([metric_of("nll"), metric_of("exact_match")]) as scoring:
        found = scoring.texts(EXPECTED)
        found.add(np.arange(5), TEXTS, [False] * 5)
        found.finish()
    assert found.texts == TEXTS

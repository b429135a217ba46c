from __future__ import annotations

import importlib.metadata
import random
from collections.abc import Sequence

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer as LibraryScorer

from bakeoff.errors import DataError
from bakeoff.metrics import (
    ROUGE_KEYS,
    RougeScorer,
    metric_of,
    rouge_metrics,
    rouge_scores,
    split_sentences,
)
from bakeoff.metrics.contract import Ask, ModelOutputs
from bakeoff.metrics.rouge import Scores
from tests.metrics.examples import whole, with_references

WORDS = [
    "running",
    "runs",
    "ran",
    "police",
    "officers",
    "said",
    "the",
    "a",
    "12",
    "cities",
    "won",
    "lost",
    "it",
    "rains",
]


def text(rng: random.Random) -> str:
    sentences = [" ".join(rng.choices(WORDS, k=rng.randint(1, 7))) for _ in range(3)]
    return ". ".join(sentences) if rng.random() < 0.9 else ""


def cases(seed: int, count: int) -> tuple[list[str], list[tuple[str, ...]]]:
    """Predictions, and one to three references each."""
    rng = random.Random(seed)
    references = [tuple(text(rng) for _ in range(rng.randint(1, 3))) for _ in range(count)]
    return [text(rng) for _ in range(count)], references


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs were scored, call by call."""
    calls: list[int] = []
    scored = rouge_scores

    def count(predictions: Sequence[str], references: Sequence[str]) -> Scores:
        calls.append(len(predictions))
        return scored(predictions, references)

    monkeypatch.setattr(rouge_metrics, "rouge_scores", count)
    monkeypatch.setattr(rouge_metrics, "_KEPT", rouge_metrics._Kept(size=2))
    return calls


def library_means(predictions: Sequence[str], references: Sequence[tuple[str, ...]]) -> list[float]:
    """The library's own best of several references; Lsum over sentences that are split."""
    library = LibraryScorer(list(ROUGE_KEYS), use_stemmer=True)
    rows = []
    for prediction, several in zip(predictions, references, strict=True):
        targets = ["\n".join(split_sentences(one)) for one in several]
        found = library.score_multi(targets, "\n".join(split_sentences(prediction)))
        rows.append([found[key].fmeasure for key in ROUGE_KEYS])
    return [float(mean) for mean in np.mean(rows, axis=0)]


def test_the_library_says_the_same(counted: list[int]) -> None:
    predictions, references = cases(3, 40)
    outputs = ModelOutputs(texts=predictions)
    examples = with_references(references)
    found = [whole(metric_of(name), outputs, examples) for name in ROUGE_KEYS]
    expected = library_means(predictions, references)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert 0 < min(found) < max(found) < 1
    assert counted == [sum(len(several) for several in references)]


def test_other_texts_are_scored(counted: list[int]) -> None:
    examples = with_references(["he won", "she lost"])
    metric = metric_of("rouge1")
    assert whole(metric, ModelOutputs(texts=["he won", "she lost"]), examples) == 1.0
    assert whole(metric, ModelOutputs(texts=["he won", "she won"]), examples) == 0.75
    assert whole(metric, ModelOutputs(texts=["he won", "she won"]), examples[:1] * 2) == 0.75
    assert counted == [2, 2, 2]


def test_scores_made_in_the_background_are_taken(counted: list[int]) -> None:
    predictions, references = cases(5, 12)
    examples = with_references(references)
    scores = np.zeros((12, 4))
    with RougeScorer(workers=1) as scorer:
        parts = [list(range(7, 12)), list(range(7))]
        pending = [
            rouge_metrics.submit_rouge(
                scorer, [predictions[i] for i in part], [examples[i] for i in part]
            )
            for part in parts
        ]
        for part, scored in zip(parts, pending, strict=True):
            scores[part] = scored.result()
            assert scored.done()
    rouge_metrics.keep_rouge(predictions, examples, scores)
    outputs = ModelOutputs(texts=predictions)
    found = [whole(metric_of(name), outputs, examples) for name in ROUGE_KEYS]
    np.testing.assert_allclose(found, library_means(predictions, references), rtol=0, atol=1e-12)
    assert counted == []


def test_what_a_reader_sees() -> None:
    metrics = [metric_of(name) for name in ROUGE_KEYS]
    assert [m.title for m in metrics] == ["ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"]
    version = importlib.metadata.version("rouge_score")
    for name, metric in zip(ROUGE_KEYS, metrics, strict=True):
        assert (metric.name, metric.unit, metric.asks) == (name, "\u00d7 100", Ask.TEXT)
        assert (metric.default_margin, metric.by_row) == (0.01, True)
        expected = f"rouge_score {version}, F-measure, stemmed, letters of every script"
        assert metric.signature == expected


def test_no_examples() -> None:
    metric = metric_of("rouge2")
    statistics = metric.statistics(ModelOutputs(texts=[]), [])
    assert statistics.shape == (0, 2)
    assert np.isnan(metric.value(statistics.sum(axis=0)))


def test_wrong_input() -> None:
    with pytest.raises(DataError, match="example 1 has no reference"):
        metric_of("rouge1").statistics(ModelOutputs(texts=["a", "b"]), with_references(["a", ()]))
    with pytest.raises(DataError, match="1 texts for 2 examples"):
        rouge_metrics.keep_rouge(["a"], with_references(["a", "b"]), np.zeros((1, 4)))
    with pytest.raises(DataError, match=r"scores of shape \(2, 3\) for 2 texts; give 4 of each"):
        rouge_metrics.keep_rouge(["a", "b"], with_references(["a", "b"]), np.zeros((2, 3)))

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest

from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics import ROUGE_KEYS, RougeScorer, rouge, rouge_scores, split_sentences

PAIR_SEED = 11


def make_pairs(count: int) -> tuple[list[str], list[str]]:
    """Texts of a few short sentences that share words, stems and numbers."""
    rng = random.Random(PAIR_SEED)
    text_with_all = "running runs ran police officers said says the a 12 3.5 cities café u.s. won"
    words = text_with_all.split()

    def text() -> str:
        sentences = [" ".join(rng.choices(words, k=rng.randint(1, 7))) for _ in range(3)]
        return (" . ".join(sentences)) if rng.random() < 0.9 else ""

    return [text() for _ in range(count)], [text() for _ in range(count)]


def test_hand_computed() -> None:
    """Reference: the cat sat on the mat (6 words); prediction: the cat lay on a mat (6 words).

    Shared words: the, cat, on, mat = 4; shared pairs: (the, cat) = 1 of 5; the longest common
    subsequence is the cat on mat = 4. One sentence, so that Lsum equals L.
    """
    scores = rouge_scores(["The cat lay on a mat."], ["the cat sat on the mat"])
    np.testing.assert_allclose(scores, [[4 / 6, 1 / 5, 4 / 6, 4 / 6]])


def test_unequal_lengths_give_f_measure() -> None:
    # 2 of 2 predicted words right, 2 of 6 found: F = 2 * 1 * (1/3) / (4/3) = 1/2.
    scores = rouge_scores(["the cat"], ["the cat sat on the mat"])
    np.testing.assert_allclose(scores[0], [1 / 2, 2 * (1 / 5) / (6 / 5), 1 / 2, 1 / 2])


def test_words_are_stemmed() -> None:
    np.testing.assert_allclose(rouge_scores(["Officers running"], ["officer runs"])[0, 0], 1.0)


def test_lsum_matches_sentences_in_any_order() -> None:
    scores = rouge_scores(["She lost. He won."], ["He won. She lost."])
    np.testing.assert_allclose(scores, [[1.0, 2 / 3, 1 / 2, 1.0]])


def test_equals_the_library() -> None:
    from rouge_score import rouge_scorer

    predictions, references = make_pairs(60)
    library = rouge_scorer.RougeScorer(list(ROUGE_KEYS), use_stemmer=True)
    ours = rouge_scores(predictions, references)
    for row, prediction, reference in zip(ours, predictions, references, strict=True):
        split = ["\n".join(split_sentences(text)) for text in (reference, prediction)]
        expected = [library.score(*split)[key].fmeasure for key in ROUGE_KEYS]
        assert row.tolist() == expected
    assert (ours.min(), ours.max()) != (0.0, 0.0)


def test_empty_texts_score_zero() -> None:
    assert not rouge_scores(["", " ", "he won", "..."], ["he won", "he won", "", ""]).any()
    assert rouge_scores([], []).shape == (0, 4)


def test_workers_agree_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rouge, "_worker_count", lambda workers: workers or 1)
    predictions, references = make_pairs(rouge.MIN_POOL_PAIRS + 1)
    alone = rouge_scores(predictions, references, workers=1)
    with RougeScorer(workers=2) as scorer:
        first = scorer.submit(predictions, references)
        second = scorer.submit(predictions[:3], references[:3])
        assert np.array_equal(second.result(), alone[:3])
        assert np.array_equal(first.result(), alone)
        assert first.done()
        assert len(scorer._idle) == 2


def test_only_many_pairs_go_to_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []

    class Recorder(RougeScorer):
        def _score(self, predictions: list[str], references: list[str]) -> rouge.Rows:
            sent.append(len(predictions))
            return rouge._score_rows(predictions, references)

    monkeypatch.setattr(rouge, "_worker_count", lambda workers: workers or 4)
    monkeypatch.setattr(rouge, "RougeScorer", Recorder)
    predictions, references = make_pairs(rouge.MIN_POOL_PAIRS + 1)
    expected = rouge_scores(predictions, references, workers=1)
    assert np.array_equal(rouge_scores(predictions[:-2], references[:-2]), expected[:-2])
    assert sent == []
    assert np.array_equal(rouge_scores(predictions, references), expected)
    assert sum(sent) == len(predictions) and len(sent) == 4


def test_few_pairs_start_few_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []

    def kept(self: RougeScorer, predictions: list[str], references: list[str]) -> rouge.Rows:
        sent.append(len(predictions))
        return rouge._score_rows(predictions, references)

    monkeypatch.setattr(rouge, "_worker_count", lambda workers: workers or 4)
    monkeypatch.setattr(RougeScorer, "_score", kept)
    predictions, references = make_pairs(20)
    with RougeScorer() as scorer:
        scorer.submit(predictions[:5], references[:5]).result()
        assert sent == [5]
        found = scorer.submit(predictions, references).result()
    assert sorted(sent[1:]) == [4, 8, 8]
    assert np.array_equal(found, rouge_scores(predictions, references))


def test_a_lost_worker_costs_no_score(caplog: pytest.LogCaptureFixture) -> None:
    predictions, references = make_pairs(5)
    expected = rouge_scores(predictions, references)
    with RougeScorer(workers=1) as scorer:
        scorer.submit(predictions, references).result()
        (worker,) = scorer._idle
        worker._process.kill()
        worker._process.wait()
        assert np.array_equal(scorer.submit(predictions, references).result(), expected)
        assert "worker was lost" in caplog.text
        assert scorer._idle == []


def test_the_block_leaves_no_process_behind() -> None:
    with RougeScorer(workers=1) as scorer:
        worker = rouge._Worker()
        scorer._idle.append(worker)
        assert worker._process.poll() is None
    assert worker._process.returncode is not None


def test_leaving_the_block_waits_for_what_was_submitted_and_takes_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RougeScorer, "_score", lambda self, *pair: rouge._score_rows(*pair))
    with RougeScorer(workers=1) as scorer:
        pending = scorer.submit(*make_pairs(20))
    assert pending.done()
    with pytest.raises(RuntimeError, match="enter the block"):
        scorer.submit(["a"], ["a"])


def test_workers_stay_light() -> None:
    """A worker must not load torch, and who scores nothing must not load the library either."""
    code = (
        "import sys; from bakeoff.metrics.rouge import _score_rows; "
        "assert not {'nltk', 'rouge_score', 'scipy', 'torch'} & set(sys.modules); "
        "_score_rows(['a'], ['a']); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-P", "-c", code], env=environment, check=True)


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        (["a", "b"], ["a"], "2 predictions but 1 references"),
        ("a", ["a"], "predictions is one text"),
        (["a"], [None], r"references\[0\] is NoneType"),
    ],
)
def test_wrong_input(predictions: list[str], references: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rouge_scores(predictions, references)


def test_wrong_workers() -> None:
    with pytest.raises(ConfigError, match="workers is 0"):
        RougeScorer(workers=0)
    with pytest.raises(RuntimeError, match="enter the block"):
        RougeScorer(workers=1).submit(["a"], ["a"])


def test_no_more_workers_than_cores() -> None:
    count = rouge._worker_count
    assert count(10**6) == count(None) >= count(1) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="others do not say which cores are allowed")
def test_no_more_workers_than_this_process_may_use_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = {0: {3}, os.getpid(): {3}}  # zero is the process that asks
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: cores.get(pid, set(range(8))))
    assert rouge._worker_count(8) == rouge._worker_count(None) == 1

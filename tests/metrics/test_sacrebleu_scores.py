from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from bakeoff.errors import ConfigError
from bakeoff.metrics import metric_of
from bakeoff.metrics.contract import ModelOutputs
from tests.metrics.examples import whole, with_references

WORDS = ["the", "cat", "Cat", "sat", "on", "a", "mat", "12", "café", "кот", ".", ",", "it's"]


def drawn(seed: int, most: int) -> tuple[list[str], list[tuple[str, ...]]]:
    """Texts and one to ``most`` references each; empty ones among them."""
    rng = random.Random(seed)

    def text() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randrange(12)))

    references = [tuple(text() for _ in range(rng.randint(1, most))) for _ in range(30)]
    return [text() if rng.random() < 0.5 else several[0] for several in references], references


CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("bleu", {}, BLEU()),
    ("bleu", {"tokenize": "char", "lowercase": True}, BLEU(tokenize="char", lowercase=True)),
    ("bleu", {"tokenize": "intl"}, BLEU(tokenize="intl")),
    ("chrf", {}, CHRF()),
    ("chrf", {"word_order": 2, "lowercase": True}, CHRF(word_order=2, lowercase=True)),
]


@pytest.mark.parametrize(("name", "options", "library"), CASES)
@pytest.mark.parametrize("most", [1, 3])
def test_sacrebleu_says_the_same_to_the_last_digit(
    name: str, options: dict[str, Any], library: Any, most: int
) -> None:
    texts, references = drawn(most, most)
    metric = metric_of(name, options=options)
    found = whole(metric, ModelOutputs(texts=texts), with_references(references))
    streams = [[dict(enumerate(several)).get(j) for several in references] for j in range(most)]
    assert found == library.corpus_score(texts, streams).score
    assert 5 < found < 95
    assert metric.signature == f"sacrebleu {metric.title}|{library.get_signature()}"
    assert ("nrefs:1|" if most == 1 else "nrefs:var|") in metric.signature


@pytest.mark.parametrize("name", ["bleu", "chrf"])
@pytest.mark.parametrize(
    ("texts", "references"),
    [
        (["a cat"], ["the dog"]),  # nothing in common
        (["", ""], ["the dog", "a cat"]),
        (["the"], ["the"]),  # fewer than four words
        (["the cat sat on the mat", "a"], ["", "a"]),
    ],
)
def test_odd_texts(name: str, texts: list[str], references: list[str]) -> None:
    library = BLEU() if name == "bleu" else CHRF()
    metric = metric_of(name)
    sums = metric.statistics(ModelOutputs(texts=texts), with_references(references)).sum(axis=0)
    assert metric.value(sums) == library.corpus_score(texts, [references]).score


def test_without_anything_to_count_there_is_no_value() -> None:
    metric = metric_of("chrf")
    sums = metric.statistics(ModelOutputs(texts=["a cat"]), with_references([""])).sum(axis=0)
    assert np.isnan(metric.value(sums))


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_what_a_reader_sees(name: str) -> None:
    """Points of 0..100, of which one does not matter; BLEU of one text means little."""
    metric = metric_of(name)
    assert (metric.unit, metric.default_margin, metric.by_row) == ("", 1.0, name == "chrf")
    assert "nrefs:1|" in metric.signature
    statistics = metric.statistics(ModelOutputs(texts=[]), [])
    assert np.isnan(metric.value(statistics.sum(axis=0)))


def test_a_tokenizer_that_does_not_fit_is_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    texts = ["今日は天気がいいです", "明日は雨が降る"]
    outputs, examples = ModelOutputs(texts=texts), with_references(texts)
    metric_of("bleu", options={"tokenize": "char"}).statistics(outputs, examples)
    metric_of("bleu").statistics(ModelOutputs(texts=["a"]), with_references(["the 猫"]))
    assert caplog.text == ""
    metric_of("bleu").statistics(outputs, examples)
    assert "tokenize: 13a takes a sentence for a word" in caplog.text


def test_wrong_options() -> None:
    with pytest.raises(ConfigError, match=r"metrics\.bleu\.tokenize = 'zz'"):
        metric_of("bleu", options={"tokenize": "zz"})
    with pytest.raises(ConfigError, match=r"metrics\.chrf\.word_order.*not be negative"):
        metric_of("chrf", options={"word_order": -1})

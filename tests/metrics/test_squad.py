from __future__ import annotations

import collections
import random
import re
import string

import numpy as np
import pytest

from bakeoff.metrics import metric_of
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.metrics.squad import share_blurred
from tests.metrics.examples import whole, with_references


def official_words(text: str) -> list[str]:
    """``normalize_answer`` and ``get_tokens`` of the official script of SQuAD 2.0."""
    lowered = text.lower()
    kept = "".join(character for character in lowered if character not in set(string.punctuation))
    return re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", kept).split()


def official_f1(right: str, written: str) -> float:
    """``compute_f1`` of the official script of SQuAD 2.0."""
    gold_words, words = official_words(right), official_words(written)
    common = collections.Counter(gold_words) & collections.Counter(words)
    same = sum(common.values())
    if len(gold_words) == 0 or len(words) == 0:
        return int(gold_words == words)
    if same == 0:
        return 0
    precision, recall = 1.0 * same / len(words), 1.0 * same / len(gold_words)
    return (2 * precision * recall) / (precision + recall)


def test_the_official_script_says_the_same() -> None:
    rng = random.Random(2)
    words = ["the", "a", "An", "cat", "cat's", "U.S.", "Paris", "paris,", "1,000", "«oui»", "-", ""]

    def text() -> str:
        return rng.choice([" ", "  ", "\n"]).join(rng.choices(words, k=rng.randrange(5)))

    references = [tuple(text() for _ in range(rng.randint(1, 3))) for _ in range(400)]
    # References of nothing but articles and punctuation have a rule of their own.
    references = [tuple(one if official_words(one) else "cat" for one in r) for r in references]
    outputs = ModelOutputs(texts=[text() for _ in references])
    assert outputs.texts is not None
    pairs = list(zip(outputs.texts, references, strict=True))
    exact = [
        max(official_words(one) == official_words(text) for one in several)
        for text, several in pairs
    ]
    f1 = [max(official_f1(one, text) for one in several) for text, several in pairs]
    examples = with_references(references)
    assert whole(metric_of("exact_match"), outputs, examples) == np.mean(exact)
    found = whole(metric_of("f1"), outputs, examples)
    assert found == pytest.approx(np.mean(f1), rel=0, abs=1e-12)
    assert 0 < np.mean(exact) < found < 1


@pytest.mark.parametrize(
    ("texts", "share"),
    [
        (["C", "C++", "C#", "Java"], 0.75),
        (["-5", "5", "x -3", "+1"], 0.75),
        (["1.5", "15", ".5", "2"], 0.5),
        (["+", "*", "-"], 1.0),
        (["U.S.", "US", "us", "it's", "its", "co-op", "coop", '"Oui!"', "oui"], 0.0),
        (["the cat", "cat", "a cat."], 0.0),
        (["A", "B", "C", "D"], 0.25),
        ([".", "?", "yes", "no"], 0.5),
        (["1,000", "5-10", "10:30", "20 %", "5 $", "and/or"], 0.0),
        ([], 0.0),
    ],
)
def test_what_the_rules_drop_of_answers(texts: list[str], share: float) -> None:
    assert share_blurred(texts) == share


@pytest.mark.parametrize(
    ("text", "reference", "score"),
    [
        ("", "A", 0.0),
        ("The", "A", 0.0),
        ("...", "A", 0.0),
        ("B", "A", 0.0),
        (" a\n", "A", 1.0),
        ("A.", "A", 1.0),
        ("(a)", "A.", 1.0),
        ("the", "A", 0.0),
        ("?", ".", 0.0),
        ("?", " ?", 1.0),
        ("", "Apt", 0.0),
        ("A", "B", 0.0),
    ],
)
@pytest.mark.parametrize("metric", ["exact_match", "f1"])
def test_a_reference_that_the_rules_leave_nothing_of(
    metric: str, text: str, reference: str, score: float
) -> None:
    outputs, examples = ModelOutputs(texts=[text]), with_references([(reference,)])
    assert whole(metric_of(metric), outputs, examples) == score


@pytest.mark.parametrize(
    ("text", "reference"), [("C", "C++"), ("5", "-5"), ("15", "1.5"), ("Paris", "paris")]
)
def test_a_strict_match_is_of_all_characters(text: str, reference: str) -> None:
    outputs = ModelOutputs(texts=[text, f" {reference}\n"])
    examples = with_references([(reference,), ("none", reference)])
    assert whole(metric_of("exact_match"), outputs, examples) == 1.0
    assert metric_of("strict_match").statistics(outputs, examples).tolist() == [[0, 1], [1, 1]]


def test_the_best_reference_counts() -> None:
    outputs = ModelOutputs(texts=["The U.S.", "in 1999"])
    examples = with_references([("America", "US"), ("1999", "year of 1999")])
    assert metric_of("exact_match").statistics(outputs, examples).tolist() == [[1, 1], [0, 1]]
    f1 = metric_of("f1").statistics(outputs, examples)[:, 0]
    np.testing.assert_allclose(f1, [1.0, 2 / 3], rtol=1e-15)

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from bakeoff.errors import DataError, ScoreError
from bakeoff.metrics import metric_of
from bakeoff.metrics.contract import Ask, Floats, ModelOutputs
from tests.metrics.examples import Given, whole, with_gold


def drawn(seed: int, rows: int, labels: int) -> tuple[Floats, list[int]]:
    """Nats of each choice, and the right ones; every label occurs."""
    rng = np.random.default_rng(seed)
    gold = [*range(labels), *rng.integers(0, labels, rows - labels).tolist()]
    return rng.gamma(2.0, 2.0, (rows, labels)), gold


@pytest.mark.parametrize(("seed", "rows", "labels"), [(0, 40, 2), (1, 50, 3), (2, 80, 17)])
def test_scikit_learn_says_the_same(seed: int, rows: int, labels: int) -> None:
    nlls, gold = drawn(seed, rows, labels)
    likelihoods = np.exp(-nlls)
    probabilities = likelihoods / likelihoods.sum(axis=1, keepdims=True)
    outputs = ModelOutputs(choice_nlls=list(nlls))
    examples = with_gold(gold, [f"label {index}" for index in range(labels)])
    of_two = probabilities[:, 1] if labels == 2 else probabilities
    expected = {
        "brier": brier_score_loss(gold, of_two),
        "label_nll": log_loss(gold, probabilities),
    }
    for name, right in expected.items():
        found = whole(metric_of(name), outputs, examples)
        assert found == pytest.approx(right, rel=0, abs=1e-12), name


def test_likelihoods_are_divided_by_characters() -> None:
    """By bytes, or with the space that joins a choice to its prompt, another would be taken."""

    def chosen(choices: tuple[str, ...], *nlls: float) -> int:
        outputs = ModelOutputs(choice_nlls=[np.array(nlls)] * len(choices))
        right = metric_of("accuracy_norm").statistics(
            outputs, with_gold(range(len(choices)), choices)
        )
        return int(right[:, 0].argmax())

    # Six characters of 18 bytes: 1.2 nats each, but 0.4 a byte.
    assert chosen((" ひらがなあい", " abc", " de"), 7.2, 3.0, 2.6) == 1
    # 0.9 and 0.93 a character, but 0.77 and 0.7 with the space.
    assert chosen((" abcdef", " abc"), 5.4, 2.8) == 0


def test_of_equal_choices_the_first_is_taken() -> None:
    examples = [Given(choices=("ab", "abcd"), gold=gold) for gold in (0, 1)]
    outputs = ModelOutputs(choice_nlls=[np.array([1.0, 2.0])] * 2)
    assert metric_of("accuracy_norm").statistics(outputs, examples)[:, 0].tolist() == [1, 0]


def test_rows_may_differ_in_their_choices() -> None:
    examples = [Given(choices=("a", "b"), gold=0), Given(choices=("a", "b", "c"), gold=2)]
    outputs = ModelOutputs(choice_nlls=[np.zeros(2), np.zeros(3)])
    brier = metric_of("brier").statistics(outputs, examples)[:, 0]
    np.testing.assert_allclose(brier, [1 / 4, 6 / 9], rtol=1e-15)
    assert whole(metric_of("label_nll"), outputs, examples) == pytest.approx(np.log(6) / 2)


def test_unlikely_answers_stay_finite() -> None:
    examples = with_gold([0, 1], ("a", "b"))
    outputs = ModelOutputs(choice_nlls=[np.array([1e4, 0.0]), np.array([2e5, 1e5])])
    np.testing.assert_allclose(
        metric_of("label_nll").statistics(outputs, examples)[:, 0], [1e4, 0.0]
    )
    assert metric_of("brier").statistics(outputs, examples)[:, 0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", ["accuracy_norm", "label_nll", "brier"])
def test_wrong_input(name: str) -> None:
    metric = metric_of(name)
    assert metric.asks is Ask.CHOICE
    examples = with_gold([0], ("a", "b"))
    with pytest.raises(DataError, match=r"choice_nlls\[0\] has the shape \(3,\) for 2 choices"):
        metric.statistics(ModelOutputs(choice_nlls=[np.zeros(3)]), examples)
    with pytest.raises(ScoreError, match=r"choice_nlls\[0\] holds NaN"):
        metric.statistics(ModelOutputs(choice_nlls=[np.array([1.0, np.nan])]), examples)
    with pytest.raises(DataError, match=f"metric {name}: the outputs hold no choice_nlls"):
        metric.statistics(ModelOutputs(chosen_N=np.array([0])), examples)

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics import metric_of
from bakeoff.metrics.confusion import confusion
from bakeoff.metrics.contract import Ask, ModelOutputs
from tests.metrics.examples import Given, whole, with_gold

CASES = {
    "perfect": ([0, 1, 2], [0, 1, 2], 3),
    "all wrong": ([0, 1, 2], [1, 2, 0], 3),
    "one label predicted": ([0, 1, 1, 2], [1, 1, 1, 1], 3),
    "one label gold": ([1, 1, 1], [0, 1, 2], 3),
    "one label in all": ([1, 1], [1, 1], 2),
    "a label that is absent": ([0, 1, 0], [0, 0, 1], 4),
    "predicted, never gold": ([0, 0, 1], [0, 3, 3], 4),
    "one row": ([1], [0], 2),
    "invalid answers": ([0, 1, 1, 2, 0], [-1, 1, -1, 0, 0], 3),
    "all invalid": ([0, 1], [-1, -1], 2),
    "one label and invalid ones": ([0, 0, 0], [0, -1, 0], 1),
}


def random_case(seed: int) -> tuple[list[int], list[int], int]:
    rng = random.Random(seed)
    labels = rng.choice([2, 3, 7, 60])
    gold = rng.choices(range(labels), k=rng.choice([1, 5, 300]))
    chosen = [g if rng.random() < 0.6 else rng.randrange(-1, labels) for g in gold]
    return gold, chosen, labels


@pytest.mark.parametrize(
    ("gold", "chosen", "count"),
    [*CASES.values(), *(random_case(seed) for seed in range(20))],
)
def test_scikit_learn_says_the_same(gold: list[int], chosen: list[int], count: int) -> None:
    labels = [f"label {index}" for index in range(count)]
    outputs = ModelOutputs(chosen_N=np.array(chosen))
    examples = with_gold(gold, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that are absent
        expected = {
            "accuracy": accuracy_score(gold, chosen),
            "macro_f1": f1_score(
                gold, chosen, labels=range(count), average="macro", zero_division=0
            ),
            "mcc": matthews_corrcoef(gold, chosen),
        }
    for name, right in expected.items():
        found = whole(metric_of(name, labels=labels), outputs, examples)
        assert found == pytest.approx(right, rel=0, abs=1e-12), name


def test_the_divisor_is_the_same_in_every_resample() -> None:
    """Without label 2 the sum is still over three labels, or resamples would not be comparable."""
    metric = metric_of("macro_f1", labels=["a", "b", "c"])
    outputs = ModelOutputs(chosen_N=np.array([0, 1, 2]))
    statistics = metric.statistics(outputs, with_gold([0, 1, 2], "abc"))
    np.testing.assert_allclose(metric.value(statistics[:2].sum(axis=0)), 2 / 3, rtol=1e-15)


def test_statistics_are_small() -> None:
    """A thousand labels are three thousand bytes a row, and an invalid answer predicts none."""
    labels = [str(index) for index in range(1000)]
    examples = with_gold([5, 999], labels)
    outputs = ModelOutputs(chosen_N=np.array([5, -1]))
    counts = metric_of("mcc", labels=labels).statistics(outputs, examples)
    assert (counts.shape, counts.dtype) == ((2, 3000), np.dtype(np.uint8))
    assert np.flatnonzero(counts[0]).tolist() == [5, 1005, 2005]
    assert np.flatnonzero(counts[1]).tolist() == [2999]


def test_the_table_has_right_labels_as_lines_answers_as_columns_and_invalid_ones_last() -> None:
    metric = metric_of("macro_f1", labels=["a", "b"])
    outputs = ModelOutputs(chosen_N=np.array([0, 1, 1, -1]))
    table = confusion(metric.statistics(outputs, with_gold([0, 0, 0, 1], "ab")))
    assert table.tolist() == [[1, 2, 0], [0, 0, 1]]


def test_choices_may_differ_by_row() -> None:
    examples = [Given(choices=("a", "b", "c"), gold=2), Given(choices=("x", "y"), gold=0)]
    outputs = ModelOutputs(chosen_N=np.array([2, 1]))
    assert whole(metric_of("accuracy"), outputs, examples) == 0.5
    with pytest.raises(ConfigError, match="metric mcc: it needs labels"):
        metric_of("mcc")


def test_a_choice_may_be_read_from_text() -> None:
    for name in ("accuracy", "macro_f1", "mcc"):
        assert metric_of(name, labels=["a"]).asks is Ask.CHOICE
        assert metric_of(name, labels=["a"], options={"asks": "text"}).asks is Ask.TEXT
    with pytest.raises(ConfigError, match=r"metrics\.mcc\.asks.*use 'choice' or 'text'"):
        metric_of("mcc", labels=["a"], options={"asks": "likelihood"})


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "mcc"])
def test_wrong_indices(name: str) -> None:
    metric = metric_of(name, labels=["a", "b"])
    two = ("a", "b")
    with pytest.raises(DataError, match=rf"{name}: chosen_N\[1\] is 2, but .* 2 choices"):
        metric.statistics(ModelOutputs(chosen_N=np.array([0, 2])), with_gold([0, 0], two))
    with pytest.raises(DataError, match=r"chosen_N\[0\] is -2"):
        metric.statistics(ModelOutputs(chosen_N=np.array([-2])), with_gold([0], two))
    for gold in (None, 2, -1):
        with pytest.raises(DataError, match=rf"example 0 has {gold} as .* in 0\.\.1"):
            metric.statistics(ModelOutputs(chosen_N=np.array([0])), [Given((), two, gold)])

"""What a candidate reached on a set, as statistics of each row, kept and read back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bakeoff.data.taskdata import ExpectedAnswer
from bakeoff.execution.scores import SetScores, row_values
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.metrics.registry import metric_of
from bakeoff.runs.arrays import arrays_bytes, read_arrays
from bakeoff.runs.records import Outputs

LABELS = ("no", "yes")
CHOICE = [metric_of(name, labels=LABELS) for name in ("accuracy", "macro_f1", "mcc", "nll")]
TEXT = [metric_of(name) for name in ("nll", "rouge1")]
LABELLED = [ExpectedAnswer(references=(), choices=LABELS, gold=gold) for gold in (1, 0, 1, 1)]
WRITTEN = [ExpectedAnswer(references=(text,), choices=(), gold=None) for text in ("a b", "c", "d")]


def chosen(*indices: int) -> ModelOutputs:
    return ModelOutputs(
        chosen_N=np.array(indices, dtype=np.int64),
        nll_N=np.array([1.0, 2.0, 4.0, 1.0]),
        tokens_N=np.array([1.0, 1.0, 2.0, 1.0]),
    )


def written(*texts: str) -> ModelOutputs:
    return ModelOutputs(
        texts=list(texts),
        unfinished_N=np.array([len(text) > 2 for text in texts]),
        nll_N=np.array([3.0, 1.0, 2.0]),
        tokens_N=np.array([2.0, 1.0, 3.0]),
    )


def test_every_metric_of_what_was_given_is_scored() -> None:
    scores = SetScores.of(CHOICE, chosen(1, 0, 0, 1), LABELLED)
    values = {metric.name: scores.value(metric) for metric in CHOICE}
    assert values["accuracy"] == 0.75
    assert values["nll"] == pytest.approx(8.0 / 5.0)
    # F1 of "no": 2 · 1 / (2 + 1); of "yes": 2 · 2 / (2 + 3).
    assert values["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert scores.num_examples == 4
    assert scores.statistics["macro_f1"].shape == (4, 6)


def test_what_was_not_asked_is_not_scored() -> None:
    scores = SetScores.of(CHOICE, ModelOutputs(chosen_N=np.zeros(4, dtype=np.int64)), LABELLED)
    assert set(scores.statistics) == {"accuracy", "macro_f1", "mcc"}
    assert scores.value(CHOICE[-1]) is None


def test_outputs_are_counted() -> None:
    scores = SetScores.of(TEXT, written("a b c", " ", "d"), WRITTEN)
    assert scores.outputs == Outputs(examples=3, empty=1, unfinished=1, invalid=0)
    nothing_written = SetScores.of(TEXT[:1], written("", "", ""), WRITTEN)
    assert nothing_written.outputs == Outputs(examples=3, empty=3, unfinished=0, invalid=0)
    likelihoods = replace(written("x", "x", "x"), texts=None, unfinished_N=None)
    assert SetScores.of(TEXT, likelihoods, WRITTEN).outputs is None


def test_a_row_without_a_number_is_found() -> None:
    good = SetScores.of(TEXT, written("a", "b", "c"), WRITTEN)
    assert good.bad_row() is None
    for bad in (np.nan, np.inf):
        outputs = replace(written("a", "b", "c"), nll_N=np.array([1.0, bad, bad]))
        assert SetScores.of(TEXT, outputs, WRITTEN).bad_row() == 1


def test_scores_are_read_back_as_they_were(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("scores") / "test.npz"
    for scores in (
        SetScores.of(CHOICE, chosen(1, 0, 0, 1), LABELLED),
        SetScores.of(TEXT, written("a b c", " ", "d"), WRITTEN),
    ):
        path.write_bytes(arrays_bytes(scores.arrays()))
        arrays = read_arrays(path)
        assert arrays is not None
        found = SetScores.of_arrays(arrays, scores.num_examples)
        assert found is not None
        assert found.outputs == scores.outputs
        assert found.statistics.keys() == scores.statistics.keys()
        for name, array in scores.statistics.items():
            assert found.statistics[name].dtype == array.dtype
            np.testing.assert_array_equal(found.statistics[name], array)


def test_scores_of_other_rows_are_not_taken() -> None:
    arrays = SetScores.of(TEXT, written("a", "b", "c"), WRITTEN).arrays()
    assert SetScores.of_arrays(arrays, 3) is not None
    assert SetScores.of_arrays(arrays, 4) is None
    assert SetScores.of_arrays({**arrays, "nll": arrays["nll"][:2]}, 3) is None
    assert SetScores.of_arrays({**arrays, "nll": arrays["nll"][:, 0]}, 3) is None
    assert SetScores.of_arrays({}, 0) is None
    marks = {name: array for name, array in arrays.items() if name in ("empty", "unfinished")}
    assert SetScores.of_arrays(marks, 3) is None


def test_a_row_s_own_scores_are_those_that_mean_something() -> None:
    scores = SetScores.of(CHOICE, chosen(1, 0, 0, 1), LABELLED)
    assert row_values(scores, CHOICE, 2) == {"accuracy": 0.0, "nll": 4.0, "tokens": 2}
    texts = SetScores.of(TEXT, written("a b", "x", "d"), WRITTEN)
    assert row_values(texts, TEXT, 0) == {"nll": 3.0, "tokens": 2, "rouge1": 1.0}
    assert row_values(texts, TEXT, 1)["rouge1"] == 0.0

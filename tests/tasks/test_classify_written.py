"""Labels that are written: which label a text is, and what an answer that is none counts as."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from bakeoff.errors import ConfigError
from bakeoff.execution.outputs import answers_of
from bakeoff.execution.scores import SetScores
from bakeoff.metrics.contract import Ask, ModelOutputs
from bakeoff.tasks.classify import Classify, ClassifyOptions
from bakeoff.tasks.contract import Task
from tests.tasks.preparing import Write, learnt_of, prepared_rows, task_of
from tests.tokenizer_families import FAMILIES, tokenizer_of

LABELS = ("business", "sport", "weather")


def written(**options: Any) -> Task:
    return Classify(ClassifyOptions(source="x", answer="generate", **{"labels": LABELS, **options}))


def chosen(task: Task, *texts: str) -> list[int]:
    """Which label each text is; the split does not matter."""
    part: Any = None
    outputs = task.read_outputs(ModelOutputs(texts=texts), part)
    assert outputs.texts == texts and outputs.chosen_N is not None
    found: list[int] = outputs.chosen_N.tolist()
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_the_label_is_learnt_with_its_end(write: Write, family: str) -> None:
    """Else a model that writes would not stop."""
    tokenizer = tokenizer_of(family)
    rows = [{"text": f"A storm of {i}.", "label": LABELS[i % 3]} for i in range(6)]
    _, data = prepared_rows(write, tokenizer, rows, kind="classify", answer="generate")
    train = data.splits["train"]
    [choices] = train.choice_sets
    for i in range(6):
        learnt = learnt_of(train, i)
        assert learnt == [*choices.tokens[train.gold[i]].tolist(), tokenizer.eos_token_id]


def test_case_and_white_space_are_nothing_and_all_else_is() -> None:
    assert chosen(written(), " business", "SPORT\n", "Weather") == [0, 1, 2]
    assert chosen(written(), "", "  ", "weather.", "the weather", "weather\nsport", "2") == [-1] * 6


def test_what_the_template_has_after_a_label_may_be_written() -> None:
    task = written(template="{text}: {label}\n###")
    assert chosen(task, " sport\n###", "sport", "sport\n##") == [1, 1, -1]


def test_labels_that_differ_in_case_only_are_told_apart_by_it() -> None:
    task = written(labels=("US", "us", "Straße"))
    assert chosen(task, "US", " us ", "Us", "STRASSE") == [0, 1, -1, 2]


def test_what_is_asked_and_scored() -> None:
    assert [m.name for m in written().metrics] == ["accuracy", "macro_f1", "mcc", "nll"]
    assert written().asks == {Ask.TEXT, Ask.LIKELIHOOD}
    chosen_by = Classify(ClassifyOptions(source="x", labels=LABELS))
    assert chosen_by.asks == {Ask.CHOICE, Ask.LIKELIHOOD}
    # Before the training rows have given the labels, too.
    assert written(labels=None).asks == {Ask.TEXT, Ask.LIKELIHOOD}
    outputs = ModelOutputs(chosen_N=np.array([1]))
    part: Any = None
    assert chosen_by.read_outputs(outputs, part) is outputs
    with pytest.raises(ConfigError, match=r"task\.answer"):
        task_of(kind="classify", answer="write")


def test_an_invalid_answer_is_wrong_and_counted(write: Write, tokenizer: Any) -> None:
    """As scikit-learn scores it, given one more class for what is no label."""
    texts = [" sport", "sports", "weather", "", "BUSINESS", "weather", "none", "sport"]
    gold = [1, 1, 2, 0, 0, 1, 2, 0]
    rows = [{"text": f"A storm of {i}.", "label": LABELS[label]} for i, label in enumerate(gold)]
    task, data = prepared_rows(
        write, tokenizer, rows, rows[:1], rows, kind="classify", answer="generate"
    )
    test = data.splits["test"]
    outputs = task.read_outputs(ModelOutputs(texts=texts), test)
    scores = SetScores.of(task.metrics, outputs, test.expected)
    answers = [1, -1, 2, -1, 0, 2, -1, 1]
    assert outputs.chosen_N is not None and outputs.chosen_N.tolist() == answers
    right = {
        "accuracy": accuracy_score(gold, answers),
        "macro_f1": f1_score(gold, answers, labels=[0, 1, 2], average="macro", zero_division=0),
        "mcc": matthews_corrcoef(gold, answers),
    }
    for metric in task.metrics[:3]:
        assert scores.value(metric) == pytest.approx(right[metric.name], abs=1e-12), metric.name
    counted = scores.outputs
    assert counted is not None
    assert (counted.examples, counted.invalid, counted.empty) == (8, 3, 1)
    assert answers_of(outputs, test) == texts
    table = scores.confusion(task.metrics)
    assert table is not None
    assert table.tolist() == [[1, 1, 0, 1], [0, 1, 1, 1], [0, 0, 1, 1]]


def test_what_is_chosen_by_likelihood_is_never_invalid(write: Write, tokenizer: Any) -> None:
    rows = [{"text": f"A storm of {i}.", "label": LABELS[i % 3]} for i in range(6)]
    task, data = prepared_rows(write, tokenizer, rows, rows[:1], rows, kind="classify")
    outputs = ModelOutputs(
        chosen_N=np.zeros(6, dtype=np.int64), choice_nlls=[np.array([0.1, 2.0, 3.0])] * 6
    )
    scores = SetScores.of(task.metrics, outputs, data.splits["test"].expected)
    assert scores.outputs is None
    assert set(scores.statistics) == {"accuracy", "macro_f1", "mcc", "label_nll"}


def test_labels_may_begin_alike_where_they_are_written(write: Write, tokenizer: Any) -> None:
    """What is refused among labels that are compared: the end of text tells them apart."""
    rows = [{"text": "a storm", "label": "a"}, {"text": "shares", "label": "a b"}]
    _, data = prepared_rows(write, tokenizer, rows, kind="classify", answer="generate")
    assert data.found == {"labels": ["a", "a b"]}


def test_a_random_label_may_be_asked_for(write: Write, tokenizer: Any) -> None:
    rows = [{"text": f"A storm of {i}.", "label": LABELS[i % 3]} for i in range(300)]
    for answer in ("choose", "generate"):
        task, data = prepared_rows(write, tokenizer, rows, kind="classify", answer=answer)
        assert list(task.all_baselines) == ["majority", "zero_shot", "random"]
        assert [baseline.name for baseline in task.baselines] == ["majority", "zero_shot"]
        random = task.all_baselines["random"]
        assert random.outputs is not None
        train = data.splits["train"]
        found = random.outputs(train, train).chosen_N
        assert found is not None
        assert np.abs(np.bincount(found, minlength=3) / 300 - 1 / 3).max() < 0.1
        scores = SetScores.of(task.metrics, random.outputs(train, train), train.expected)
        assert set(scores.statistics) == {"accuracy", "macro_f1", "mcc"}

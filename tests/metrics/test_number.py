from __future__ import annotations

import pytest

from bakeoff.metrics import metric_of
from bakeoff.metrics.base import BaseMetric
from bakeoff.metrics.contract import ModelOutputs
from tests.metrics.examples import with_references

REFERENCE = "She has 3 * 6 = <<3*6=18>>18 eggs.\n#### 1,018"


@pytest.mark.parametrize(
    ("text", "flexible", "strict"),
    [
        ("so\n#### 1018", 1, 1),
        ("so\n#### 1,018", 1, 1),
        ("#### 1018.", 1, 1),
        ("#### $1018", 1, 0),  # the strict filter knows no dollar sign
        ("####1018", 1, 0),  # a space must follow
        ("The answer is $1,018.", 1, 0),
        ("1018 of 1019", 0, 0),  # the last one counts
        ("#### 1018\n#### 7", 0, 1),  # the first one after the mark counts
        ("#### 1018\nQ: what is 5 + 5?", 0, 1),
        ("#### -1018", 0, 0),
        ("#### 1018.0", 0, 0),  # compared as text
        ("", 0, 0),
    ],
)
def test_as_the_harness_scores_gsm8k(text: str, flexible: int, strict: int) -> None:
    outputs, examples = ModelOutputs(texts=[text]), with_references([REFERENCE])
    for name, right in (("number", flexible), ("number_strict", strict)):
        assert metric_of(name).statistics(outputs, examples).tolist() == [[right, 1]], name


def test_answers_without_a_number_are_invalid() -> None:
    texts = ["none at all", "5", "#### 5"]
    for name, right in (("number", [True, False, False]), ("number_strict", [True, True, False])):
        metric = metric_of(name)
        assert isinstance(metric, BaseMetric)
        found = metric.invalid(ModelOutputs(texts=texts))
        assert found is not None and found.tolist() == right


def test_references_that_no_answer_can_match(caplog: pytest.LogCaptureFixture) -> None:
    fine = with_references(["18", "-2.5", "$1,000", "x\n#### 7", ("a lot", "9")])
    metric_of("number").statistics(ModelOutputs(texts=["1"] * 5), fine)
    assert caplog.text == ""
    wrong = with_references(["18", "so it is 18"])
    metric_of("number").statistics(ModelOutputs(texts=["18", "18"]), wrong)
    assert "1 of 2 references are no number, such as 'so it is 18'" in caplog.text

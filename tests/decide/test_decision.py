"""The options of a decision, and the margins that follow from them and from validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakeoff.config import from_mapping
from bakeoff.decide.margins import MetricScale, decision_of, default_margin
from bakeoff.decide.options import DecisionOptions
from bakeoff.errors import ConfigError
from bakeoff.runs.records import Estimate, Margin
from bakeoff.study.loading import study_from_mapping

NLL = MetricScale(name="nll", higher_is_better=False, default_margin=0.02)
ROUGE = MetricScale(name="rouge1", higher_is_better=True, default_margin=0.01)
Estimates = dict[str, dict[str, Estimate]]


def nll(**means: float) -> Estimates:
    return {name: {"nll": Estimate(mean=mean)} for name, mean in means.items()}


@pytest.mark.parametrize(
    ("methods", "baselines", "higher", "expected"),
    [
        ([0.9, 0.7], [0.2, 0.4], True, (0.05, "gain")),  # a tenth of 0.5
        ([2.0, 2.5], [3.0, 3.5], False, (0.1, "gain")),
        ([0.44], [0.4], True, (0.02 / 4, "least")),  # a tenth of it would be too little
        ([0.3], [0.4], True, (0.02 / 4, "least")),  # no gain
        ([3.0], [2.0], False, (0.02 / 4, "least")),
        ([0.3], [], True, (0.02, "default")),
        ([], [0.3], True, (0.02, "default")),
        ([float("nan")], [0.3], True, (0.02, "default")),
        ([0.9, float("nan")], [0.4], True, (0.05, "gain")),
    ],
)
def test_default_margin(
    methods: list[float], baselines: list[float], higher: bool, expected: tuple[float, str]
) -> None:
    found = default_margin(methods, baselines, higher_is_better=higher, metric_default=0.02)
    assert found.value == pytest.approx(expected[0])
    assert found.source == expected[1]


def test_margins_follow_from_validation_where_it_has_both() -> None:
    found = decision_of(
        DecisionOptions(),
        [NLL, ROUGE],
        nll(lora=2.0, head=2.5),
        {**nll(zero_shot=3.0, other=2.8), "lead": {}},
        primary="nll",
    )
    assert (found.metric, found.level, found.tolerance) == ("nll", 0.95, None)
    assert found.margins["nll"].value == pytest.approx(0.08)
    assert found.margins["nll"].source == "gain"
    assert found.margins["rouge1"] == Margin(value=0.01, source="default")


def test_what_the_study_sets_goes_first() -> None:
    options = DecisionOptions(
        metric="rouge1", margin={"nll": 0.5, "rouge1": 0.0}, level=0.9, tolerance=0.03
    )
    found = decision_of(options, [NLL, ROUGE], nll(a=2.0), nll(base=3.0), primary="nll")
    assert (found.metric, found.level, found.tolerance) == ("rouge1", 0.9, 0.03)
    assert found.margins["nll"] == Margin(value=0.5, source="study")
    assert found.margins["rouge1"] == Margin(value=0.0, source="study")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"margin": {"nll": -0.1}},
            "decision.margin.nll: -0.1 is not a finite number of zero or more; give",
        ),
        ({"level": 0.0}, "decision.level: 0.0 is not between 0 and 1; give a share, such as 0.95"),
        ({"level": 1.0}, "decision.level: 1.0 is not between 0 and 1; give a share, such as 0.95"),
        ({"level": 95}, "decision.level: 95.0 is not between 0 and 1"),
        ({"tolerance": -1}, "decision.tolerance: -1.0 is not a finite number of zero or more"),
        ({"margins": {}}, "decision.margins"),
        ({"margin": 0.1}, "decision.margin = 0.1: must be a mapping of keys to values"),
        ({"margin": {"nll": "0.1"}}, "must be a number"),
    ],
)
def test_bad_options_name_place_value_rule_and_remedy(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(DecisionOptions, given, path="decision")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"metric": "rogue1"},
            "decision.metric: 'rogue1' is not a metric of this study's task; did you mean rouge1? "
            "It has: nll, rouge1",
        ),
        ({"margin": {"accuracy": 0.01}}, "decision.margin.accuracy: 'accuracy' is not a metric"),
    ],
)
def test_metrics_are_the_tasks(given: dict[str, Any], message: str) -> None:
    study = {
        "name": "x",
        "base": "tiny",
        "task": {"source": "wire"},
        "methods": {"lora": {"learning_rate": 1e-3}},
    }
    with pytest.raises(ConfigError) as caught:
        study_from_mapping({**study, "decision": given}, folder=Path.cwd())
    assert message in str(caught.value)


def test_a_study_without_a_decision_has_the_default_and_writes_it_out() -> None:
    study = {
        "name": "x",
        "base": "tiny",
        "task": {"source": "wire"},
        "methods": {"lora": {"learning_rate": 1e-3}},
    }
    found = study_from_mapping(study, ["decision.margin.rouge1=0.02"], folder=Path.cwd())
    assert found.resolved["decision"] == {
        "metric": None,
        "margin": {"rouge1": 0.02},
        "level": 0.95,
        "tolerance": None,
    }

from __future__ import annotations

from dataclasses import replace

import pytest

from bakeoff.data.options import ExamplesOptions, SplitShares, TaskOptions
from bakeoff.errors import ConfigError

GOOD = TaskOptions(kind="test", source="wire")


def test_defaults_are_valid() -> None:
    GOOD.validate()


@pytest.mark.parametrize(
    ("changes", "place", "value"),
    [
        ({"max_length": 65}, "task.max_length", "65"),
        ({"max_target_tokens": 0}, "task.max_target_tokens", "0"),
        ({"seed": -1}, "task.seed", "-1"),
        ({"examples": ExamplesOptions(validation=0)}, "task.examples.validation", "0"),
        ({"split_by_hash": SplitShares(test=0.0)}, "task.split_by_hash.test", "0.0"),
        ({"split_by_hash": SplitShares(validation=0.5, test=0.5)}, "task.split_by_hash", "0.5"),
        ({"source": " "}, "task.source", "empty"),
        ({"source": {"train": "a.csv"}}, "task.source", "train"),
        ({"group": ""}, "task.group", "empty"),
        ({"cleaning": ("lowercase", "lowercase")}, "task.cleaning", "lowercase"),
    ],
)
def test_an_error_names_place_and_value(changes: dict[str, object], place: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(GOOD, **changes).validate()  # type: ignore[arg-type]
    assert place in str(caught.value)
    assert value in str(caught.value)


def test_the_least_length_that_holds_answer_and_input_is_valid() -> None:
    replace(GOOD, max_length=66).validate()


def test_the_place_can_be_another() -> None:
    with pytest.raises(ConfigError, match=r"study\.task\.seed"):
        replace(GOOD, seed=-1).validate("study.task")

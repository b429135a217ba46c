"""What the package adds keeps to bakeoff's contracts, and to what is its own."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from bakeoff.base.model import Base
from bakeoff.testing import MethodContract, MetricContract, TaskContract
from bakeoff_extension.cer import distance


class TestLnTuning(MethodContract):
    kind = "ln_tuning"
    smaller: ClassVar[dict[str, Any]] = {"biases": False}

    def num_parameters(self, base: Base) -> int:
        norms = base.norm_layers().values()
        return sum(parameter.numel() for norm in norms for parameter in norm.parameters())


class TestLnTuningOnLlama(TestLnTuning):
    base = "scratch:tiny-llama"


class TestCorrect(TaskContract):
    kind = "correct"
    options: ClassVar[dict[str, Any]] = {"max_length": 96, "max_target_tokens": 32}
    rows: ClassVar[list[dict[str, Any]]] = [
        {"wrong": "Teh cat sat.", "right": "The cat sat."},
        {"wrong": "A dgo\nbarked at us.", "right": "A dog\nbarked at us."},
        {"wrong": "Two bidrs <|endoftext|> flew.", "right": "Two birds flew."},
    ]
    bad: ClassVar[list[tuple[dict[str, Any], str]]] = [
        ({"wrong": "x", "right": " "}, "is empty"),
        ({"wrong": 3.5, "right": "x"}, "is not text"),
    ]


class TestCer(MetricContract):
    name = "cer"


@pytest.mark.parametrize(
    ("text", "other", "edits"),
    [
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "", 3),
        ("same", "same", 0),
        ("ab", "ba", 2),
    ],
)
def test_edits_are_counted(text: str, other: str, edits: int) -> None:
    assert distance(text, other) == edits

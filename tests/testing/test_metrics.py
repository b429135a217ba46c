"""The shipped contract of metrics, over the metrics that bakeoff brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bakeoff.metrics import METRIC_NAMES
from bakeoff.metrics.contract import Expected, Floats, ModelOutputs
from bakeoff.metrics.squad import ExactMatch
from bakeoff.testing import MetricContract

LABELS = ("red", "green", "blue")
NUMBERS = [f"so it is\n#### {7 * index + 3}" for index in range(7)]
WRONG_NUMBERS = [*NUMBERS[:3], "none", "17", "", NUMBERS[6]]
JSON = ['{"a": 1}', "[1, 2]", '"text"', "3", "null", "true", '{"b": {"c": []}}']
NO_JSON = ['{"a": 1}', "[1, 2", "text", "3", "", "true", "{b: 1}"]
OBJECTS = [f'{{"a": {index}}}' for index in range(7)]
NO_OBJECTS = ['{"a": 0}', '{"b": 1}', "[2]", '{"a": 3}', "", '{"a": 5}', "{"]
FORMS: dict[str, dict[str, Any]] = {
    "number": {"references": NUMBERS, "written": WRONG_NUMBERS},
    "number_strict": {"references": NUMBERS, "written": WRONG_NUMBERS},
    "json_valid": {"references": JSON, "written": NO_JSON},
    "schema_valid": {
        "references": OBJECTS,
        "written": NO_OBJECTS,
        "options": {"schema": {"type": "object", "required": ["a"]}},
    },
    "python": {"options": {"function": f"{__file__}:same_length"}},
    **{name: {"labels": LABELS} for name in ("macro_f1", "mcc", "label_nll")},
}


def same_length(prediction: str, references: Sequence[str], *_: Any) -> float:
    """A function of a user's own."""
    return float(any(len(prediction) == len(reference) for reference in references))


for _name in METRIC_NAMES:
    _class = f"Test{_name.title().replace('_', '')}"
    _parts = {"name": _name, "__module__": __name__, **FORMS.get(_name, {})}
    globals()[_class] = type(_class, (MetricContract,), _parts)


def test_no_metric_is_left_out() -> None:
    tested = {cls.name for key, cls in globals().items() if key.startswith("Test")}
    assert tested == set(METRIC_NAMES)


class Ranked(ExactMatch):
    """Scores an answer by its place among all, and calls the least the best."""

    name = "ranked"
    higher_is_better = False

    def statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        found = super().statistics(outputs, examples)
        found[:, 0] += np.arange(len(found))
        return found

    def value(self, sums: NDArray[Any]) -> Floats:
        return np.asarray(sums[..., 0].mean() / np.maximum(sums[..., 1].max(), 1.0))


@pytest.mark.parametrize(
    "test",
    [
        "test_an_examples_statistics_are_its_own",
        "test_its_value_broadcasts",
        "test_sums_of_nothing_have_no_value",
        "test_a_perfect_answer_is_better",
    ],
)
def test_a_defect_is_found(test: str) -> None:
    contract = MetricContract()
    with pytest.raises(AssertionError):
        getattr(contract, test)(Ranked())

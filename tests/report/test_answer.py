"""What the first screen warns of."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.report.answer import build_answer
from bakeoff.report.table import build_rows


def told(lead: float, low: float) -> list[str]:
    """The caveats of a method at ROUGE-1 35.0 (31 to 38) beside a lead baseline."""
    results: dict[str, Any] = {
        "methods": {
            "full": {
                "state": "COMPLETE",
                "test_nll": 1.5,
                "rouge1": {"mean": 0.35, "low": 0.31, "high": 0.38},
            }
        },
        "baselines": {"lead": {"k": 3, "rouge1": lead, "intervals": {"rouge1": {"low": low}}}},
    }
    return build_answer(results, build_rows(results)).caveats


@pytest.mark.parametrize(
    ("lead", "low", "caveats"),
    [
        (0.45, 0.41, ["lead-3, which trains nothing, has the higher ROUGE-1: 45.0 against 35.0."]),
        (
            0.36,
            0.33,
            [
                "lead-3, which trains nothing, has the higher ROUGE-1: "
                "36.0 against 35.0, though their intervals overlap."
            ],
        ),
        (0.34, 0.30, []),
    ],
    ids=["apart", "overlapping", "lower"],
)
def test_a_baseline_is_called_higher_only_where_the_intervals_part(
    lead: float, low: float, caveats: list[str]
) -> None:
    assert told(lead, low) == caveats

"""The schema that the package ships is that of the present records."""

from __future__ import annotations

from bakeoff.runs.schema import results_schema, shipped_schema


def test_the_shipped_schema_is_that_of_the_records() -> None:
    assert shipped_schema() == results_schema(), "run python -m bakeoff.runs.schema"


def test_it_names_every_key_of_the_results() -> None:
    keys = set(shipped_schema()["properties"])
    assert keys == {
        *("schema", "status", "study", "environment", "data", "task", "baselines", "methods"),
        *(
            "candidates",
            "comparisons",
            "recommendation",
            "decision",
            "factors",
            "judge",
            "search",
            "also_test",
            "learning_curve",
            "notes",
        ),
    }

"""The schema that the package ships is that of the present records."""

from __future__ import annotations

from typing import Any

from bakeoff.runs.schema import results_schema, shipped_schema


def without_descriptions(found: Any) -> Any:
    if isinstance(found, list):
        return [without_descriptions(one) for one in found]
    if not isinstance(found, dict):
        return found
    return {k: without_descriptions(v) for k, v in found.items() if k != "description"}


def test_the_shipped_schema_is_that_of_the_records() -> None:
    shipped, present = shipped_schema(), results_schema()
    if "description" not in present["$defs"]["CostRecord"]:
        # Older releases of pydantic leave out the docstrings of standard dataclasses.
        shipped = without_descriptions(shipped)
        present = without_descriptions(present)
    assert shipped == present, "run python -m bakeoff.runs.schema"


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

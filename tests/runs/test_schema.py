"""The schema that the package ships is that of the present records."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from bakeoff.runs.schema import SCHEMA_FILE, results_schema, shipped_schema


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


def test_only_its_command_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, str]] = []

    def write(path: Path, text: str, **options: Any) -> None:
        written.append((path.name, text))

    monkeypatch.setattr(Path, "write_text", write)
    monkeypatch.delitem(sys.modules, "bakeoff.runs.schema")
    runpy.run_module("bakeoff.runs.schema", run_name="imported")
    assert written == []
    runpy.run_module("bakeoff.runs.schema", run_name="__main__")
    [(name, text)] = written
    assert name == SCHEMA_FILE and json.loads(text) == results_schema()


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

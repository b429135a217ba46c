"""The JSON Schema of ``results.json``, which the package ships: ``results.schema.json``.

``python -m bakeoff.runs.schema`` writes it again after a record has changed.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from bakeoff.runs.reading import adapter_of
from bakeoff.runs.records import SCHEMA, Results

SCHEMA_FILE = "results.schema.json"


def results_schema() -> dict[str, Any]:
    """The schema of the present records."""
    found = adapter_of(Results).json_schema(mode="serialization")
    title = f"results.json of bakeoff, schema {SCHEMA}"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": title}


def shipped_schema() -> dict[str, Any]:
    """The schema as the package ships it."""
    text = resources.files("bakeoff.runs").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


if __name__ == "__main__":
    text = json.dumps(results_schema(), indent=1, ensure_ascii=False) + "\n"
    Path(__file__).with_name(SCHEMA_FILE).write_text(text, encoding="utf-8")

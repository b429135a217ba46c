"""Asks a running server whatever its OpenAPI schema allows and forbids: no answer may be a 5xx.

Schemathesis draws the requests; it needs an environment of its own:

    python -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install schemathesis
    bakeoff serve COPY_OF_A_RUN --max-tokens 16 --max-positions 512 &
    /tmp/fuzz/bin/python tools/fuzz_serve.py http://127.0.0.1:8000 --cases 2000

The schema is narrowed to names of models, rows and studies that the server has, so that requests
come as far as the engine; what is drawn against the schema has any names. Votes are kept in the
run's folder, so serve a copy. It ends with 1 where an answer was a 5xx, or where fewer cases than
asked for were drawn.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any


def fetched(address: str) -> Any:
    """What a route answers, as JSON."""
    with urllib.request.urlopen(address, timeout=60) as answer:
        return json.load(answer)


def narrowed(address: str) -> dict[str, Any]:
    """The server's schema, in which models are those that it has."""
    schema: dict[str, Any] = fetched(f"{address}/openapi.json")
    models = fetched(f"{address}/v1/models")["data"]
    names = [model["id"] for model in models]
    studies = sorted({model["study"] for model in models})
    columns = sorted({name for model in models for name in model["columns"]})
    for body in schema["components"]["schemas"].values():
        properties = body.get("properties", {})
        for key in ("model", "a", "b"):
            if key in properties:
                properties[key] = {"type": "string", "enum": names}
        if "models" in properties:
            properties["models"]["items"] = {"type": "string", "enum": names}
            properties["models"]["maxItems"] = min(4, len(names))
        if "study" in properties:
            properties["study"] = {"type": "string", "enum": studies}
        for key in ("row", "rows"):
            if key in properties and columns:
                kept = properties[key]
                text = {"type": "object", "properties": {c: {"type": "string"} for c in columns}}
                text["required"] = columns
                properties[key] = {"anyOf": [text if key == "row" else _listed(text), kept]}
    return schema


def _listed(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": 4}


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    beside = Path(sys.executable).parent / "schemathesis"
    command = str(beside) if beside.exists() else shutil.which("schemathesis")
    if command is None:
        raise SystemExit("schemathesis is not installed here; pip install schemathesis")
    address = given.address.rstrip("/")
    schema = narrowed(address)
    operations = sum(len(methods) for methods in schema["paths"].values())
    with tempfile.TemporaryDirectory() as folder:
        file, report = Path(folder) / "openapi.json", Path(folder) / "report.json"
        file.write_text(json.dumps(schema), encoding="utf-8")
        subprocess.run(
            [
                *(command, "run", str(file), "--url", address),
                *("--checks", "not_a_server_error", "--continue-on-failure", "--no-shrink"),
                *("--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all"),
                # Routes without a body have few different requests.
                *("--max-examples", str(2 * given.cases // operations)),
                *("--seed", str(given.seed), "--workers", str(given.workers)),
                *("--request-timeout", "120", "--warnings", "off"),
                *("--report", "json", "--report-json-path", str(report)),
            ],
            check=False,
        )
        found = json.loads(report.read_text(encoding="utf-8"))
    cases, failures = found["test_cases"], found["failures"]
    print(json.dumps({"operations": operations, **cases, "failures": failures}))
    is_alive = fetched(f"{address}/ready")["status"] == "ready"
    if failures or found["errors"] or cases["generated"] < given.cases or not is_alive:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

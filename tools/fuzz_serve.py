"""Asks a running server whatever its OpenAPI schema allows and forbids: no answer may be a 5xx.

Schemathesis draws the requests; it needs an environment of its own:

    python -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install schemathesis
    bakeoff serve COPY_OF_A_RUN... --max-tokens 16 --max-positions 512 &
    /tmp/fuzz/bin/python tools/fuzz_serve.py http://127.0.0.1:8000 --cases 2000

Half of the cases are drawn from the schema as it is, most of which are refused for naming no model
that there is; the others from one that is narrowed to the server's models and to short prompts, so
that they come as far as the engine. Both hold requests that break the schema on purpose. Votes are
kept in the run's folder, so serve a copy. It ends with 1 where an answer was a 5xx, or where fewer
cases than asked for were drawn.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 60}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 16}
NARROW: dict[str, dict[str, Any]] = {
    "prompt": _TEXT,
    "input": _TEXT,
    "max_tokens": _COUNT,
    "max_completion_tokens": _COUNT,
    "n": {**_COUNT, "maximum": 3},
    "stop": {"type": "array", "items": _TEXT, "maxItems": 4},
    "choices": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 4},
    "logit_bias": {
        "type": "object",
        "propertyNames": {"pattern": "^[0-9]{1,2}$"},
        "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
        "maxProperties": 3,
    },
    "messages": {
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": {
            "type": "object",
            "properties": {"role": {"type": "string", "enum": ["user"]}, "content": _TEXT},
            "required": ["role", "content"],
            "additionalProperties": False,
        },
    },
}
"""Fields whose narrow form is one that the server takes."""
DROPPED = ("row", "rows", "stream_options", "best_of", "suffix", "top_logprobs", "tools")
"""Fields that are refused beside others."""


def fetched(address: str) -> Any:
    """What a route answers, as JSON."""
    with urllib.request.urlopen(address, timeout=60) as answer:
        return json.load(answer)


def narrowed(address: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The server's schema, in which models are those that it has, and fields fit each other."""
    models = fetched(f"{address}/v1/models")["data"]
    name = {"type": "string", "enum": [model["id"] for model in models]}
    study = {"type": "string", "enum": sorted({model["study"] for model in models})}
    changed = copy.deepcopy(schema)
    for body in changed["components"]["schemas"].values():
        properties = body.get("properties", {})
        if not {"model", "models", "a"} & set(properties):
            continue
        for key in DROPPED:
            properties.pop(key, None)
        for key in set(NARROW) & set(properties):
            properties[key] = NARROW[key]
        if "models" in properties:
            properties["models"] = {"type": "array", "items": name, "minItems": 1, "maxItems": 4}
            properties.pop("messages", None)
        given = {"model": name, "a": name, "b": name, "study": study}
        properties |= {key: given[key] for key in given if key in properties}
        needed = ("prompt", "input", "messages", "choices")
        body["required"] = sorted(
            {*body.get("required", ()), *(key for key in needed if key in properties)}
        )
    return changed


def drawn(command: str, schema: dict[str, Any], address: str, cases: int, seed: int) -> Any:
    """Schemathesis's own report."""
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
                *("--max-examples", str(2 * cases // operations)),
                # More than one worker meets a fault of CPython 3.11's in Hypothesis.
                *("--seed", str(seed), "--workers", "1"),
                *("--request-timeout", "120", "--warnings", "off"),
                *("--report", "json", "--report-json-path", str(report)),
            ],
            check=False,
        )
        return json.loads(report.read_text(encoding="utf-8"))


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    beside = Path(sys.executable).parent / "schemathesis"
    command = str(beside) if beside.exists() else shutil.which("schemathesis")
    if command is None:
        raise SystemExit("schemathesis is not installed here; pip install schemathesis")
    address = given.address.rstrip("/")
    schema = fetched(f"{address}/openapi.json")
    generated, failures, errors = 0, [], []
    for part in (schema, narrowed(address, schema)):
        found = drawn(command, part, address, given.cases // 2, given.seed)
        generated += found["test_cases"]["generated"]
        failures += found["failures"]
        errors += found["errors"]
    print(json.dumps({"cases": generated, "failures": failures, "errors": errors}))
    is_alive = fetched(f"{address}/ready")["status"] == "ready"
    if failures or errors or generated < given.cases or not is_alive:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Asks a running server whatever its OpenAPI schema allows and forbids: no answer may be a 5xx.

Schemathesis draws the requests; it needs an environment of its own:

    python -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install schemathesis
    bakeoff serve COPY_OF_A_RUN... --max-tokens 16 --max-positions 512 &
    /tmp/fuzz/bin/python tools/fuzz_serve.py http://127.0.0.1:8000 --cases 2000

Half of the cases are drawn from the schema as it is, most of which are refused for naming no model
that there is; the others from one with the same operations and the same fields, whose values are
the server's own (models, studies, test rows), small, and of one piece: fields that exclude each
other come in requests of their own. These come as far as the engine. Both halves hold requests that
break the schema on purpose. Votes are kept in the run's folder, so serve a copy. It prints how each
route has answered, by the server's own count, and ends with 1 where an answer was a 5xx, where a
route has never answered 200, or where fewer cases than asked for were drawn.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 60}
_TOKEN: Schema = {"type": "integer", "minimum": 0, "maximum": 200}
_COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": 16}


def _list(of: Schema, most: int) -> Schema:
    return {"type": "array", "items": of, "minItems": 1, "maxItems": most}


def _object(required: Sequence[str] = (), **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _only(*values: Any) -> Schema:
    return {"enum": list(values)}


_PART = _object(("type", "text"), type=_only("text"), text=_TEXT)
_TURN = _object(
    ("role", "content"),
    role=_only("system", "user", "assistant", "tool"),
    content={"anyOf": [_TEXT, _list(_PART, 3), {"type": "null"}]},
)
_TOOL = _object(
    ("type", "function"),
    type=_only("function"),
    function=_object(("name",), name=_TEXT, description=_TEXT, parameters=_only({})),
)
SMALL: dict[str, Schema] = {
    "prompt": {
        "anyOf": [_TEXT, _list(_TEXT, 3), _list(_TOKEN, 30), _list(_list(_TOKEN, 20), 3)],
    },
    "input": {"anyOf": [_TEXT, _list(_TEXT, 3)]},
    "messages": {"anyOf": [_list(_TURN, 5), _only([{"role": "user", "content": "A fair."}])]},
    "tools": _list(_TOOL, 2),
    "max_tokens": _COUNT,
    "max_completion_tokens": _COUNT,
    "n": {**_COUNT, "maximum": 3},
    "stop": {"anyOf": [_TEXT, _list(_TEXT, 4)]},
    "choices": _list(_TEXT, 4),
    "suffix": {"type": "null"},
    "logit_bias": {
        "type": "object",
        "propertyNames": {"pattern": "^[0-9]{1,2}$"},
        "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
        "maxProperties": 3,
    },
}
"""Fields whose values are kept small; all others are as the server's schema has them."""
ASKED: dict[str, tuple[str, ...]] = {
    "CompletionBody": ("prompt", "row"),
    "ChatBody": ("messages",),
    "ClassifyBody": ("input", "rows"),
    "ScoreBody": ("prompt", "row"),
    "CompareBody": ("prompt", "row", "test_row", "messages"),
    "VoteBody": ("verdict",),
}
"""Of each body, the fields of which a request has one."""
BESIDE: dict[str, Schema] = {
    "stream_options": {"stream": _only(True)},
    "top_logprobs": {"logprobs": _only(True)},
}
"""Fields that need another one."""
WITHOUT: dict[str, tuple[str, ...]] = {"row": ("echo", "raw"), "test_row": ("raw",)}
"""Fields that have no effect beside one that is asked with."""


def fetched(address: str) -> Any:
    """What a route answers, as JSON."""
    with urllib.request.urlopen(address, timeout=60) as answer:
        return json.load(answer)


def narrowed(address: str, schema: Schema) -> Schema:
    """The server's schema with its own names in it, and with fields that fit each other."""
    models = fetched(f"{address}/v1/models")["data"]
    name = _only(*(model["id"] for model in models))
    studies = sorted({model["study"] for model in models})
    found = [row for one in studies for row in fetched(f"{address}/rows?study={one}")["data"]]
    row: Schema = {"anyOf": [{"type": "object"}, _only(*(one["row"] or {} for one in found[:20]))]}
    index = {"type": "integer", "minimum": 0, "maximum": max(0, len(found) - 1)}
    own: dict[str, Schema] = {
        **dict.fromkeys(("model", "a", "b"), name),
        "models": {**_list(name, 4), "uniqueItems": True},
        "study": _only(*studies),
        "row": row,
        "rows": _list(row, 3),
        "test_row": _object(("study", "index"), study=_only(*studies), index=index),
    }
    changed = copy.deepcopy(schema)
    bodies = changed["components"]["schemas"]
    for body, asked in ASKED.items():
        given = {**bodies[body]["properties"]}
        given |= {key: value for key, value in {**SMALL, **own}.items() if key in given}
        if body in ("ScoreBody", "CompareBody") and "prompt" in given:
            given["prompt"] = _TEXT
        needed = set(bodies[body].get("required", ()))
        bodies[body] = {
            "anyOf": [
                _one(given, needed, kept, asked, beside)
                for kept in asked
                for beside in (None, *(key for key in BESIDE if key in given))
            ]
        }
    return changed


def _one(
    given: Schema, needed: set[str], kept: str, asked: Sequence[str], beside: str | None
) -> Schema:
    """A body that asks in one way, with at most one of the fields that need another."""
    left_out = {*asked, *BESIDE, *WITHOUT.get(kept, ())} - {kept}
    properties = {key: value for key, value in given.items() if key not in left_out}
    required = {*needed, kept}
    if beside is not None:
        properties |= {beside: given[beside], **BESIDE[beside]}
        required |= {beside, *BESIDE[beside]}
    return _object(sorted(required), **properties)


def answered(address: str) -> dict[str, dict[str, int]]:
    """Answers by route and status, as the server counts them."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for line in re.findall(r"^bakeoff_requests_total\{(.*)\} (\S+)$", text, re.MULTILINE):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line[0]))
        found[labels["route"]][labels["status"]] = int(float(line[1]))
    return found


def drawn(command: str, schema: Schema, address: str, cases: int, seed: int) -> Any:
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
    routes = answered(address)
    asked = {path for path, methods in schema["paths"].items() if "post" in methods}
    never = sorted(path for path in asked if "200" not in routes.get(path, {}))
    failed = {path: found for path, found in routes.items() if any(s[0] == "5" for s in found)}
    told = {"cases": generated, "failures": failures, "errors": errors, "never_200": never}
    print(json.dumps({**told, "routes": routes}))
    is_alive = fetched(f"{address}/ready")["status"] == "ready"
    if failures or errors or failed or never or generated < given.cases or not is_alive:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

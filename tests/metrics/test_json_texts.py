from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.metrics import metric_of
from bakeoff.metrics.base import BaseMetric
from bakeoff.metrics.contract import ModelOutputs
from tests.metrics.examples import Given, whole

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"age": {"$ref": "#/$defs/age"}},
    "required": ["age"],
    "$defs": {"age": {"type": "integer", "minimum": 0}},
}


@pytest.mark.parametrize(
    ("text", "is_json", "fits"),
    [
        ('{"age": 3}', 1, 1),
        (' {"age": 3, "name": null}\n', 1, 1),
        ('{"age": -3}', 1, 0),
        ('{"age": "3"}', 1, 0),
        ("3", 1, 0),
        ("null", 1, 0),
        ('{"age": 3} and more', 0, 0),
        ('```json\n{"age": 3}\n```', 0, 0),
        ("{'age': 3}", 0, 0),
        ('{"age": NaN}', 0, 0),
        ("", 0, 0),
        ("[" * 100_000, 0, 0),
        ('{"age": ' + "9" * 5000 + "}", 0, 0),
    ],
)
def test_texts(text: str, is_json: int, fits: int) -> None:
    outputs = ModelOutputs(texts=[text])
    for name, options, right in (
        ("json_valid", {}, is_json),
        ("schema_valid", {"schema": SCHEMA}, fits),
    ):
        metric = metric_of(name, options=options)
        assert metric.statistics(outputs, [Given()]).tolist() == [[right, 1]], name
        assert isinstance(metric, BaseMetric)
        invalid = metric.invalid(outputs)
        assert invalid is not None and invalid.tolist() == [not is_json]


def test_a_share_of_texts() -> None:
    outputs = ModelOutputs(texts=['{"age": 1}', "{}", "no"])
    examples = [Given()] * 3
    assert whole(metric_of("json_valid"), outputs, examples) == 2 / 3
    schema = metric_of("schema_valid", options={"schema": SCHEMA})
    assert whole(schema, outputs, examples) == 1 / 3
    assert "https://json-schema.org/draft/2020-12/schema" in schema.signature


def test_a_schema_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA | {"$schema": "http://json-schema.org/draft-07/schema#"}))
    metric = metric_of("schema_valid", options={"schema": str(path)})
    assert "draft-07" in metric.signature
    with pytest.raises(ConfigError, match=r"schema = .*none\.json'.*cannot be read"):
        metric_of("schema_valid", options={"schema": str(tmp_path / "none.json")})
    path.write_text("{")
    with pytest.raises(ConfigError, match="the file holds no JSON"):
        metric_of("schema_valid", options={"schema": str(path)})


def test_wrong_schemas() -> None:
    with pytest.raises(ConfigError, match=r"metrics\.schema_valid\.schema is missing"):
        metric_of("schema_valid")
    with pytest.raises(ConfigError, match=r"it is no JSON Schema: \$\.type: 'integr'"):
        metric_of("schema_valid", options={"schema": {"type": "integr"}})


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    opened: list[object] = []
    monkeypatch.setattr(urllib.request, "urlopen", opened.append)
    schema = {"properties": {"age": {"$ref": "http://127.0.0.1:9/age.json"}}}
    metric = metric_of("schema_valid", options={"schema": schema})
    with pytest.raises(ConfigError, match=r"'http://127.0.0.1:9/age.json' is not in the schema"):
        metric.statistics(ModelOutputs(texts=['{"age": 1}']), [Given()])
    assert opened == []

"""``task.metrics``: what a study's answers are scored by, and what decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.config import dump_yaml
from bakeoff.errors import ConfigError
from bakeoff.study.loading import study_from_mapping
from bakeoff.tasks.registry import read_task
from tests.studies import small_study

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]

FUNCTION = """
def score(prediction, references, row):
    assert row["city"] and row["short"] == references[0]
    return {"length": len(prediction), "named": float(row["city"] in prediction)}
"""
SUMMARIZE = {"kind": "summarize", "source": "rows"}


def names(**task: Any) -> list[str]:
    return [m.name for m in read_task({**SUMMARIZE, **task}).metrics_before_rows]


def message_of(metrics: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        names(metrics=metrics)
    return str(caught.value)


def test_named_metrics_replace_the_kinds_own_and_nll_stays() -> None:
    assert names()[0] == "nll" and "rougeLsum" in names()
    # A kind whose own metric is the likelihood stays decided by it.
    assert names(metrics=["chrf", "rouge1"]) == ["nll", "chrf", "rouge1"]
    labelled = {"kind": "classify", "labels": ["a", "b"]}
    assert names(**labelled, metrics=["mcc", "accuracy"]) == ["accuracy", "mcc", "nll"]
    assert names(**labelled, metrics=["mcc", "brier"]) == ["mcc", "brier", "nll"]


def test_what_cannot_be_meant_is_refused_with_what_to_write() -> None:
    assert "did you mean 'rougeL'" in message_of(["rougeLL"])
    assert "{python: my_metrics.py:score}" in message_of([{"rouge1": 3}])
    assert "is not one metric" in message_of([{"rouge1": None, "rouge2": None}])
    assert "must be FILE.py:NAME" in message_of(["python: score"])
    assert "cannot be read" in message_of([{"python": "nowhere.py:score"}])
    assert "two of them are called 'nll'" not in message_of([{"nll": {"a": 1}}])


def test_two_functions_of_one_name_need_another(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.py").write_text("def score(p, r, row): return 1.0\n")
    two = [{"python": f"{tmp_path / name}.py:score"} for name in "ab"]
    assert "two of them are called 'score'" in message_of(two)
    options = {"function": f"{tmp_path / 'b'}.py:score", "name": "other"}
    assert names(metrics=[two[0], {"python": options}]) == ["nll", "score", "other"]


def test_decide_by_is_another_name_of_decision_metric(place: Path) -> None:
    def deciding(**changes: Any) -> str | None:
        study = study_from_mapping(small_study(**changes), folder=place)
        assert "decide_by" not in study.resolved["task"]
        return study.options.decision.metric

    assert deciding(task={"decide_by": "rouge2"}) == "rouge2"
    assert deciding(task={"decide_by": "rouge2"}, decision={"metric": "rouge2"}) == "rouge2"
    with pytest.raises(ConfigError, match=r"task\.decide_by: 'rouge2' and decision\.metric: 'nll'"):
        deciding(task={"decide_by": "rouge2"}, decision={"metric": "nll"})
    with pytest.raises(ConfigError, match=r"decision\.metric: 'bleu' is not a metric of this"):
        deciding(task={"decide_by": "bleu"})


@pytest.mark.usefixtures("quick")
def test_a_function_of_ones_own_sees_every_column_of_the_row(
    run_small: Run, results: Results, place: Path
) -> None:
    for file in (place / "rows").glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        with_city = (json.dumps({**row, "city": row["short"].split()[0]}) for row in rows)
        file.write_text("\n".join(with_city) + "\n", encoding="utf-8")
    (place / "mine.py").write_text(FUNCTION, encoding="utf-8")
    (place / "schema.json").write_text('{"type": "object"}', encoding="utf-8")
    wanted: list[Any] = [
        {"python": {"function": "mine.py:score", "key": "length", "margin": 1.0}},
        {"schema_valid": "schema.json"},
        "chrf",
    ]
    outcome = run_small(task={"metrics": wanted})
    assert outcome.code == 0, outcome.err
    first = results()
    assert [m["name"] for m in first["task"]["metrics"]] == [
        *("nll", "length", "schema_valid", "chrf"),
    ]
    [final] = first["methods"]["lora"]["candidates"]
    lines = (place / f"out/candidates/{final}/predictions.jsonl").read_text(encoding="utf-8")
    for line in map(json.loads, lines.splitlines()):
        assert line["length"] == len(line["prediction"])
    # Another metric of what was written is computed from what was kept: nothing is trained again.
    trained = first["candidates"][final]["epochs"]
    assert run_small(task={"metrics": [*wanted, "exact_match"]}).code == 0
    assert results()["candidates"][final]["epochs"] == trained
    assert "exact_match" in results()["methods"]["lora"]["test"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_function_that_fails_does_so_before_anything_is_trained(
    place: Path, cli: Callable[..., Any], command: str
) -> None:
    (place / "mine.py").write_text(
        "def score(prediction, references, row):\n    return row['citty']\n", encoding="utf-8"
    )
    study = small_study(task={"metrics": ["python: mine.py:score"]}, baselines=[])
    (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
    outcome = cli(command, "study.yaml")
    assert outcome.code == 2
    said = " ".join(outcome.err.split())
    assert "mine.py:score, example 0: it raised KeyError: 'citty'; mend it." in said
    assert "It was tried on the test set's first row, with" in said
    assert not list(place.rglob("cohorts")) and not list(place.rglob("candidates"))


@pytest.mark.usefixtures("quick")
def test_a_further_set_s_rows_are_tried_too(place: Path, cli: Callable[..., Any]) -> None:
    (place / "mine.py").write_text(
        "def score(prediction, references, row):\n    return 1 / len(row['topic'])\n",
        encoding="utf-8",
    )
    rows = [{"text": "a b c", "short": "a", "topic": ""}] * 3
    (place / "other.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    for file in (place / "rows").glob("*.jsonl"):
        found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        lines = (json.dumps({**row, "topic": "x"}) for row in found)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    also = {"shift": {"source": {"test": "other.jsonl"}}}
    study = small_study(task={"metrics": ["python: mine.py:score"]}, also_test=also)
    (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
    outcome = cli("run", "study.yaml")
    assert outcome.code == 2
    assert "ZeroDivisionError" in outcome.err and "the shift set's" in outcome.err

"""A number that is none, at every stage: it costs what it belongs to, by name, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.config import dump_yaml
from bakeoff.engine import choose, score
from bakeoff.runs.records import CostRecord
from tests.studies import measured_here

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
pytestmark = pytest.mark.usefixtures("quick")
TWO = {
    name: {"kind": "lora", "rank": rank, "learning_rate": 1e-2}
    for name, rank in (("one", 1), ("two", 2))
}
nlls = score.example_nlls


def is_two(cohort: Any, slot: int) -> bool:
    method = cohort.seated[slot]
    return method is not None and method.options.rank == 2


def goes_on_to_the_end(run: Run, results: Results, **changes: Any) -> dict[str, Any]:
    """The same command without the fault makes what is missing."""
    assert run(**changes).code == 0
    assert results()["status"] == "complete"
    return results()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_in_validation(
    run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    def broken(cohort: Any, slot: int, source: Any, plan: Any, **named: Any) -> Any:
        found = nlls(cohort, slot, source, plan, **named)
        if is_two(cohort, slot):
            found[1] = value
        return found

    monkeypatch.setattr("bakeoff.engine.train.example_nlls", broken)
    assert run_small(methods=TWO).code == 0
    [one] = [c for c in results()["candidates"].values() if c["method"] == "one"]
    [two] = [c for c in results()["candidates"].values() if c["method"] == "two"]
    assert (one["state"], two["state"]) == ("COMPLETE", "DIVERGED")
    assert "left the finite numbers in epoch 1" in two["reason"]
    assert results()["methods"]["one"]["test"]["nll"]["mean"] > 0


@pytest.mark.parametrize("rows", [0, 3])
def test_of_a_baseline(
    run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    def broken(cohort: Any, slot: int, source: Any, plan: Any) -> Any:
        found = nlls(cohort, slot, source, plan)
        if cohort.seated[slot] is None:
            found[rows] = np.nan
        return found

    monkeypatch.setattr("bakeoff.execution.outputs.example_nlls", broken)
    outcome = run_small()
    assert outcome.code == 0
    said = " ".join(outcome.out.split())
    assert f"row {rows} is not a finite number, so it takes no part" in said
    assert "zero_shot" not in results()["baselines"]
    assert results()["methods"]["lora"]["test"]["nll"]["mean"] > 0


def test_of_a_metric_of_ones_own(run_small: Run, results: Results, place: Path) -> None:
    task = {"metrics": ["rouge1", {"python": {"function": "mine.py:score"}}]}
    held = [json.loads(line) for line in (place / "rows/test.jsonl").read_text().splitlines()]
    number = "".join(c for c in held[1]["short"] if c.isdigit())
    (place / "mine.py").write_text(
        "def score(text, references, row):\n"
        f"    return float('nan') if '{number}' in references[0] else 1\n"
    )
    outcome = run_small(methods=TWO, task=task)
    assert outcome.code == 0
    for candidate in results()["candidates"].values():
        assert candidate["state"] == "FAILED"
        assert "example 1: it returned nan; return a finite number" in candidate["reason"]
    assert results()["status"] == "partial"


def test_of_a_further_test_set(
    run_small: Run, results: Results, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (place / "rows/test.jsonl").read_text().splitlines()[:3]
    (place / "other.jsonl").write_text("\n".join(lines) + "\n")
    changes = {"methods": TWO, "also_test": {"other": {"source": "other.jsonl"}}}

    def broken(cohort: Any, slot: int, source: Any, plan: Any) -> Any:
        found = nlls(cohort, slot, source, plan)
        if is_two(cohort, slot) and plan.num_rows == 3:
            found[2] = np.nan
        return found

    with monkeypatch.context() as patch:
        patch.setattr("bakeoff.execution.outputs.example_nlls", broken)
        outcome = run_small(**changes)
    assert outcome.code == 0
    said = " ".join(outcome.out.split())
    assert "two-lr0.01-s0 has no result on other" in said and "row 2 is not a finite" in said
    before = results()
    assert before["methods"]["one"]["also_test"]["other"]["nll"]["mean"] > 0
    assert "other" not in before["methods"]["two"].get("also_test", {})
    after = goes_on_to_the_end(run_small, results, **changes)
    assert after["methods"]["two"]["also_test"]["other"]["nll"]["mean"] > 0
    assert after["methods"]["two"]["test"] == before["methods"]["two"]["test"]


def test_of_the_costs(run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> Iterator[tuple[str, CostRecord]]:
        for name, record in measured_here(*arguments):
            spoilt: dict[str, Any] = {
                field.name: float("nan")
                for field in dataclasses.fields(record)
                if isinstance(getattr(record, field.name), float)
            }
            parts: dict[str, Any] = {
                field.name: dataclasses.replace(
                    part,
                    **{
                        inner.name: float("nan")
                        for inner in dataclasses.fields(part)
                        if isinstance(getattr(part, inner.name), float)
                    },
                )
                for field in dataclasses.fields(record)
                if dataclasses.is_dataclass(part := getattr(record, field.name))
                and not isinstance(part, type)
            }
            yield name, dataclasses.replace(record, **spoilt, **parts) if name == "two" else record

    with monkeypatch.context() as patch:
        patch.setattr("bakeoff.study.costs.measure_costs", broken)
        outcome = run_small(methods=TWO)
    assert outcome.code == 0
    assert "the costs of two could not be measured: " in " ".join(outcome.out.split())
    assert "which is not a finite number" in outcome.out
    before = results()
    assert before["methods"]["one"]["cost"]["epoch_seconds"]["mean"] > 0
    assert before["methods"]["two"]["cost"] is None or not before["methods"]["two"]["cost"].get(
        "epoch_seconds"
    )
    after = goes_on_to_the_end(run_small, results, methods=TWO)
    assert after["methods"]["two"]["test"] == before["methods"]["two"]["test"]


def test_in_a_search_by_choices(
    cli: Run, small: Run, results: Results, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"train": 16, "validation": 4, "test": 4}
    for split, size in sizes.items():
        rows = [
            {
                "text": f"The {split} fair of day {i} was {'good' if i % 2 else 'bad'}.",
                "label": i % 2,
            }
            for i in range(size)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (place / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    study = small(
        methods={"lora": {"kind": "lora", "rank": [1, 2], "learning_rate": 1e-2}},
        search={"learning_rates": 1, "trials": 2, "seeds": 1, "growth": 0},
    )
    study["task"] = {
        **{"kind": "classify", "text": "text", "label": "label", "labels": ["bad", "good"]},
        **{"source": {split: f"{split}.jsonl" for split in sizes}, "max_length": 96},
    }
    (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")

    def broken(cohort: Any, slots: Any, *rest: Any, **options: Any) -> Any:
        found = choose.choose(cohort, slots, *rest, **options)
        return [
            [nlls_M * np.nan for nlls_M in one] if is_two(cohort, slot) else one
            for slot, one in zip(slots, found, strict=True)
        ]

    monkeypatch.setattr("bakeoff.execution.outputs.choose", broken)
    outcome = cli("run", "study.yaml", "--out", "out")
    assert outcome.code == 0, outcome.err
    ranks = {c["options"]["rank"]: c["state"] for c in results()["candidates"].values()}
    assert ranks[1] == "COMPLETE"
    assert results()["methods"]["lora"]["test"]["accuracy"]["mean"] >= 0

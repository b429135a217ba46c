"""Prices that are added to a finished run's folder, and what its report then shows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.config import dump_yaml, load_yaml
from bakeoff.formatting import shown_amount
from bakeoff.page.palette import NEUTRAL, Look
from bakeoff.report.figures.costs import tradeoff_figures
from bakeoff.report.load import read_priced
from bakeoff.report.table import build_rows, shown_columns
from tests.golden_folders import copy_of

PRICES = {"device_hour": 2.5, "input_tokens": 3.0, "output_tokens": 15.0, "calls_per_month": 1e5}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run."""
    copy_of("four", tmp_path / "run")
    return tmp_path / "run"


def add_prices(folder: Path) -> None:
    path = folder / "study.yaml"
    study = dict(load_yaml(path.read_text(encoding="utf-8"), where="study.yaml"))
    path.write_text(dump_yaml({**study, "prices": PRICES}), encoding="utf-8")


def test_a_study_without_prices_has_no_money_in_its_table(folder: Path) -> None:
    results = read_priced(folder)
    rows = build_rows(results)
    assert not [c for c in shown_columns(results.task.metrics, rows) if "ost" in c.label]
    names = [f.name for f in tradeoff_figures(results, rows, looks(rows))]
    assert "pareto_cost" not in names


def test_prices_that_come_later_are_in_table_figure_and_limits(
    folder: Path, cli: Callable[..., Any]
) -> None:
    add_prices(folder)
    results = read_priced(folder)
    rows = build_rows(results)
    columns = {c.key: c for c in shown_columns(results.task.metrics, rows)}
    assert columns["training_cost"].unit == "$" and columns["serving_cost"].unit == "$ a month"
    assert "break_even" in columns and "thousand_cost" not in columns
    drawn = {f.name: f for f in tradeoff_figures(results, rows, looks(rows))}
    assert "cost of training and a month's answers ($)" in drawn["pareto_cost"].alt
    outcome = cli("report", folder, "--format", "md,csv", "--max-cost", "$0.02")
    assert outcome.code == 0, outcome.err
    assert "cost at most $0.02" in outcome.out or "over $0.02" in outcome.out
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "Break-even" in text and "an hour of the device at" in text
    with (folder / "report.csv").open(encoding="utf-8", newline="") as file:
        lines = {line["name"]: line for line in csv.DictReader(file)}
    assert float(lines["lora"]["training_cost"]) > 0 and lines["zero_shot"]["training_cost"] == ""
    assert float(lines["lora"]["serving_cost_per_month"]) > 0


def test_a_price_for_one_report_stays_out_of_the_folder(
    folder: Path, cli: Callable[..., Any]
) -> None:
    before = (folder / "study.yaml").read_bytes()
    outcome = cli("report", folder, "--format", "csv", "--set", "prices.device_hour=2.5")
    assert outcome.code == 0, outcome.err
    assert "training_cost" in (folder / "report.csv").read_text(encoding="utf-8")
    assert (folder / "study.yaml").read_bytes() == before
    refused = cli("report", folder, "--set", "protocol.epochs=9")
    assert refused.code == 2 and "changes nothing of its study but prices" in refused.message
    wrong = cli("report", folder, "--set", "prices.device_our=9")
    assert wrong.code == 2 and "prices.device_our" in wrong.message


def test_examples_in_prompts_stand_where_methods_money_stands(
    folder: Path, cli: Callable[..., Any]
) -> None:
    add_prices(folder)
    path = folder / "results.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    cost = {"tokens_read": 480.0, "tokens_written": 30.0, "search_seconds": 40.0}
    cost["generation_rows_per_second"] = 20.0
    zero = content["baselines"]["zero_shot"]
    content["baselines"]["few_shot"] = {**zero, "shots": 2, "cost": cost}
    path.write_text(json.dumps(content), encoding="utf-8")
    results = read_priced(folder)
    rows = build_rows(results)
    [few] = [row for row in rows if row.name == "few_shot"]
    assert few.value("serving_cost") == pytest.approx(1e5 / 20 * 2.5 / 3600)
    assert few.value("training_cost") is None and few.value("search_cost") is not None
    drawn = {f.name: f for f in tradeoff_figures(results, rows, looks(rows))}
    assert "few-shot" in drawn["pareto_cost"].svg and "few-shot" not in drawn["pareto_time"].svg
    outcome = cli("report", folder, "--format", "md,html,csv", "--max-cost", "$0.02")
    assert outcome.code == 0, outcome.err
    for name in ("report.md", "report.html"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "an answer of few-shot costs" in text and "cheaper than few-shot" in text, name
    lines_of_it = [
        line
        for line in (folder / "report.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| few") and shown_amount(few.value("serving_cost")) in line
    ]
    assert len(lines_of_it) == 1
    with (folder / "report.csv").open(encoding="utf-8", newline="") as file:
        lines = {line["name"]: line for line in csv.DictReader(file)}
    assert float(lines["few_shot"]["serving_cost_per_month"]) > 0
    assert lines["few_shot"]["break_even_answers"] != ""


def looks(rows: Any) -> dict[str, Look]:
    return {row.name: Look(color=NEUTRAL[0], shape="circle") for row in rows}

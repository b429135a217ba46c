"""An analyst has a CSV file of texts with labels, and one command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.stories.conftest import Installed


@pytest.mark.soak
def test_a_csv_of_labels_and_one_command(bakeoff: Installed, reviews: Path) -> None:
    out = bakeoff(
        *("run", "--base", "tiny", "--data", "reviews.csv", "--methods", "lora,bitfit"),
        *("--set", "protocol.epochs=1", "--seeds", 1),
    )
    # It says what it took the columns for, and ends with the answer and where the report is.
    assert "review" in out and "verdict" in out and "classify" in out
    assert "report.html" in out
    run = bakeoff.folder / "runs" / "reviews"
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["status"] == "complete"
    assert set(results["methods"]) == {"lora", "bitfit"}
    assert {"majority", "zero_shot"} <= set(results["baselines"])
    # One seed says nothing beyond these very runs: nothing is recommended as if it were sure.
    assert results["recommendation"]["method"] is None
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "reviews" in page and "http://" not in page.split("<body", 1)[0].replace(
        "http://www.w3.org", ""
    )

    [candidate] = results["methods"]["lora"]["candidates"]
    (bakeoff.folder / "new.csv").write_text("review\nThe rice was burnt.\n", encoding="utf-8")
    answer = bakeoff("predict", run, "new.csv", "--candidate", candidate).strip()
    assert answer in {"good", "bad"}

    bakeoff("report", run, "--format", "csv")
    with (run / "report.csv").open(encoding="utf-8", newline="") as file:
        assert {"lora", "bitfit", "majority", "zero_shot"} <= {
            row.get("method") or row.get("name") for row in csv.DictReader(file)
        }

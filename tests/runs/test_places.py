"""Where a run's files are: below its folder, whatever its records say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.runs.factors import CellRecord, FactorsRecord
from bakeoff.runs.places import cell_folder, is_folder_name
from tests.golden_folders import golden


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", "..\\x", "a\\b"])
def test_a_name_that_leads_elsewhere_is_none_of_a_folder(name: str) -> None:
    assert not is_folder_name(name)


@pytest.mark.parametrize("name", ["lora-lr0.01-s0", "a..b", ".hidden", "tiny@short", "ü x"])
def test_any_other_name_is(name: str) -> None:
    assert is_folder_name(name)


@pytest.mark.parametrize(
    ("folder", "place"),
    [("cells/a", "run/cells/a"), ("../../home", "run"), ("/etc", "run"), ("cells/..", "run")],
)
def test_a_cell_lies_below_the_run_s_folder(folder: str, place: str) -> None:
    cells = {"a": CellRecord(base="tiny", template=None, folder=folder, status="complete")}
    factors = FactorsRecord(
        levels={}, cells=cells, metric="nll", level=0.95, rows=1, one_tokenizer=True
    )
    results = replace(golden("four"), factors=factors)
    assert cell_folder(Path("run"), results, "a") == Path(place)

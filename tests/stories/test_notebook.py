"""Who works in notebooks opens one and runs it from its first cell to its last."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.stories.conftest import ROOT, Installed

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
# The quickest is run with every run of the tests, the others by `make soak` and in the workflow.
ALWAYS = "reading_results"


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["own_data", "quick_start", "reading_results"]


@pytest.mark.parametrize(
    "notebook",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem == ALWAYS else (pytest.mark.soak,))
        for path in NOTEBOOKS
    ],
)
def test_a_notebook_runs_to_its_end(
    notebook: Path, bakeoff: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    content = nbformat.read(notebook, as_version=4)
    assert all(not cell.get("outputs") for cell in content.cells), "strip the outputs"
    for name, value in bakeoff.variables.items():
        monkeypatch.setenv(name, value)
    libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    monkeypatch.setenv("PYTHONPATH", ":".join([str(bakeoff.site), *libraries]))
    monkeypatch.setenv("BAKEOFF_RUN", str(ROOT / "docs" / "recorded" / "demo"))
    runner = client.NotebookClient(
        content,
        timeout=240,
        startup_timeout=240,
        kernel_name="python3",
        resources={"metadata": {"path": "."}},
    )
    monkeypatch.chdir(bakeoff.folder)
    runner.execute()
    shown = [
        output
        for cell in content.cells
        for output in cell.get("outputs", ())
        if output.output_type in ("execute_result", "display_data")
    ]
    assert shown, "the notebook shows something"

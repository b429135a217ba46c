"""A researcher wants seeds, a LaTeX table, and to know which of a published table's ranks stand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.stories.conftest import ROOT, Installed

RECORDED = ROOT / "docs" / "recorded" / "demo"


def test_seeds_latex_and_an_audit(bakeoff: Installed) -> None:
    run = bakeoff.folder / "demo"
    shutil.copytree(RECORDED, run)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert all(len(method["seeds"]) == 3 for method in results["methods"].values())

    bakeoff("report", run, "--format", "latex,csv")
    table = (run / "report.tex").read_text(encoding="utf-8")
    assert r"\toprule" in table and r"\begin{tabular" in table and "soft\\_prompt" in table
    assert "@" in (run / "references.bib").read_text(encoding="utf-8")

    # Scores that others published, by method, seed and row: the run's own stand for them.
    published = bakeoff.folder / "published.csv"
    published.write_text(_published(), encoding="utf-8")
    out = bakeoff("audit", published, "--json", "audit.json")
    assert "close" in out and "far" in out
    audit = json.loads((bakeoff.folder / "audit.json").read_text(encoding="utf-8"))
    assert audit
    assert not (Path(bakeoff.folder) / "runs").exists()  # nothing was trained


def _published() -> str:
    """Three methods, three seeds, 60 rows: two that chance may swap, and one that it may not."""
    lines = ["method,seed,row,accuracy"]
    for seed in range(3):
        for row in range(60):
            draw = (row * 37 + seed * 11) % 100
            for method, share in (("close", 70), ("near", 68), ("far", 20)):
                lines.append(f"{method},{seed},{row},{int(draw < share)}")
    return "\n".join(lines) + "\n"

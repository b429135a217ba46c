"""A maintainer of methods adds one by a package of their own, without a fork."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.stories.conftest import ROOT, Installed

STUDY = {
    "name": "corrections",
    "base": "tiny",
    "task": {"kind": "correct", "source": "notes.jsonl"},
    "methods": {"ln_tuning": {}, "lora": {"rank": 2}},
    "protocol": {"epochs": 1, "seeds": 1},
}


@pytest.fixture
def extended(bakeoff: Installed) -> Installed:
    """bakeoff beside the example package, which is installed too."""
    source = bakeoff.folder / "extension-source"
    shutil.copytree(ROOT / "examples" / "extension", source)
    site = bakeoff.folder / "extension-site"
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"),
        *("--no-build-isolation", "--disable-pip-version-check"),
        *("--target", str(site), str(source)),
    ]
    subprocess.run(command, check=True)
    path = f"{bakeoff.site}:{site}"
    return Installed(bakeoff.site, bakeoff.folder, {"PYTHONPATH": path})


# `make test-extension` installs the package and runs its study with every run of the tests.
@pytest.mark.soak
def test_a_method_a_task_and_a_metric_of_a_package(extended: Installed) -> None:
    assert "ln_tuning" in extended("methods", "ln_tuning")
    rows = [{"wrong": f"Teh bus {n} is late.", "right": f"The bus {n} is late."} for n in range(30)]
    (extended.folder / "notes.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    (extended.folder / "study.yaml").write_text(json.dumps(STUDY), encoding="utf-8")
    plan = extended("plan", "study.yaml")
    assert "ln_tuning" in plan
    # A misspelt option of the new method is an error as any other.
    extended("plan", "study.yaml", "--set", "methods.ln_tuning.bias=true", code=2)


@pytest.mark.soak
def test_its_study_runs(extended: Installed) -> None:
    test_a_method_a_task_and_a_metric_of_a_package(extended)
    extended("run", "study.yaml", "--set", "generation.max_new_tokens=8")
    run = extended.folder / "runs" / "corrections"
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["status"] == "complete"
    assert "cer" in results["methods"]["ln_tuning"]["test"]
    assert "copy" in results["baselines"]

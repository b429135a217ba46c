"""What is handed out: a wheel and a source distribution, small, and with all that they need."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.stories.conftest import ROOT

MOST_BYTES = 10_000_000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def test_both_are_below_ten_megabytes(built: Path) -> None:
    [wheel], [source] = built.glob("*.whl"), built.glob("*.tar.gz")
    for file in (wheel, source):
        assert file.stat().st_size < MOST_BYTES, file.name


def test_the_wheel_has_the_package_and_nothing_else(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"bakeoff"}
    for file in ("py.typed", "study/demo.yaml", "runs/results.schema.json"):
        assert f"bakeoff/{file}" in names
    assert any(name.startswith("bakeoff/base/") and "safetensors" in name for name in names)


def test_the_source_has_what_its_tests_and_documents_need(built: Path) -> None:
    [source] = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    for file in (
        *("Makefile", "constraints.txt", "zensical.toml", "README.md", "CITATION.cff"),
        *("tests/conftest.py", "docs/tutorials/index.md", "docs/recorded/demo/results.json"),
        *("examples/quick_start.ipynb", "tools/documents/stage.py"),
    ):
        assert file in names, file

"""The site's pages are laid out with every link turned, and the site is built strictly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tools.documents import stage as staging
from tools.documents.stage import ROOT, pages, stage


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pages, without the reports of recorded runs, which take seconds."""
    monkeypatch.setattr(staging, "write_reports", lambda folder: (folder / "recorded").mkdir())
    stage(tmp_path / "source")
    return tmp_path / "source"


def test_links_lead_to_pages_files_and_listings_of_the_site(staged: Path) -> None:
    home = (staged / "index.md").read_text(encoding="utf-8")
    assert "](guide/studies.md)" in home and "](project/contributing.md)" in home
    assert "](files/examples/extension/index.md)" in home
    assert "](decisions/index.md)" in home and "](images/report.png)" in home
    assert (staged / "images" / "report.png").exists()
    tasks = (staged / "guide" / "tasks.md").read_text(encoding="utf-8")
    assert "](../files/studies/sst2.yaml.md)" in tasks
    assert "kind: classify" in (staged / "files/studies/sst2.yaml.md").read_text(encoding="utf-8")
    assert "```mermaid" not in (staged / "guide/architecture.md").read_text(encoding="utf-8")


def test_a_link_to_nothing_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "docs" / "errors.md"
    known = {page: "errors.md"}
    text = "[x](nowhere.md)"
    monkeypatch.setattr(Path, "read_text", lambda self, **_: text)
    with pytest.raises(ValueError, match=r"nowhere\.md leads to nothing"):
        staging._turned(page, "errors.md", known, {}, tmp_path)


def test_the_navigation_names_every_page(staged: Path) -> None:
    named = staging.navigation()
    assert len(named) == len(set(named))
    assert {place for place in pages().values() if not place.startswith("decisions/")} <= set(named)
    (staged / "alone.md").write_text("# Alone\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"does not name alone\.md"):
        staging._check_navigation(staged)


@pytest.mark.soak
def test_the_site_is_built_strictly_and_asks_nobody() -> None:
    pytest.importorskip("zensical")
    done = subprocess.run(
        [sys.executable, "-m", "tools.documents"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    site = ROOT / "build" / "site"
    assert (site / "search.js").exists() and (site / "recorded" / "demo.html").exists()

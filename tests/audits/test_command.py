"""``bakeoff audit``: what it prints and writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bakeoff
from bakeoff.cli.main import main
from tests.audits.published_files import csv_file, peft_folder, write_json
from tests.browser import Pages
from tests.report.nodes import Reader

HEAVY = {"torch", "transformers", "peft", "optuna", "datasets", "altair", "pyarrow"}


@pytest.fixture
def two_folders(tmp_path: Path) -> Path:
    """Twelve methods, twice; all but one fell."""
    hits = {f"method_{k}": 90 + 3 * k for k in range(12)}
    peft_folder(tmp_path / "old", hits)
    later = {name: count - 9 + 4 * (k % 3) for k, (name, count) in enumerate(hits.items())}
    peft_folder(tmp_path / "new", later, made="2026-07-01", torch="2.13.0")
    return tmp_path


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["bakeoff", "audit", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    captured = capsys.readouterr()
    return int(caught.value.code or 0), captured.out, captured.err


def test_the_summary_fits_eighty_columns(
    two_folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, two_folders)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    words = " ".join(out.split())
    assert "old: test accuracy of 12 methods, 211 rows, one run each (seed 0)" in words
    assert "new repeats old" in words and "torch 2.9.0 to 2.13.0" in words
    assert "What was not published" in words and "... and 2 more" in words


def test_the_level_is_that_of_every_sentence(
    two_folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(monkeypatch, capsys, two_folders, "--level", "0.8")
    words = " ".join(out.split())
    assert "than two such runs of one method in 80 % of cases" in words
    assert "95 %" not in words


def test_json_to_a_file_and_to_the_terminal(
    two_folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = run(monkeypatch, capsys, two_folders, "--json", "-")
    printed = json.loads(out)
    assert code == 0 and printed["schema"] == 1
    assert [r["name"] for r in printed["rankings"]] == ["old", "new"]
    assert printed["repeats"][0]["fell"] + printed["repeats"][0]["rose"] <= 12
    place = tmp_path / "made" / "audit.json"
    code, out, _ = run(monkeypatch, capsys, two_folders / "old", "--json", place)
    assert code == 0 and "old: test accuracy" in out
    assert json.loads(place.read_text())["rankings"][0]["name"] == "old"


def test_a_wrong_file_is_one_line_and_exit_code_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_json(tmp_path / "a.json", {"x": 1})
    code, out, err = run(monkeypatch, capsys, file)
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: {file}: is in no format that is read; give")
    assert len(err.splitlines()) == 1


def test_a_place_that_cannot_be_written_costs_no_answer(
    two_folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (two_folders / "taken").write_text("")
    place = two_folders / "taken" / "a.json"
    code, out, err = run(monkeypatch, capsys, two_folders / "old", "--json", place)
    assert code == 2 and "test accuracy of 12 methods" in out
    assert "cannot be written" in err


class TestPage:
    @pytest.fixture
    def page(
        self,
        two_folders: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> Path:
        place = tmp_path / "audit.html"
        code, _, err = run(monkeypatch, capsys, two_folders, "--html", place)
        assert code == 0 and str(place) in err
        return place

    def test_it_is_one_file_with_every_method(self, page: Path) -> None:
        reader = Reader()
        text = page.read_text()
        reader.feed(text.removeprefix("<!doctype html>").lstrip())
        root = reader.root
        tables = root.all("table", class_="main")
        assert len(tables) == 3
        assert {len(table.all("tbody")[0].all("tr")) for table in tables} == {12}
        assert len(root.all("figure")) == 4
        for attribute in ("src", "href"):
            targets = [n.attrs[attribute] for n in root.walk() if attribute in n.attrs]
            assert all(target.startswith(("#", "data:")) for target in targets)
        policies = [n.attrs["content"] for n in root.all("meta") if "http-equiv" in n.attrs]
        assert policies[0].startswith("default-src 'none'")

    def test_names_stay_text(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rng = np.random.default_rng(0)
        bad = "<script>alert(1)</script>"
        scores = {name: rng.normal(size=(1, 20)).tolist() for name in (bad, "[red]b[/]")}
        file = csv_file(tmp_path / "a.csv", scores)
        code, out, _ = run(monkeypatch, capsys, file, "--html", tmp_path / "a.html")
        assert code == 0 and bad in out and "[red]b[/]" in out
        assert bad not in (tmp_path / "a.html").read_text()

    @pytest.mark.browser
    @pytest.mark.parametrize("width", [390, 1280])
    def test_nothing_is_wider_than_the_window(self, page: Path, pages: Pages, width: int) -> None:
        opened = pages.open(
            page.as_uri(), width=width, may_ask=lambda asked: asked == page.as_uri()
        )
        assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_it_loads_nothing_heavy(two_folders: Path) -> None:
    code = (
        "import sys\n"
        "from bakeoff.cli.main import app\n"
        f"sys.argv = ['bakeoff', 'audit', {str(two_folders)!r}]\n"
        "app(standalone_mode=False)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    source = Path(bakeoff.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "numpy" in loaded and not loaded & HEAVY

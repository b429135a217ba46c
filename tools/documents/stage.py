"""Lays the site's pages out in a folder: those of the repository, and those made from the code.

The pages stay where readers of the repository find them. Here their links are turned to where
things are on the site: to pages, to files that come along, and to listings of folders.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

from tools.documents.diagrams import drawn
from tools.documents.recorded import recorded_page, write_reports
from tools.documents.reference_others import commands_page, errors_page, records_page
from tools.documents.reference_study import study_page

ROOT = Path(__file__).resolve().parents[2]
_MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
}
GENERATED: dict[str, Callable[[], str]] = {
    "reference/study.md": study_page,
    "reference/commands.md": commands_page,
    "reference/records.md": records_page,
    "reference/errors.md": errors_page,
    "recorded-runs.md": recorded_page,
}
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_CHART = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHOWN = {".py": "python", ".toml": "toml", ".yaml": "yaml", ".md": "markdown"}
_NOTEBOOK = ".ipynb"
_ASSETS = Path(__file__).with_name("assets")


def pages() -> dict[Path, str]:
    """The pages of the repository by their path, and what each is on the site."""
    found = {ROOT / name: place for name, place in _MOVED.items()}
    docs = ROOT / "docs"
    for page in sorted(docs.rglob("*.md")):
        place = page.relative_to(docs).as_posix()
        found[page] = place.replace("README.md", "index.md")
    return found


def stage(folder: Path) -> None:
    """Makes the folder again.

    Args:
        folder: of the site's sources.

    Raises:
        ValueError: a link leads nowhere or out of the repository, or the navigation and the pages
            do not fit.
    """
    shutil.rmtree(folder, ignore_errors=True)
    known = pages()
    listed: dict[Path, str] = {ROOT / "docs/decisions": "decisions/index.md"}
    for page, place in known.items():
        text = _turned(page, place, known, listed, folder)
        _write(folder / place, text)
    for place, made in GENERATED.items():
        _write(folder / place, made())
    for one, place in listed.items():
        is_pages = one == ROOT / "docs/decisions"
        _write(folder / place, _decisions(one) if is_pages else _listing(one))
    shutil.copytree(_ASSETS, folder / "assets")
    write_reports(folder)
    _check_navigation(folder)


def navigation() -> list[str]:
    """The pages that the site's navigation names."""

    def below(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        inner = entry.values() if isinstance(entry, dict) else entry
        assert isinstance(inner, Iterable)
        return [page for one in inner for page in below(one)]

    return below(tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"])


def _check_navigation(folder: Path) -> None:
    """What the builder does not look at: entries without a page, and pages without an entry."""
    named = navigation()
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")}
    missing = sorted(set(named) - made)
    if missing:
        raise ValueError(f"zensical.toml: its nav names {', '.join(missing)}, which no page is")
    alone = sorted(
        page for page in made - set(named) if not page.startswith(("decisions/", "files/"))
    )
    if alone:
        raise ValueError(f"zensical.toml: its nav does not name {', '.join(alone)}; add it")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _turned(
    page: Path, place: str, known: dict[Path, str], listed: dict[Path, str], folder: Path
) -> str:
    """A page's text with its links turned and its charts drawn."""
    text = _CHART.sub(lambda found: drawn(found[1]), page.read_text(encoding="utf-8"))

    def turn(found: re.Match[str]) -> str:
        target, _, anchor = found[2].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return found[0]
        there = (page.parent / target).resolve()
        if not there.exists() or not there.is_relative_to(ROOT):
            raise ValueError(f"{page.relative_to(ROOT)}: {found[2]} leads to nothing here")
        place_there = known.get(there) or listed.get(there)
        if place_there is None and there.is_dir():
            place_there = f"files/{there.relative_to(ROOT).as_posix()}/index.md"
            listed[there] = place_there
        if place_there is None:
            place_there = _carried(there, folder)
        turned = os.path.relpath(place_there, os.path.dirname(place) or ".")
        return f"{found[1]}{turned}{'#' if anchor else ''}{anchor}{found[3]}"

    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(turn, part) for part in parts)


def _carried(path: Path, folder: Path) -> str:
    """A file that comes along, at its place on the site."""
    inside = path.relative_to(ROOT).as_posix()
    place = inside.removeprefix("docs/") if inside.startswith("docs/") else f"files/{inside}"
    if path.suffix == _NOTEBOOK:
        place = place.removesuffix(_NOTEBOOK) + ".md"
        _write(folder / place, _cells(path))
        return place
    if path.suffix in _SHOWN:  # shown as a page
        place += ".md"
        _write(folder / place, f"# {path.name}\n\n{_block(path)}")
        return place
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / place)
    return place


def _cells(path: Path) -> str:
    """A notebook as a page."""
    inside = path.relative_to(ROOT).as_posix()
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"~~~~ python\n{text}\n~~~~")
    parts.insert(1, f"(The notebook is `{inside}`.)")
    return "\n\n".join(parts) + "\n"


def _block(path: Path) -> str:
    text = path.read_text(encoding="utf-8").rstrip()
    return f"~~~~ {_SHOWN.get(path.suffix, 'text')}\n{text}\n~~~~\n"


def _listing(of: Path) -> str:
    """A page with the texts of a small folder's files."""
    parts = [f"# {of.relative_to(ROOT).as_posix()}\n"]
    for path in sorted(of.rglob("*")):
        if path.suffix in _SHOWN and "__pycache__" not in path.parts:
            parts.append(f"## {path.relative_to(of).as_posix()}\n\n{_block(path)}")
    return "\n".join(parts)


def _decisions(folder: Path) -> str:
    lines = ["# Decisions\n", "Why things are as they are, a page each.\n"]
    for page in sorted(folder.glob("*.md")):
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({page.name})")
    return "\n".join(lines) + "\n"

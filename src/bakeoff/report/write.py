"""Writing the report into the run's folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bakeoff.errors import StoreError
from bakeoff.report.answer import build_answer
from bakeoff.report.examples import build_browser, rank_examples
from bakeoff.report.figures import build_figures
from bakeoff.report.load import load_run
from bakeoff.report.markdown import build_markdown
from bakeoff.report.page import build_page
from bakeoff.report.table import build_rows
from bakeoff.study.limits import Limits


def write_report(folder: Path, limits: Limits | None = None) -> Path:
    """Makes ``report.html``, ``report.md`` and ``figures/`` from a run's folder.

    Works on a partial run as well, and says what is missing. An earlier report is replaced file
    by file, each at once, and only after the new one was made in memory.

    Args:
        folder: The run's folder.
        limits: What the recommended method may cost at most.

    Returns:
        The path of ``report.html``.

    Raises:
        StoreError: The results cannot be read, or the report cannot be written.
    """
    run = load_run(folder)
    rows = build_rows(run.results)
    answer = build_answer(run.results, rows, limits)
    figures = build_figures(run.results, answer.method)
    ranked = rank_examples(run, rows)
    page = build_page(run, rows, answer, figures, build_browser(run, rows, ranked))
    text = build_markdown(run, rows, answer, figures, ranked)
    target = folder / "report.html"
    try:
        pictures = folder / "figures"
        pictures.mkdir(exist_ok=True)
        for figure in figures:
            _replace(pictures / f"{figure.name}.svg", figure.svg.encode("utf-8"))
            _replace(pictures / f"{figure.name}.png", figure.png)
        _replace(folder / "report.md", _encode(text))
        _replace(target, _encode(page))
    except OSError as error:
        raise StoreError(
            f"{error.filename or folder}: the report cannot be written "
            f"({error.strerror or error}); free space or mend the folder's rights"
        ) from error
    return target


def _encode(text: str) -> bytes:
    # A model may write half of a surrogate pair, which UTF-8 has no form for.
    return text.encode("utf-8", "replace")


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise

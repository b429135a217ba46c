"""Writing the forms that were asked for into the run's folder."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bakeoff.decide.limits import Limits
from bakeoff.decide.recommendation import shown_recommendation
from bakeoff.files import write_bytes
from bakeoff.report.load import Run, load_run
from bakeoff.report.paper.bibliography import bibliography
from bakeoff.report.paper.numbers import csv_text
from bakeoff.report.paper.protocol import protocol_text
from bakeoff.report.write import build_texts, cannot_write, encoded
from bakeoff.runs.reading import to_json

if TYPE_CHECKING:
    from bakeoff.page.figure import Figure
    from bakeoff.page.sizes import FileKind


def write_forms(
    folder: Path,
    formats: Sequence[str],
    figures: Sequence[str] = (),
    limits: Limits | None = None,
    overrides: Sequence[str] = (),
) -> list[Path]:
    """Writes a run's report in the forms that are named, and no other.

    Args:
        folder: the run's.
        formats: of ``FORMATS``. ``md`` comes with ``protocol.md`` and its figures, ``latex`` with
            ``references.bib`` and its figures as PDF, ``csv`` with ``scores.csv`` and
            ``scores.parquet``, which ``parquet`` writes alone.
        figures: of ``FIGURE_FILES``: each figure of the report at the widths of a column and of a
            page.
        limits: what the recommended method may cost at most. overrides: of the study's prices.

    Returns:
        What was written, the figures' folder last.

    Raises:
        StoreError: the results cannot be read, or a file cannot be written.
    """
    run = load_run(folder, overrides)
    contents = _contents(run, formats, figures, limits)
    try:
        for name, content in contents.items():
            write_bytes(folder / name, content)
    except OSError as error:
        raise cannot_write(folder, error) from error
    shown = [folder / name for name in contents if "/" not in name]
    return [*shown, folder / "figures"] if len(shown) < len(contents) else shown


def _contents(
    run: Run, formats: Sequence[str], kinds: Sequence[str], limits: Limits | None
) -> dict[str, bytes]:
    """Every file by its path below the run's folder."""
    results = run.results
    files: dict[str, bytes] = {}
    if {"html", "md"} & {*formats}:
        texts, drawn = build_texts(run, limits)
        if "html" in formats:
            files["report.html"] = encoded(texts["report.html"])
        if "md" in formats:
            files["report.md"] = encoded(texts["report.md"])
            files["protocol.md"] = encoded(protocol_text(run.name, results))
        for figure in drawn:
            files[f"figures/{figure.name}.svg"] = figure.svg.encode("utf-8")
            files[f"figures/{figure.name}.png"] = figure.png
    given = shown_recommendation(results, limits)
    if "csv" in formats:
        files["report.csv"] = encoded(csv_text(results, given))
    if "json" in formats:
        content = to_json(replace(results, recommendation=given))
        text = json.dumps(content, allow_nan=False, ensure_ascii=False, indent=1)
        files["report.json"] = encoded(text + "\n")
    if "latex" in formats:
        from bakeoff.report.paper.document import latex_text

        figures = _figures(run, limits)
        files["report.tex"] = encoded(latex_text(run, figures, limits))
        files["references.bib"] = encoded(bibliography(results))
    files |= _scores(run, formats)
    sizes = [kind for kind in ("pdf", "svg", "png") if kind in kinds]
    if "latex" in formats and "pdf" not in sizes:
        sizes.append("pdf")
    if sizes:
        from bakeoff.page.sizes import sized_files

        for figure in _figures(run, limits):
            found = sized_files(figure, cast("tuple[FileKind, ...]", tuple(sizes)))
            files |= {f"figures/{name}": content for name, content in found.items()}
    return files


def _figures(run: Run, limits: Limits | None) -> list[Figure]:
    from bakeoff.report.figures.build import build_figures

    return build_figures(run.results, shown_recommendation(run.results, limits).method)


def _scores(run: Run, formats: Sequence[str]) -> dict[str, bytes]:
    """Scores by candidate, seed and row, of all test sets and with the baselines."""
    if not {"csv", "parquet"} & {*formats}:
        return {}
    from bakeoff.report.scored_rows import all_sets, scores_table

    frame = scores_table(run.folder, run.results, all_sets(run.results), baselines=True)
    # A model may write half of a surrogate pair, which UTF-8 has no form for.
    frame["answer"] = [encoded(answer).decode("utf-8") for answer in frame["answer"]]
    files = {}
    if "csv" in formats:
        files["scores.csv"] = frame.to_csv(index=False, lineterminator="\n").encode("utf-8")
    # With the CSV as well: the same table, for those with many rows to read.
    stream = io.BytesIO()
    frame.to_parquet(stream, index=False)
    files["scores.parquet"] = stream.getvalue()
    return files

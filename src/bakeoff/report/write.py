"""Writing the report into the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bakeoff.decide.limits import Limits
from bakeoff.errors import StoreError
from bakeoff.files import write_bytes
from bakeoff.page.figure import Figure
from bakeoff.report.answer import build_answer
from bakeoff.report.comparable import comparability, labels_of
from bakeoff.report.examples import build_browser, rank_examples
from bakeoff.report.load import Run, load_run
from bakeoff.report.markdown import build_markdown
from bakeoff.report.page import build_page
from bakeoff.report.table import build_rows


def write_report(folder: Path, limits: Limits | None = None, overrides: Sequence[str] = ()) -> Path:
    """Makes ``report.html``, ``report.md`` and ``figures/`` from a run's folder.

    Works on a partial run as well, and says what is missing. An earlier report is replaced file
    by file, each at once, and only after the new one was made in memory.

    Args:
        folder: The run's folder.
        limits: What the recommended method may cost at most.
        overrides: Of the study's prices, such as ``prices.device_hour=2.5``.

    Returns:
        The path of ``report.html``.

    Raises:
        StoreError: The results cannot be read, or the report cannot be written.
        ConfigError: The overrides are none of prices.
    """
    texts, figures = build_texts(load_run(folder, overrides), limits)
    return _write(folder, figures, texts)


def build_texts(run: Run, limits: Limits | None = None) -> tuple[dict[str, str], list[Figure]]:
    """The text and the page by their files' names, and the figures that they show."""
    # Imported where figures are drawn: Altair and its renderer take longer than all the rest.
    from bakeoff.report.figures.build import build_figures

    rows = build_rows(run.results)
    answer = build_answer(run.results, rows, limits, is_running=run.is_running)
    figures = build_figures(run.results, answer.method)
    ranked = rank_examples(run, rows)
    page = build_page(run, rows, answer, figures, build_browser(run, rows, ranked))
    text = build_markdown(run, rows, answer, figures, ranked)
    return {"report.md": text, "report.html": page}, figures


def write_side_by_side(
    folders: Sequence[Path],
    out: Path,
    *,
    mix: bool = False,
    limits: Limits | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Makes one page of several runs, with its figures.

    Args:
        folders: The runs' folders, two or more.
        out: Where the page and its ``figures/`` go; made where it is missing.
        mix: Shows runs side by side that were not measured alike, without ranking them.
        limits: What a recommended method may cost at most. overrides: Of all studies' prices.

    Returns:
        The path of ``report.html``.

    Raises:
        StoreError: A run cannot be read; ``out`` is a run's own folder or cannot be written; or
            the runs were not measured alike and ``mix`` does not say to go on.
    """
    from bakeoff.report.figures.side_by_side import build_comparison_figures
    from bakeoff.report.ranking import rank_studies
    from bakeoff.report.side_by_side import build_comparison_page, build_entries

    if len({folder.resolve() for folder in folders}) < len(folders):
        raise StoreError("a run's folder is named twice; name each study once")
    if (out / "results.json").exists():
        raise StoreError(
            f"{out}: is a run's own folder, whose report would be lost; give another with --out"
        )
    loaded = [load_run(folder, overrides) for folder in folders]
    runs = dict(zip(labels_of(loaded), loaded, strict=True))
    alike = comparability(runs)
    if alike.obstacles and not mix:
        shown = "".join(f"\n  {obstacle}" for obstacle in alike.obstacles)
        raise StoreError(
            f"these studies were not measured alike, so no ranking of them would hold:{shown}\n"
            "Give --mix to see them side by side without a ranking."
        )
    ranking = rank_studies(runs, alike, limits)
    entries = build_entries(runs, ranking)
    figures = build_comparison_figures(runs, alike, entries)
    page = build_comparison_page(runs, alike, ranking, entries, figures, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    return _write(out, figures, {"report.html": page})


def _write(folder: Path, figures: Sequence[Figure], texts: Mapping[str, str]) -> Path:
    try:
        pictures = folder / "figures"
        pictures.mkdir(exist_ok=True)
        for figure in figures:
            write_bytes(pictures / f"{figure.name}.svg", figure.svg.encode("utf-8"))
            write_bytes(pictures / f"{figure.name}.png", figure.png)
        for name, text in texts.items():
            write_bytes(folder / name, encoded(text))
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder / "report.html"


def cannot_write(folder: Path, error: OSError) -> StoreError:
    """What the user is told where a report's file cannot be written."""
    return StoreError(
        f"{error.filename or folder}: the report cannot be written "
        f"({error.strerror or error}); free some space or correct the folder's rights"
    )


def encoded(text: str) -> bytes:
    """A text in UTF-8, whatever a model has written in it."""
    # A model may write half of a surrogate pair, which UTF-8 has no form for.
    return text.encode("utf-8", "replace")

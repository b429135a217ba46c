"""Results of recorded runs: their tables and reports, made of what the runs left.

A recorded run is a folder of ``docs/recorded/`` with the study, ``results.json`` and the command of
a run that took place. Where its rows belong to the project it has the test rows and the predictions
as well, of which its report is written. Nothing is trained here.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tools.documents.tables import table

from bakeoff.config import load_yaml
from bakeoff.formatting import shown_whole
from bakeoff.runs.reading import read_results
from bakeoff.runs.records import BaselineRecord, Estimate, MethodRecord, MetricRecord, Results

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "docs" / "recorded"
COMMAND = "command.txt"
"""What ran it."""


def recorded_page() -> str:
    """Each recorded run with its command, its answer and its table, as Markdown."""
    parts = [
        "# Recorded runs\n",
        "Made of what runs left in `docs/recorded`, at each build of this site; the reports are "
        "written by the present code. The rules of what is said are [the referee's](referee.md).\n",
    ]
    for folder in recorded():
        parts += _run(folder)
    return "\n".join(parts)


def recorded() -> list[Path]:
    """The folders of all recorded runs."""
    return sorted(path for path in RECORDED.iterdir() if path.is_dir())


def _has_rows(folder: Path) -> bool:
    return (folder / "examples.jsonl").exists()


def write_reports(site_source: Path) -> None:
    """Writes reports, of those that have their rows, into ``recorded/`` of the site's sources."""
    from bakeoff.report import write_report

    for folder in filter(_has_rows, recorded()):
        with tempfile.TemporaryDirectory() as temporary:
            copy = Path(temporary) / folder.name
            shutil.copytree(folder, copy)
            write_report(copy)
            place = site_source / "recorded" / f"{folder.name}.html"
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(copy / "report.html", place)


def _run(folder: Path) -> list[str]:
    results = read_results(folder)
    environment = results.environment
    study = load_yaml((folder / "study.yaml").read_text(encoding="utf-8"), where="study.yaml")
    return [
        f"## {study['name']}\n",
        f"```\n{(folder / COMMAND).read_text(encoding='utf-8').strip()}\n```\n",
        f"{results.data.train.examples} rows to train on, {results.data.test.examples} to test on; "
        f"{environment.base}; bakeoff {environment.bakeoff}, PyTorch {environment.torch}, "
        f"{environment.device}, {environment.finished[:10]}.\n",
        f"**Verdict: {results.recommendation.verdict}.** {results.recommendation.why}\n",
        results_table(results),
        f"[The whole report](recorded/{folder.name}.html).\n"
        if _has_rows(folder)
        else "Its rows are not part of this project, so that its report is not here.\n",
    ]


def results_table(results: Results) -> str:
    """A line for each method and baseline, a column for each metric of the test set."""
    metrics = list(results.task.metrics)
    head = ["", *(f"test {m.title}" for m in metrics), "trained parameters", "seconds per epoch"]
    rows = []
    for name, method in results.methods.items():
        rows.append([name, *_cells(method, metrics), *_costs(method)])
    for name, baseline in results.baselines.items():
        rows.append([f"*{baseline.title or name}*", *_cells(baseline, metrics), "–", "–"])
    return table(head, rows)


def _cells(of: MethodRecord | BaselineRecord, metrics: list[MetricRecord]) -> list[str]:
    return [shown(of.test.get(metric.name), metric) for metric in metrics]


def shown(estimate: Estimate | None, metric: MetricRecord) -> str:
    """A figure with its interval; shares in points of 100, as reports have them."""
    if estimate is None:
        return "–"
    is_share = metric.name not in ("nll", "perplexity", "bits_per_byte", "label_nll", "brier")
    factor, digits = (100, 1) if is_share else (1, 3)
    text = f"{estimate.mean * factor:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({estimate.low * factor:.{digits}f} to {estimate.high * factor:.{digits}f})"


def _costs(method: MethodRecord) -> list[str]:
    parameters, seconds = method.cost.trainable_parameters, method.cost.epoch_seconds
    return [
        "–" if parameters is None else shown_whole(parameters),
        "–" if seconds is None else f"{seconds.mean:.1f}",
    ]

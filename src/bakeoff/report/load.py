"""Reading a run's folder, complete or cut off in the middle."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bakeoff.config import apply_overrides, from_mapping, load_yaml, to_mapping
from bakeoff.decide.baseline_money import baseline_money_notes
from bakeoff.decide.money import money_notes
from bakeoff.decide.prices import PriceOptions
from bakeoff.decide.representative import representative
from bakeoff.decide.verdicts import row_metric_of as row_metric_of
from bakeoff.errors import ConfigError
from bakeoff.report.unchanged import changed_files
from bakeoff.runs.groups import groups_of
from bakeoff.runs.lock import is_running
from bakeoff.runs.places import baseline_folder, candidate_folder, cell_folder
from bakeoff.runs.places import is_folder_name as is_folder_name
from bakeoff.runs.reading import EXAMPLES_FILE, STUDY_FILE, read_results
from bakeoff.runs.records import MetricRecord, Results
from bakeoff.runs.settings import setting

T = TypeVar("T")
PREDICTIONS_FILE = "predictions.jsonl"
_PRICES = "prices"


def predictions_file(name: str) -> str:
    """Where the answers to a test set's rows are, below a candidate's folder."""
    return PREDICTIONS_FILE if name == "test" else f"predictions-{name}.jsonl"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What one method wrote for one test row.

    Attributes:
        scores: the row's own, by metric of the task; one that has none for a single row is absent.
    """

    text: str
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One test row: its input, and the right answer."""

    index: int
    shown: str
    reference: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that the report shows, as read; nothing is computed yet.

    Attributes:
        predictions: by method or baseline, then by the row's index.
        chosen: the candidate whose predictions are shown for its method.
        notes: what could not be read, and what figures in money rest on.
        is_running: whether the study is going on.
    """

    folder: Path
    results: Results
    examples: list[Example]
    predictions: dict[str, dict[int, Prediction]]
    chosen: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_running: bool = False

    @property
    def name(self) -> str:
        """The study's, or the folder's where the study has none."""
        return str(setting(self.results.study, "name") or self.folder.name)

    @property
    def row_metric(self) -> MetricRecord:
        """The metric by which single rows are compared; see ``row_metric_of``."""
        return row_metric_of(self.results)


def load_run(folder: Path, overrides: Sequence[str] = ()) -> Run:
    """Reads a run's folder.

    Args:
        folder: the run's. overrides: of its prices; see ``read_priced``.

    Raises:
        StoreError: as ``read_results`` does. ConfigError: as ``read_priced`` does.
    """
    results = read_priced(folder, overrides)
    notes: list[str] = [*changed_files(folder, results), *money_notes(results)]
    notes += baseline_money_notes(results)
    examples = [
        Example(
            index=row["index"],
            # Older runs call every input a document.
            shown=str(row.get("input") or row.get("document") or ""),
            reference=str(row.get("reference") or ""),
        )
        for row in lines(_examples_file(folder, results), notes)
    ]
    predictions: dict[str, dict[int, Prediction]] = {}
    chosen: dict[str, str] = {}
    for name in results.baselines:
        place, cell = baseline_folder(folder, results, name), results.baselines[name].cell
        found = _predictions(place, notes) if is_folder_name(name) else {}
        if found := shown_by(examples_of(folder, results, cell), found):
            predictions[name] = found
    for name in results.methods:
        in_order = candidates_in_order(results, name)
        shown, cell = representative(results, name, in_order), results.methods[name].cell
        for candidate in sorted(in_order, key=lambda c: c != shown):
            found = _predictions(candidate_folder(folder, results, candidate), notes)
            if found := shown_by(examples_of(folder, results, cell), found):
                predictions[name], chosen[name] = found, candidate
                break
    return Run(
        folder=folder,
        results=results,
        examples=examples,
        predictions=predictions,
        chosen=chosen,
        notes=notes,
        is_running=results.status == "partial" and is_running(folder),
    )


def _examples_file(folder: Path, results: Results) -> Path:
    """The test rows: of a crossed study those of its first cell that has any."""
    cells = () if results.factors is None else results.factors.cells
    for label in cells:
        if (place := cell_folder(folder, results, label) / EXAMPLES_FILE).is_file():
            return place
    return folder / EXAMPLES_FILE


def groups_of_test_rows(run: Run) -> NDArray[np.int64] | None:
    """[N] the group of each test row, by index ascending; None where each stands alone."""
    known = groups_of(_examples_file(run.folder, run.results).parent).get("test")
    indices = sorted(example.index for example in run.examples)
    if known is None or not indices or indices[-1] >= len(known):
        return None
    return known[indices]


def examples_of(folder: Path, results: Results, label: str | None) -> dict[int, int] | None:
    """By a row's index in a cell that of the example that it is.

    The cells of a crossed study count their own rows, of which a base or prompt may leave some out.

    Returns:
        None where the two are the same.
    """
    shown, own = _examples_file(folder, results), cell_folder(folder, results, label)
    if own / EXAMPLES_FILE == shown:
        return None
    known = {piece: index for index, piece in _pieces(shown).items()}
    found = _pieces(own / EXAMPLES_FILE)
    if not known or not found:
        return None  # an older run, which does not number its rows
    return {index: known[piece] for index, piece in found.items() if piece in known}


def shown_by(index_of: Mapping[int, int] | None, rows: Mapping[int, T]) -> dict[int, T]:
    """Rows of a cell by the index of the example that each is; see ``examples_of``."""
    if index_of is None:
        return dict(rows)
    return {index_of[index]: row for index, row in rows.items() if index in index_of}


def _pieces(path: Path) -> dict[int, tuple[int, int, int]]:
    """By index the number in the source, which piece of that row it is, and of how many.

    What is one row of several pieces under one tokenizer is another text than under the next.
    """
    numbers = {row["index"]: row["row"] for row in lines(path, []) if type(row.get("row")) is int}
    counts, before = Counter(numbers.values()), Counter[int]()
    found = {}
    for index, number in sorted(numbers.items()):
        found[index] = number, before[number], counts[number]
        before[number] += 1
    return found


def candidates_in_order(results: Results, method: str) -> list[str]:
    """The method's candidates at its chosen learning rate, lowest seed first."""
    record = results.methods[method]

    def order(name: str) -> tuple[bool, float, str]:
        found = results.candidates.get(name)
        if found is None:
            return True, math.inf, name
        return found.learning_rate != record.learning_rate, found.seed, name

    return sorted(filter(is_folder_name, record.candidates), key=order)


def read_priced(folder: Path, overrides: Sequence[str] = ()) -> Results:
    """A run's results at the prices that its ``study.yaml`` has by now, or that are given.

    Prices decide nothing of what a run finds, so that they may come and change after it.

    Args:
        folder: the run's. overrides: ``prices.KEY=VALUE``, as ``--set`` gives them.

    Raises:
        StoreError: as ``read_results`` does. ConfigError: prices that break a rule, or an override
            of anything else.
    """
    results = read_results(folder)
    given: Any = {"prices": _prices_in(folder / STUDY_FILE, results)}
    for override in overrides:
        if not override.partition("=")[0].strip().startswith(f"{_PRICES}."):
            raise ConfigError(
                f"--set {override}: a report changes nothing of its study but {_PRICES}; give that "
                "to `bakeoff run`, or a price, such as prices.device_hour=2.5"
            )
    prices = apply_overrides(given, overrides)[_PRICES]
    checked = to_mapping(from_mapping(PriceOptions, prices or {}, path=_PRICES))
    if prices == setting(results.study, _PRICES) or (not prices and not overrides):
        return results
    return replace(results, study={**results.study, _PRICES: checked})


def _prices_in(path: Path, results: Results) -> Any:
    """Those of the folder's study; those of its results where it has none or cannot be read."""
    known = setting(results.study, _PRICES)
    try:
        study = load_yaml(path.read_text(encoding="utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError, ConfigError):
        return known
    found = study.get(_PRICES, known)
    return dict(found) if isinstance(found, Mapping) else found


def row_scores(row: Mapping[str, Any]) -> dict[str, float]:
    """A row's scores by metric; its NLL is kept as a sum and becomes nats per token."""
    scores = {
        key: float(value)
        for key, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    tokens = scores.pop("tokens", 0.0)
    nll = scores.pop("nll", None)
    if nll is not None and tokens > 0:
        scores["nll"] = nll / tokens
    return {key: value for key, value in scores.items() if key != "index"}


def lines(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines file; torn ones, as Ctrl-C may leave, are counted in ``notes``."""
    if not path.is_file():
        return
    torn = 0
    with path.open("rb") as stream:
        for line in stream:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                torn += 1
                continue
            if isinstance(row, dict) and type(row.get("index")) is int:
                yield row
            else:
                torn += 1
    if torn:
        place = "/".join(path.parts[-3:]) if path.parent.name != path.anchor else path.name
        notes.append(f"{place}: {torn} unreadable line{'s' if torn > 1 else ''} left out")


def _predictions(folder: Path, notes: list[str]) -> dict[int, Prediction]:
    return {
        row["index"]: Prediction(text=str(row.get("prediction") or ""), scores=row_scores(row))
        for row in lines(folder / PREDICTIONS_FILE, notes)
    }

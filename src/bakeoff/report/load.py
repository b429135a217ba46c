"""Reading a run's folder, complete or cut off in the middle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.facts import dig, mapping, number
from bakeoff.errors import StoreError

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What one method wrote for one test row."""

    text: str
    rouge1: float | None


@dataclass(frozen=True, kw_only=True)
class Example:
    """One test row."""

    index: int
    document: str
    reference: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that the report shows, as read; nothing is computed yet."""

    folder: Path
    results: Mapping[str, Any]
    examples: list[Example]
    predictions: dict[str, dict[int, Prediction]]
    """By method or baseline, then by the row's index."""
    chosen: dict[str, str] = field(default_factory=dict)
    """The candidate whose predictions stand for its method."""
    notes: list[str] = field(default_factory=list)


def load_run(folder: Path) -> Run:
    """Reads a run's folder.

    Raises:
        StoreError: There is no ``results.json``, it is torn, or of another schema.
    """
    results = _read_results(folder / "results.json")
    notes: list[str] = []
    examples = [
        Example(
            index=int(row["index"]),
            document=str(row.get("document") or ""),
            reference=str(row.get("reference") or ""),
        )
        for row in _lines(folder / "examples.jsonl", notes)
    ]
    predictions: dict[str, dict[int, Prediction]] = {}
    chosen: dict[str, str] = {}
    for name in ("zero_shot", "lead"):
        if found := _predictions(folder / "baselines" / name, notes):
            predictions[name] = found
    for name in mapping(results.get("methods")):
        for candidate in _candidates_in_order(results, name):
            if found := _predictions(folder / "candidates" / candidate, notes):
                predictions[name], chosen[name] = found, candidate
                break
    return Run(
        folder=folder,
        results=results,
        examples=examples,
        predictions=predictions,
        chosen=chosen,
        notes=notes,
    )


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One method's scores over all test rows. Axis letters: S seeds, N test rows by index.

    Attributes:
        rouge1_SN: [S, N] F-measures in 0..1.
        nll_SN, tokens_SN: [S, N] summed nats and tokens of each reference, or None.
    """

    rouge1_SN: NDArray[np.float64]
    nll_SN: NDArray[np.float64] | None
    tokens_SN: NDArray[np.float64] | None


def all_scores(run: Run, method: str) -> Scores | None:
    """The scores of every seed of a method that has all rows; None where none has."""
    indices = sorted(example.index for example in run.examples)
    rouges, nlls, tokens = [], [], []
    for candidate in _candidates_in_order(run.results, method):
        folder = run.folder / "candidates" / candidate
        rows = {int(row["index"]): row for row in _lines(folder / "predictions.jsonl", [])}
        found = [[number(mapping(rows.get(i)).get(key)) for i in indices]
                 for key in ("rouge1", "nll", "tokens")]  # fmt: skip
        if None in found[0] or not indices:
            continue
        rouges.append(found[0])
        if None not in found[1] and None not in found[2]:
            nlls.append(found[1])
            tokens.append(found[2])
    if not rouges:
        return None
    has_nll = len(nlls) == len(rouges)
    return Scores(
        rouge1_SN=np.array(rouges, dtype=np.float64),
        nll_SN=np.array(nlls, dtype=np.float64) if has_nll else None,
        tokens_SN=np.array(tokens, dtype=np.float64) if has_nll else None,
    )


def _read_results(path: Path) -> Mapping[str, Any]:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(
            f"{path}: not found; a report is made from a run's folder, which `bakeoff run` writes"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(
            f"{path}: not readable as JSON ({error}); run the study again to rewrite it"
        ) from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
    schema = results.get("schema") if isinstance(results, dict) else None
    if schema != SCHEMA:
        raise StoreError(
            f"{path}: schema is {schema!r}, this version of bakeoff reads {SCHEMA}; "
            "make the report with the version that ran the study"
        )
    return mapping(results)


def _candidates_in_order(results: Mapping[str, Any], method: str) -> list[str]:
    """The method's candidates at its chosen learning rate, lowest seed first.

    The lowest seed, not the best: examples of the luckiest seed would flatter the method.
    """
    entry = mapping(dig(results, "methods", method))
    rate = number(entry.get("learning_rate"))
    named = [str(i) for i in entry.get("candidates") or ()]
    details = {i: mapping(dig(results, "candidates", i)) for i in named}

    def order(candidate: str) -> tuple[bool, float, str]:
        found = details[candidate]
        seed = number(found.get("seed"))
        other_rate = rate is not None and number(found.get("learning_rate")) not in (rate, None)
        return other_rate, float("inf") if seed is None else seed, candidate

    # An id is a folder's name, never a path that leads out of the run.
    return sorted((i for i in named if Path(i).name == i), key=order)


def _predictions(folder: Path, notes: list[str]) -> dict[int, Prediction]:
    return {
        int(row["index"]): Prediction(
            text=str(row.get("prediction") or ""), rouge1=number(row.get("rouge1"))
        )
        for row in _lines(folder / "predictions.jsonl", notes)
    }


def _lines(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
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
            if isinstance(row, dict) and isinstance(row.get("index"), int):
                yield row
            else:
                torn += 1
    if torn:
        place = "/".join(path.parts[-3:]) if path.parent.name != path.anchor else path.name
        notes.append(f"{place}: {torn} unreadable line{'s' if torn > 1 else ''} left out")

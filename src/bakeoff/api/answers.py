"""Answers to new rows, by what a study trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.api.results import Results
from bakeoff.data.given import table_rows
from bakeoff.data.inputs import Input, check_inputs, required_columns
from bakeoff.errors import ConfigError, DataError

if TYPE_CHECKING:
    from bakeoff.inference.finished import FinishedRun
    from bakeoff.inference.predict import Prediction

_PLACE = "rows"


def predict(
    results: Results | str | Path,
    rows: Any,
    candidate: str | None = None,
    *,
    merged: bool = False,
    device: str = "auto",
    trust_remote_code: bool = False,
) -> list[str]:
    """Answers rows with a candidate of a study, with the study's own settings.

    Args:
        results: of the study, or its folder; results keep the loaded base for the next call.
        rows: a DataFrame, a ``datasets.Dataset`` or mappings with the study's input columns; or
            texts, where that is one column.
        candidate: its id; without, the run of the recommended method that is nearest the mean of
            its runs on validation.
        merged: merges the adapter into the base's weights, which makes each token cheaper.
        device: ``auto``, ``cpu`` or ``cuda``.
        trust_remote_code: whether the code beside the base may run, where the study says so.

    Returns:
        An answer for each row, in their order.

    Raises:
        ConfigError: there is no such candidate, none is recommended, or it cannot be merged.
        DataError: rows that lack a column or hold nothing that can be answered.
        StoreError, CheckpointError: the folder, or an adapter in it, is not whole.
    """
    run, option = _finished(results, device, trust_remote_code), "candidate=ID"
    names = run.named([candidate], option=option)
    run = run.of(names, option=option)
    inputs = _inputs(rows, run.task.input_keys)
    found = predictions(run, inputs, names, merged=merged, option=option)
    return [prediction.answer for prediction in found]


def predictions(
    run: FinishedRun,
    inputs: Sequence[Input],
    candidates: Sequence[str | None] = (None,),
    *,
    merged: bool = False,
    option: str = "--candidate",
) -> Iterator[Prediction]:
    """The answers of several candidates, as they come.

    Args:
        run: where they are. inputs: rows as they were read.
        candidates: their ids; None is the recommended method's, as for ``predict``.
        merged: as for ``predict``. option: how the caller is given a candidate, for errors.

    Yields:
        In the order of the candidates, then of the rows.
    """
    from bakeoff.inference import predict as inference

    kept = [run.candidate(one, option=option) for one in candidates]
    yield from inference.predict(run, kept, inputs, merged=merged)


def _finished(results: Results | str | Path, device: str, trusts: bool) -> FinishedRun:
    if isinstance(results, Results):
        return results.finished(device, trust_remote_code=trusts)
    if isinstance(results, str | Path):
        from bakeoff.inference.finished import FinishedRun

        return FinishedRun(Path(results), device, trust_remote_code=trusts)
    raise ConfigError(
        f"results is of the type {type(results).__name__}: give what bakeoff.run or bakeoff.load "
        "returned, or a run's folder"
    )


def _inputs(rows: Any, columns: Mapping[str, str]) -> list[Input]:
    """Rows given in Python as those that are read from files."""
    check_inputs(columns)
    names = required_columns(columns)
    if isinstance(rows, str | bytes | Mapping):
        raise DataError(
            f"{_PLACE}: is of the type {type(rows).__name__}; give a list, with an entry for each "
            "row"
        )
    if isinstance(rows, list | tuple) and any(isinstance(row, str) for row in rows):
        if len(names) > 1:
            raise DataError(
                f"{_PLACE}: holds texts, but the study reads the columns {', '.join(names)}; give "
                "mappings with these"
            )
        rows = [{names[0]: row} if isinstance(row, str) else row for row in rows]
    found = [
        Input(_PLACE, number, row)
        for number, row in enumerate(table_rows(rows, columns, _PLACE), start=1)
    ]
    if not found:
        raise DataError(f"{_PLACE}: holds no rows; give at least one")
    return found

"""Parquet, read by pyarrow in batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bakeoff.data.readers.arrow_values import rows_of
from bakeoff.data.readers.records import (
    Columns,
    Record,
    missing_column,
    present,
    repeated_column,
)
from bakeoff.errors import DataError

_ROWS: Final = 1024


def read_parquet(path: Path, columns: Columns) -> Iterator[Record]:
    """Rows, of which only the columns that are asked for are read."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if error := missing_column(path, columns, file.schema_arrow.names):
                raise error
            names = present(columns, file.schema_arrow.names)
            if twice := repeated_column(path, names, file.schema_arrow.names):
                raise twice
            yield from rows_of(file.iter_batches(_ROWS, columns=names), names)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"task.source: {path} is not a whole parquet file ({error}). Fetch or write it again."
        ) from error


def parquet_names(path: Path) -> list[str]:
    """The schema's columns."""
    import pyarrow.parquet

    return list(pyarrow.parquet.read_schema(path).names)

"""Record batches of pyarrow as rows of plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, cast

from bakeoff.data.readers.records import Record


def rows_of(batches: Iterable[Any], names: Sequence[str]) -> Iterator[Record]:
    """Rows of batches, counted from 1.

    Args:
        batches: that have the columns ``names``.
    """
    row = 0
    for batch in batches:
        found = [_values(batch.column(name)) for name in names]
        for index in range(batch.num_rows):
            row += 1
            yield Record(row, {n: values[index] for n, values in zip(names, found, strict=True)})


def _values(column: Any) -> list[object]:
    try:
        values = cast(list[object], column.to_pylist())
        return list(map(without_decimals, values)) if "decimal" in str(column.type) else values
    except UnicodeDecodeError:
        # Bytes that are not UTF-8 stay bytes, so that only their own rows are bad.
        return [_value(item) for item in column]


def without_decimals(value: object) -> object:
    """A value with numbers of a fixed count of decimals, as databases write them, as any others."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return list(map(without_decimals, value))
    if isinstance(value, dict):
        return {key: without_decimals(one) for key, one in value.items()}
    return value


def _value(item: Any) -> object:
    try:
        return item.as_py()
    except UnicodeDecodeError:
        return item.as_buffer().to_pybytes()

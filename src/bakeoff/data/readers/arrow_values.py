"""Record batches of pyarrow as rows of plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Final, cast

import numpy as np

from bakeoff.data.readers.records import Record

Plain = Callable[[object], object]
NARROW: Final[dict[str, type[np.floating[Any]]]] = {"float": np.float32, "halffloat": np.float16}
"""Arrow's names of the types that are narrower than Python's numbers."""


class Binary(bytes):
    """Bytes of a column of bytes, which are no text; those of a column of texts are plain ones."""

    __slots__ = ()


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
    except UnicodeDecodeError:
        # Bytes that are not UTF-8 stay bytes, so that only their own rows are bad.
        values = [_value(item) for item in column]
    made = plain_of_type(column.type)
    return values if made is None else list(map(made, values))


def plain_of_type(kind: Any) -> Plain | None:
    """Makes values of an Arrow type such as rows have from any file; None where they are.

    Numbers of a fixed count of decimals, as databases write them, become others, and those of few
    bits the shortest that stand for them: 2.8 and not 2.799999952316284. Bytes become the text
    that they are in UTF-8, as many writers have no other type for texts, or ``Binary``. A value of
    another type, as Datasets makes of images, stays as it is, and so do lists of numbers: they are
    embeddings mostly, which no task reads, and would take most of the time.
    """
    import pyarrow
    from pyarrow import types

    name = str(kind)
    if isinstance(kind, pyarrow.BaseExtensionType):  # its values are of a class of its own
        return None
    if types.is_dictionary(kind):
        return plain_of_type(kind.value_type)
    if types.is_struct(kind):
        fields = {field.name: plain_of_type(field.type) for field in kind}
        made = {key: of_field for key, of_field in fields.items() if of_field is not None}
        return partial(_of_fields, made) if made else None
    if (inner := getattr(kind, "value_type", None)) is not None:  # lists of all sorts
        of_item = None if types.is_floating(inner) else plain_of_type(inner)
        return None if of_item is None else partial(_of_items, of_item)
    if name.startswith("decimal"):
        return _without_decimals
    if "binary" in name:
        return _text_of_bytes
    return partial(shortest, NARROW[name]) if name in NARROW else None


def plain_of_row(dataset: Any) -> Callable[[Any], Mapping[str, object]]:
    """Makes the rows of a ``datasets.Dataset`` hold what rows hold from any file."""
    import pyarrow

    made = plain_of_type(pyarrow.struct(list(dataset.features.arrow_schema)))
    return cast(Callable[[Any], Mapping[str, object]], made or dict)


def shortest(kind: type[np.floating[Any]], value: object) -> object:
    """A number with the fewest digits by which a narrow type still knows it.

    Args:
        kind: the type that it had. value: a number; anything else stays as it is.
    """
    return float(str(kind(value))) if isinstance(value, float | np.floating) else value


def _of_fields(made: Mapping[str, Plain], value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {key: made[key](one) if key in made else one for key, one in value.items()}


def _of_items(made: Plain, value: object) -> object:
    return list(map(made, value)) if isinstance(value, list) else value


def _without_decimals(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _text_of_bytes(value: object) -> object:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return Binary(value)


def _value(item: Any) -> object:
    try:
        return item.as_py()
    except UnicodeDecodeError:
        return item.as_buffer().to_pybytes()

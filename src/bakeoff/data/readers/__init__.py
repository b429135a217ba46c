"""Rows out of one file, whatever its format; a module for each format, and a registry."""

from bakeoff.data.readers.delimited import OTHER_WIDTH
from bakeoff.data.readers.fields import with_fields
from bakeoff.data.readers.opening import SAVE_AS_UTF_8
from bakeoff.data.readers.records import (
    Columns,
    MissingColumnError,
    OptionalColumn,
    Record,
    missing_column,
    present,
)
from bakeoff.data.readers.registry import (
    ENDINGS,
    PLAIN_TEXT,
    TABLE_ENDINGS,
    column_names,
    format_of,
    has_header,
    hint_for,
    read_records,
)

__all__ = [
    "ENDINGS",
    "OTHER_WIDTH",
    "PLAIN_TEXT",
    "SAVE_AS_UTF_8",
    "TABLE_ENDINGS",
    "Columns",
    "MissingColumnError",
    "OptionalColumn",
    "Record",
    "column_names",
    "format_of",
    "has_header",
    "hint_for",
    "missing_column",
    "present",
    "read_records",
    "with_fields",
]

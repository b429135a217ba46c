"""A look at data of any shape: what each column holds, by its values."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import mean, median
from typing import Any, Final, Literal

from bakeoff.data.readers.fields import MARK, field_of

Shape = Literal["empty", "text", "number", "boolean", "list", "object", "mixed"]
MOST_LABELS: Final = 1000
_WHOLE: Final = re.compile(r"[+-]?\d{1,18}(\.0*)?")
_NUMBER: Final = re.compile(r"[+-]?(\d[\d,]*(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_BOOLEAN: Final = re.compile(r"true|false", re.IGNORECASE)
_DATE: Final = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([T ]\d.*)?")
_PLACE: Final = re.compile(r"(https?://|www\.)\S+", re.IGNORECASE)
_MOST_OF: Final = 0.9
_SAMPLE: Final = 500
_ROWS_PER_LABEL: Final = 4
_LABEL_CHARS: Final = 60
_KEY_CHARS: Final = 64
_LABEL_WORDS: Final = 6
_DEEPEST: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """One column, by the rows that were looked at.

    Attributes:
        name: as in the data. values: one a row, in their order; None where a row has none.
    """

    name: str
    values: Sequence[object]

    @cached_property
    def present(self) -> list[object]:
        """The values that are there: neither missing nor an empty text."""
        return [v for v in self.values if v is not None and not (isinstance(v, str) and not v)]

    @cached_property
    def gaps(self) -> float:
        """The share of rows without a value; an empty text is one."""
        return sum(value is None for value in self.values) / max(1, len(self.values))

    @cached_property
    def shape(self) -> Shape:
        """What nine tenths of the values are; numbers and booleans also where they are spelt."""
        if not self.present:
            return "empty"
        if self.holds_bytes:
            return "mixed"
        shapes = [_shape_of(value) for value in self.present]
        for shape in ("boolean", "number", "text", "list", "object"):
            if shapes.count(shape) >= _MOST_OF * len(shapes):
                return shape
        texts = sum(shape in ("text", "number", "boolean") for shape in shapes)
        return "text" if texts >= _MOST_OF * len(shapes) else "mixed"

    @cached_property
    def texts(self) -> list[str]:
        """The values that are there, as texts."""
        return [value if isinstance(value, str) else str(value) for value in self.present]

    @cached_property
    def chars(self) -> float:
        """The median length in characters."""
        return median(map(len, self.texts)) if self.texts else 0.0

    @cached_property
    def words(self) -> float:
        """Words of a value, on average; scripts without spaces are counted by their length."""
        sample = self.texts[:_SAMPLE]
        return mean(map(num_words, sample)) if sample else 0.0

    @cached_property
    def distinct(self) -> int:
        """How many values differ."""
        return len({text.strip() for text in self.texts})

    @cached_property
    def holds_bytes(self) -> bool:
        """Whether some of its values are bytes that are no text."""
        return any(isinstance(value, bytes) for value in self.present)

    @property
    def is_constant(self) -> bool:
        """Whether all rows hold the same."""
        return self.distinct == 1

    @cached_property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers, also as 2.0: so tables write them where some miss."""
        return self.shape == "number" and all(_WHOLE.fullmatch(text.strip()) for text in self.texts)

    @cached_property
    def is_reference(self) -> bool:
        """Whether its values name rows or places: keys, dates, addresses."""
        if self.shape not in ("text", "number") or self.is_constant:
            return False
        sample = [text.strip() for text in self.texts]
        if _share(_DATE, sample) >= _MOST_OF or _share(_PLACE, sample) >= _MOST_OF:
            return True
        unique = self.distinct >= 0.99 * len(sample)
        if self.shape == "number":
            return self.is_whole and unique and len(sample) > 2
        return unique and sum(map(_is_key, sample)) >= _MOST_OF * len(sample)

    @cached_property
    def is_label_like(self) -> bool:
        """Whether few short values are there many times each."""
        if self.shape not in ("text", "number", "boolean") or self.is_reference:
            return False
        if self.shape == "number" and not self.is_whole:
            return False
        longest = max(map(len, self.texts))
        return (
            2 <= self.distinct <= min(MOST_LABELS, len(self.present) / _ROWS_PER_LABEL)
            and longest <= _LABEL_CHARS
            and self.words <= _LABEL_WORDS
        )

    @cached_property
    def is_prose(self) -> bool:
        """Whether it holds texts to read or to write."""
        return (
            self.shape == "text"
            and not self.is_constant
            and not self.is_reference
            and not self.is_label_like
        )

    @property
    def own_name(self) -> str:
        """The name; of a field its last part, or the one before a mere ``text`` or ``value``."""
        *outer, name = self.name.split(MARK)
        return outer[-1] if outer and name in ("text", "value") else name

    @cached_property
    def names(self) -> frozenset[str]:
        """The own name in small letters without accents: whole, and its words."""
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.own_name)
        plain = folded(spaced)
        words = [word for word in re.split(r"[\W_]+", plain) if word]
        return frozenset({"_".join(words), "".join(words), *words})

    @cached_property
    def is_references(self) -> bool:
        """Whether it holds lists of texts, such as several right answers each."""
        return self.shape == "list" and all(
            isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
            for value in self.present
        )

    @cached_property
    def first(self) -> Column:
        """The first of each list of a column of lists; any other column as it is."""
        if self.shape != "list":
            return self
        firsts = [v[0] if isinstance(v, list | tuple) and v else None for v in self.values]
        return Column(name=self.name, values=firsts)

    def share(self, holds: Any) -> float:
        """The share of its texts for which ``holds(text)`` is true."""
        return sum(bool(holds(text)) for text in self.texts) / max(1, len(self.texts))

    def described(self) -> str:
        """What it holds, in words."""
        count = len(self.present)
        if self.shape == "empty":
            return "empty"
        if self.shape in ("list", "object", "mixed"):
            return {"list": "lists", "object": "objects", "mixed": "values of several types"}[
                self.shape
            ]
        kind = {"text": "texts", "number": "numbers", "boolean": "booleans"}[self.shape]
        if self.is_constant:
            return f"{kind}, all {self.texts[0][:20]!r}"
        length = f", {self.words:.0f} words each" if self.words >= 2 else ""
        return f"{kind}{length}, {self.distinct} different in {count} rows"


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows that were looked at, as columns.

    Attributes:
        columns: in the data's order. num_rows: that were looked at.
    """

    columns: tuple[Column, ...]
    num_rows: int

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, object]], names: Sequence[str] = ()) -> Table:
        """The table of some rows.

        Args:
            rows: values by column. names: columns in their order; those of the rows without.
                After one that holds objects come its fields, as ``column.field``.
        """
        order = names or list(dict.fromkeys(name for row in rows for name in row))
        columns: list[Column] = []
        for name in order:
            column = Column(name=name, values=[_plain(row.get(name)) for row in rows])
            columns += [column, *_fields(column)]
        return cls(columns=tuple(columns), num_rows=len(rows))

    @cached_property
    def prose(self) -> tuple[Column, ...]:
        """The columns with texts to read or to write."""
        return tuple(column for column in self.columns if column.is_prose)

    @cached_property
    def label_like(self) -> tuple[Column, ...]:
        """The columns with few short values."""
        return tuple(column for column in self.columns if column.is_label_like)

    def described(self) -> str:
        """All columns, in words."""
        return "; ".join(f"{column.name!r}: {column.described()}" for column in self.columns)


def _fields(column: Column) -> Iterator[Column]:
    """The fields of a column of objects, each as a column, those of objects in it too."""
    if column.shape != "object":
        return
    rows = [{column.name: value} for value in column.values]
    objects = [value for value in column.values if isinstance(value, Mapping)]
    for key in dict.fromkeys(key for value in objects for key in value):
        if isinstance(key, str) and key and not set("{}.") & set(key):
            name = f"{column.name}{MARK}{key}"
            field = Column(name=name, values=[_plain(field_of(row, name)) for row in rows])
            yield field
            if name.count(MARK) < _DEEPEST:
                yield from _fields(field)


def folded(text: str) -> str:
    """In small letters, without accents."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(part for part in parts if not unicodedata.combining(part))


def num_words(text: str) -> float:
    """Words by white space; of a script without spaces, a word for each two characters."""
    words = len(text.split())
    wide = sum(ord(char) >= 0x2E80 for char in text[:400])
    return max(words, len(text) / 2) if 2 * wide > min(len(text), 400) else words


def parsed_json(text: str) -> Any:
    """What a text holds where it is a JSON list or object, else None."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parsed_list(text: str) -> Any:
    """As ``parsed_json``, also of what Python spells: pandas writes lists to CSV files so.

    None of an array of NumPy, which has no commas: Python would join its texts.
    """
    if (found := parsed_json(text)) is not None or not text.lstrip().startswith(("[", "{")):
        return found
    try:
        kinds = [
            token.type for token in tokenize.generate_tokens(io.StringIO(text.strip()).readline)
        ]
        kinds = [kind for kind in kinds if kind not in (tokenize.NL, tokenize.NEWLINE)]
        if any(one == other == tokenize.STRING for one, other in pairwise(kinds)):
            return None
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        return None


def _is_key(text: str) -> bool:
    short = len(text) <= _KEY_CHARS and text.isascii() and " " not in text
    return short and any(map(str.isdigit, text))


def _shape_of(value: object) -> Shape:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list | tuple):
        return "list"
    if isinstance(value, Mapping):
        return "object"
    if not isinstance(value, str):
        return "mixed"
    text = value.strip()
    if _BOOLEAN.fullmatch(text):
        return "boolean"
    return "number" if _NUMBER.fullmatch(text) else "text"


def _plain(value: object) -> object:
    """NaN is how tables say that a value is missing."""
    return None if isinstance(value, float) and value != value else value


def _share(pattern: re.Pattern[str], texts: Sequence[str]) -> float:
    return sum(pattern.fullmatch(text) is not None for text in texts) / len(texts)

"""Values that YAML and JSON know, and how messages show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Any, Final

from bakeoff.errors import ConfigError

_MAX_VALUE_CHARS: Final = 80


class _NotSet:
    def __repr__(self) -> str:
        return "(not set)"


NOT_SET: Final = _NotSet()
"""Stands for a value that is missing."""


def plain(value: Any, path: str = "") -> Any:
    """Dictionaries, lists and scalars only, as YAML and JSON know them."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        return {name: plain(getattr(value, name), join(path, name)) for name in fields}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"{join(path, repr(key))}: the key must be text; quote it.")
        return {key: plain(item, join(path, key)) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise ConfigError(
        f"{path or 'value'} = {shown(value)}: must be text, a number, true, false, null, a list "
        f"or a mapping, not {type(value).__name__}."
    )


def shown(value: Any) -> str:
    """A value as messages show it, cut to one short line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= _MAX_VALUE_CHARS else text[: _MAX_VALUE_CHARS - 3] + "..."


def join(path: str, key: str) -> str:
    """The dotted path of a key."""
    return f"{path}.{key}" if path else key

"""Strict loading of options: plain mappings to frozen dataclasses, and back.

An unknown key, a wrong type or a missing value is a ``ConfigError`` that names the exact place,
what was given, the rule and the remedy.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bakeoff.config.messages import mapping_rule, message_of, sentence
from bakeoff.config.plain import plain
from bakeoff.errors import ConfigError

T = TypeVar("T")


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, path: str = "") -> T:
    """Builds a dataclass, with the dataclasses, lists and mappings in it, strictly.

    Nothing is converted but: an integer where a float is asked for, a list to a tuple, a value to
    its enum member, text to a path. A ``ValueError`` of a ``__post_init__`` gets the place of its
    dataclass in front; a message that starts with a field's name continues the path.

    Args:
        cls: a standard dataclass; its annotations must resolve in its module.
        mapping: keys and plain values.
        path: the mapping's own place, prepended to every place in a message.

    Raises:
        ConfigError: names each setting that is wrong, as ``methods.lora.rnk``.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(sentence(path, mapping, mapping_rule((cls,))))
    document = json.dumps([plain(mapping, path)])
    try:
        return typing.cast(T, adapter_of(cls).validate_json(document)[0])
    except ValidationError as error:
        raise ConfigError(message_of(cls, error, path)) from None


def to_mapping(instance: Any) -> dict[str, Any]:
    """A dataclass as a plain mapping with every default written out; tuples become lists."""
    if not dataclasses.is_dataclass(instance) or isinstance(instance, type):
        raise TypeError(f"to_mapping takes an instance of a dataclass, not {instance!r}")
    return typing.cast(dict[str, Any], plain(instance))


_ADAPTERS: dict[type[Any], TypeAdapter[list[Any]]] = {}
"""Made once of each class: it takes some milliseconds."""


def adapter_of(cls: type[Any]) -> TypeAdapter[list[Any]]:
    """What reads one kind of dataclass, in a list of one."""
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = _adapter(cls)
    return _ADAPTERS[cls]


def _adapter(cls: type[Any]) -> TypeAdapter[list[Any]]:
    # A list around it: pydantic takes a configuration for a list and hands it down to standard
    # dataclasses, and refuses one for a dataclass itself. JSON is the input because pydantic's
    # strict mode takes mappings for dataclasses and lists for tuples from JSON only.
    listed: Any = types.GenericAlias(list, (cls,))
    return TypeAdapter(listed, config=ConfigDict(extra="forbid", strict=True))

"""Strict loading of options: plain mappings to frozen dataclasses, overrides and differences.

An unknown key, a wrong type or a missing value is a ``ConfigError`` that names the exact place,
what was given, the rule and the remedy.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bakeoff.errors import ConfigError
from bakeoff.yaml_text import dump_yaml as dump_yaml
from bakeoff.yaml_text import join, parse, plain, shown
from bakeoff.yaml_text import load_yaml as load_yaml

T = TypeVar("T")

_MAX_SHOWN: Final = 8  # settings named in one message


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
        raise ConfigError(_sentence(path, mapping, _mapping_rule((cls,))))
    document = json.dumps([plain(mapping, path)])
    try:
        return typing.cast(T, _adapter(cls).validate_json(document)[0])
    except ValidationError as error:
        raise ConfigError(_message(cls, error, path)) from None


def to_mapping(instance: Any) -> dict[str, Any]:
    """A dataclass as a plain mapping with every default written out; tuples become lists."""
    if not dataclasses.is_dataclass(instance) or isinstance(instance, type):
        raise TypeError(f"to_mapping takes an instance of a dataclass, not {instance!r}")
    return typing.cast(dict[str, Any], plain(instance))


def parse_override(argument: str) -> tuple[tuple[str, ...], Any]:
    """Splits ``a.b.c=value``; the value is read as YAML, and nothing after ``=`` is null.

    Raises:
        ConfigError: names the argument that has no ``=``, an empty part or a broken value.
    """
    key, equals, text = argument.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if not equals or not all(parts):
        raise ConfigError(
            f"--set {argument!r}: must be a dotted path, an equals sign and a value, "
            "for example --set protocol.epochs=3."
        )
    return parts, parse(text, where=f"--set {argument!r}")


def apply_overrides(mapping: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of ``mapping`` with each ``a.b.c=value`` set, in order.

    A parent that is missing or null becomes an empty mapping, which its dataclass's defaults fill.

    Raises:
        ConfigError: an argument that cannot be read, or whose parent is a scalar or a list.
    """
    result = copy.deepcopy(dict(mapping))
    for argument in overrides:
        parts, value = parse_override(argument)
        parent = result
        for depth, part in enumerate(parts[:-1], start=1):
            if parent.get(part) is None:
                parent[part] = {}
            child = parent[part]
            if not isinstance(child, dict):
                raise ConfigError(
                    f"--set {argument!r}: {'.'.join(parts[:depth])} is {shown(child)}, which has "
                    f"no keys; set {'.'.join(parts[:depth])} itself."
                )
            parent = child
        parent[parts[-1]] = value
    return result


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """One line for each dotted key whose values differ: ``protocol.epochs: 10 and 5``."""
    return _differences(plain(a), plain(b), "")


def _differences(a: dict[str, Any], b: dict[str, Any], path: str) -> list[str]:
    lines: list[str] = []
    for key in {**a, **b}:
        place = join(path, key)
        left, right = a.get(key, _NOT_SET), b.get(key, _NOT_SET)
        if isinstance(left, dict) and isinstance(right, dict):
            lines += _differences(left, right, place)
        elif not _same(left, right):
            lines.append(f"{place}: {shown(left)} and {shown(right)}")
    return lines


class _NotSet:
    def __repr__(self) -> str:
        return "(not set)"


_NOT_SET: Final = _NotSet()


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _adapter(cls: type[Any]) -> TypeAdapter[list[Any]]:
    # A list around it: pydantic takes a configuration for a list and hands it down to standard
    # dataclasses, and refuses one for a dataclass itself. JSON is the input because pydantic's
    # strict mode takes mappings for dataclasses and lists for tuples from JSON only.
    listed: Any = types.GenericAlias(list, (cls,))
    return TypeAdapter(listed, config=ConfigDict(extra="forbid", strict=True))


_RULES: Final = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text; write it in quotes",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list, for example [a, b]",
    "list_type": "must be a list, for example [a, b]",
    "dict_type": "must be a mapping of keys to values",
    "none_required": "must be null",
}


def _message(cls: type[Any], error: ValidationError, path: str) -> str:
    """Turns pydantic's errors into ours, one line a setting."""
    values: dict[str, Any] = {}
    rules: dict[str, list[str]] = {}
    lines: list[str] = []
    for item in error.errors(include_url=False):
        kind, location = item["type"], item["loc"][1:]
        raised = item.get("ctx", {}).get("error")
        is_missing = kind.startswith("missing")
        if is_missing or kind == "unexpected_keyword_argument":
            owner, kinds = _walk(cls, location[:-1], path)
            name = str(location[-1])
            place = join(owner, name)
            rule = "is missing; add it" if is_missing else _unknown_rule(name, _keys(kinds))
        else:
            place, kinds = _walk(cls, location, path)
            rule = _rule(kind, item, kinds)
        if isinstance(raised, Exception):
            lines.append(_raised(place, str(raised), _keys(kinds)))
            continue
        values[place] = _NOT_SET if is_missing else item["input"]
        if rule not in rules.setdefault(place, []):
            rules[place].append(rule)
    lines += [_sentence(place, values[place], ", or ".join(rules[place])) for place in rules]
    if len(lines) == 1:
        return lines[0]
    more = [f"and {len(lines) - _MAX_SHOWN} more"] if len(lines) > _MAX_SHOWN else []
    return "\n  ".join([f"{len(lines)} settings are wrong:", *lines[:_MAX_SHOWN], *more])


def _rule(kind: str, item: Mapping[str, Any], kinds: tuple[Any, ...]) -> str:
    if kind == "dataclass_type":
        return _mapping_rule(kinds)
    if kind in ("literal_error", "enum"):
        return f"must be {item['ctx']['expected']}{_nearest(item['input'], kinds)}"
    return _RULES.get(kind) or str(item["msg"]).replace("Input should be", "must be")


def _sentence(place: str, value: Any, rule: str) -> str:
    if value is _NOT_SET:
        return f"{place} {rule}."
    return f"{place or 'the options'} = {shown(value)}: {rule}."


def _raised(place: str, message: str, keys: list[str]) -> str:
    """Puts its place in front of what a dataclass raised itself."""
    if not place or message.startswith(place):
        return message
    first = re.match(r"\w+", message)
    return f"{place}.{message}" if first and first[0] in keys else f"{place}: {message}"


def _walk(cls: type[Any], location: Sequence[str | int], path: str) -> tuple[str, tuple[Any, ...]]:
    """The dotted place of pydantic's location, which has union members in it, and its types."""
    kinds: tuple[Any, ...] = (cls,)
    is_tagged = False  # the union's member has been named
    for part in location:
        if len(kinds) > 1 and not is_tagged:
            named = tuple(kind for kind in kinds if str(part).startswith(_name(kind)))
            kinds, is_tagged = named or kinds, True
            continue
        path = f"{path}[{part}]" if isinstance(part, int) else join(path, part)
        kinds = tuple(dict.fromkeys(inner for kind in kinds for inner in _inside(kind, part)))
        is_tagged = False
    return path, kinds


def _inside(kind: Any, part: str | int) -> tuple[Any, ...]:
    """The types that may stand at ``part`` of ``kind``, unions taken apart, null left out."""
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        inner = typing.get_type_hints(kind).get(str(part), Any)
    elif not arguments or not isinstance(origin, type):
        return ()
    elif issubclass(origin, Mapping):
        inner = arguments[1]
    elif isinstance(part, int) and Ellipsis not in arguments and part < len(arguments):
        inner = arguments[part]
    else:
        inner = arguments[0]
    if typing.get_origin(inner) in (typing.Union, types.UnionType):
        return tuple(member for member in typing.get_args(inner) if member is not types.NoneType)
    return (inner,)


def _name(kind: Any) -> str:
    origin = typing.get_origin(kind) or kind
    return "literal" if origin is typing.Literal else str(getattr(origin, "__name__", origin))


def _keys(kinds: Iterable[Any]) -> list[str]:
    found = (dataclasses.fields(kind) for kind in kinds if dataclasses.is_dataclass(kind))
    return list(dict.fromkeys(field.name for fields in found for field in fields if field.init))


def _mapping_rule(kinds: Iterable[Any]) -> str:
    return f"must be a mapping; its keys are {', '.join(_keys(kinds)) or '(none)'}"


def _unknown_rule(name: str, keys: list[str]) -> str:
    near = difflib.get_close_matches(name, keys, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown key; {hint}Known keys: {', '.join(keys) or '(none)'}"


def _nearest(value: Any, kinds: Iterable[Any]) -> str:
    choices: list[str] = []
    for kind in kinds:
        members = list(kind) if isinstance(kind, type) and issubclass(kind, Enum) else []
        choices += [str(item) for item in (*typing.get_args(kind), *(m.value for m in members))]
    near = difflib.get_close_matches(str(value), choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""

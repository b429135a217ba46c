"""What pydantic found wrong, in words that name the place, the value, the rule and the remedy."""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from pydantic import ValidationError

from bakeoff.config.other_names import other_name_rule
from bakeoff.config.plain import NOT_SET, join, shown

_MAX_SHOWN: Final = 8  # settings named in one message

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


def message_of(cls: type[Any], error: ValidationError, path: str) -> str:
    """Turns pydantic's errors into ours, one line per setting.

    Args:
        cls: the dataclass that was to be built.
        error: what pydantic found.
        path: the mapping's own place.
    """
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
            keys = _keys(kinds)
            rule = "is missing; add it" if is_missing else _unknown_rule(place, name, keys)
        else:
            place, kinds = _walk(cls, location, path)
            rule = _rule(kind, item, kinds)
        if isinstance(raised, Exception):
            lines.append(_raised(place, str(raised), _keys(kinds)))
            continue
        values[place] = NOT_SET if is_missing else item["input"]
        if rule not in rules.setdefault(place, []):
            rules[place].append(rule)
    lines += [sentence(place, values[place], ", or ".join(rules[place])) for place in rules]
    if len(lines) == 1:
        return lines[0]
    more = [f"and {len(lines) - _MAX_SHOWN} more"] if len(lines) > _MAX_SHOWN else []
    return "\n  ".join([f"{len(lines)} settings are wrong:", *lines[:_MAX_SHOWN], *more])


def _rule(kind: str, item: Mapping[str, Any], kinds: tuple[Any, ...]) -> str:
    if kind == "dataclass_type":
        return mapping_rule(kinds)
    if kind in ("literal_error", "enum"):
        return f"must be {item['ctx']['expected']}{_nearest(item['input'], kinds)}"
    return _RULES.get(kind) or str(item["msg"]).replace("Input should be", "must be")


def sentence(place: str, value: Any, rule: str) -> str:
    """A place, what was given there and the rule that it breaks."""
    end = "" if rule.endswith("?") else "."
    if value is NOT_SET:
        return f"{place} {rule}{end}"
    return f"{place or 'the options'} = {shown(value)}: {rule}{end}"


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


def mapping_rule(kinds: Iterable[Any]) -> str:
    """The rule where a mapping is wanted, with its keys."""
    return f"must be a mapping; its keys are {', '.join(_keys(kinds)) or '(none)'}"


def nearest_names(name: str, names: Iterable[str], *, most: int = 3) -> list[str]:
    """The names that one may be a misspelling of, the nearest first.

    Case and white space at the ends count for nothing.

    Args:
        name: as given. names: that there are. most: how many are returned, at most.
    """
    by_plain: dict[str, list[str]] = {}
    for known in names:
        by_plain.setdefault(_plain_name(known), []).append(known)
    near = difflib.get_close_matches(_plain_name(name), by_plain, n=most)
    return [known for plain in near for known in by_plain[plain]][:most]


def _plain_name(name: str) -> str:
    return name.strip().casefold()


def _unknown_rule(place: str, name: str, keys: list[str]) -> str:
    meant = other_name_rule(place, name, keys)
    if meant is not None:
        return meant
    near = nearest_names(name, keys, most=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown key; {hint}Known keys: {', '.join(keys) or '(none)'}"


def _nearest(value: Any, kinds: Iterable[Any]) -> str:
    choices: list[str] = []
    for kind in kinds:
        members = list(kind) if isinstance(kind, type) and issubclass(kind, Enum) else []
        choices += [str(item) for item in (*typing.get_args(kind), *(m.value for m in members))]
    near = nearest_names(str(value), choices, most=1)
    return f"; did you mean {near[0]!r}?" if near else ""

"""Dataclasses as documents show them: each field's name, type, default and meaning.

A field's meaning is the string below it, or what its class's docstring says of it under
``Attributes:``; both are what readers of the code see, so that there is nothing to keep in step.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

_PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
    Any: "anything",
    object: "anything",
    Path: "path",
}


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        kind: its type in words. default: as JSON, or None where it has to be given.
        meaning: as Markdown; empty where the name says it. classes: dataclasses in its type.
    """

    name: str
    kind: str
    default: str | None
    meaning: str
    classes: tuple[type, ...]


def fields_of(cls: type) -> tuple[Field, ...]:
    """The fields of a dataclass that one gives, in order."""
    hints = typing.get_type_hints(cls)
    meanings = {
        **_below_class_docstring(cls),
        **{k: v for base in reversed(cls.__mro__) for k, v in _below_fields(base).items()},
    }
    return tuple(
        Field(
            name=field.name,
            kind=kind_in_words(hints[field.name]),
            default=_default(field),
            meaning=markdown(meanings.get(field.name, "")),
            classes=tuple(classes_in(hints[field.name])),
        )
        for field in dataclasses.fields(cls)
        if field.init
    )


def summary(cls: type) -> str:
    """What the docstring of a class says before ``Attributes:``, as Markdown."""
    return markdown(inspect.cleandoc(cls.__doc__ or "").split("\n\nAttributes:")[0])


def markdown(text: str) -> str:
    """A docstring's text on one line, its code in Markdown's way."""
    return " ".join(text.split()).replace("``", "`")


def kind_in_words(hint: Any) -> str:
    """A type as a person says it who writes YAML."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return _either([f"`{value}`" for value in arguments])
    if origin in (typing.Union, types.UnionType):
        return _either([kind_in_words(one) for one in arguments])
    if origin is not None and issubclass(origin, Mapping):
        return f"mapping of {kind_in_words(arguments[0])} to {kind_in_words(arguments[1])}"
    if origin is tuple and Ellipsis not in arguments:
        return f"list of {' and '.join(kind_in_words(one) for one in arguments)}"
    if origin is not None and issubclass(origin, Sequence):
        inner = kind_in_words(arguments[0])
        return f"list of ({inner})" if " or " in inner and "`" not in inner else f"list of {inner}"
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return f"`{hint.__name__}`"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _either([f"`{member.value}`" for member in hint])
    return str(getattr(hint, "__name__", hint))


def classes_in(hint: Any) -> list[type]:
    """The dataclasses in a type, in order."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return [hint]
    return [found for one in typing.get_args(hint) for found in classes_in(one)]


def _either(parts: list[str]) -> str:
    parts = list(dict.fromkeys(parts))
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"


def _default(field: dataclasses.Field[Any]) -> str | None:
    if field.default is not MISSING:
        return _plain(field.default)
    return None if field.default_factory is MISSING else _plain(field.default_factory())


def _plain(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        return ""  # a section, whose own keys have defaults
    if isinstance(value, Enum):
        value = value.value
    return json.dumps(value, ensure_ascii=False, default=str)


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(Path(inspect.getfile(import_module(module))).read_text("utf-8"))


def _below_fields(cls: type) -> dict[str, str]:
    """The strings that stand below a class's fields."""
    if not dataclasses.is_dataclass(cls):
        return {}
    for node in ast.walk(_tree(cls.__module__)):
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            return {
                field.target.id: text.value.value
                for field, text in zip(node.body, node.body[1:], strict=False)
                if isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            }
    return {}


def _below_class_docstring(cls: type) -> dict[str, str]:
    """What docstrings say under ``Attributes:``, where a line may speak of several fields."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        _, _, text = inspect.cleandoc(base.__doc__ or "").partition("Attributes:")
        names = "|".join(re.escape(field.name) for field in dataclasses.fields(base))
        if not text or not names:
            continue
        text = " ".join(text.split())
        starts = list(re.finditer(rf"(?:^|(?<=\. ))((?:{names})(?:, (?:{names}))*): ", text))
        for start, end in zip(starts, [*starts[1:], None], strict=True):
            meaning = text[start.end() : end.start() if end else None].strip()
            found |= dict.fromkeys(start[1].split(", "), meaning)
    return found

"""YAML text to plain values and back, by the core schema of YAML 1.2.

PyYAML reads YAML 1.1, where ``5e-3`` is text, ``on`` and ``yes`` are booleans, ``010`` is eight
and a date is no text. Here they are a float, text, text, ten and text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Any, ClassVar, Final

import yaml

from bakeoff.errors import ConfigError

_MAX_VALUE_CHARS: Final = 80

# Tag, pattern and possible first characters of plain scalars: YAML 1.2, section 10.3.2.
_SCALARS: Final = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's scalars; refuses repeated keys and keys of no text."""

    yaml_constructors: ClassVar[dict[Any, Any]] = {
        tag: yaml.SafeLoader.yaml_constructors[tag]
        for tag in (None, *(f"tag:yaml.org,2002:{t}" for t in ("null", "bool", "str", "seq")))
    }

    def _construct_map(self, node: yaml.Node) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.MarkedYAMLError(
                problem="this is not a mapping", problem_mark=node.start_mark
            )
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"the key {key!r} is not text; write it in quotes"
            elif key in result:
                problem = f"the key {key!r} stands twice in one mapping; remove one"
            else:
                result[key] = self.construct_object(value_node, deep=True)
                continue
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
        return result

    def _construct_int(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node))
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))

    def _construct_float(self, node: yaml.ScalarNode) -> float:
        return float(re.sub(r"\.(?=[iInN])", "", str(self.construct_scalar(node))))


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper that quotes what either YAML 1.1 or 1.2 would not read as text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def _represent_str(self, data: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", data, '"' if "\n" in data else None)

    def _represent_list(self, data: list[Any]) -> yaml.Node:
        is_flat = not any(isinstance(item, list | dict) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=is_flat)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _SCALARS:
    for _kind in (_Loader, _Dumper):
        _kind.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader._construct_map)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader._construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader._construct_float)
_Dumper.add_representer(str, _Dumper._represent_str)
_Dumper.add_representer(list, _Dumper._represent_list)


def load_yaml(text: str, *, where: str) -> dict[str, Any]:
    """Reads one YAML document whose top level is a mapping.

    Args:
        text: the document.
        where: what messages call it, for example the file's path.

    Raises:
        ConfigError: broken syntax or a repeated key (with line and column), a tag other than
            YAML's own plain ones, or a top level that is no mapping.
    """
    value = parse(text, where=where)
    if not isinstance(value, dict):
        found = "it is empty" if value is None else f"found {shown(value)}"
        raise ConfigError(f"{where}: the top level must be a mapping of keys to values; {found}.")
    return value


def dump_yaml(mapping: Mapping[str, Any]) -> str:
    """Writes a plain mapping, keys in their order; ``load_yaml`` gives back the same values."""
    text: str = yaml.dump(
        plain(mapping), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
    )
    return text


def parse(text: str, *, where: str) -> Any:
    """One YAML document, whatever its top level; errors as of ``load_yaml``."""
    try:
        return yaml.load(text, Loader=_Loader)  # a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        is_syntax = isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError)
        hint = " Text that holds any of : { } [ ] # needs quotes." if is_syntax else ""
        raise ConfigError(f"{where}{place}: {problem}.{hint}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not readable as YAML: {error}") from None


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

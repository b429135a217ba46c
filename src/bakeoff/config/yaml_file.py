"""YAML text to plain values and back, by the core schema of YAML 1.2 (``ruamel.yaml``).

The text becomes ruamel's nodes, and the nodes become dictionaries, lists and scalars, each error
with its line and column. What YAML 1.2's core schema does not know is text: a date, ``1_000``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.parser import ParserError
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scanner import ScannerError

from bakeoff.config.plain import plain, shown
from bakeoff.errors import ConfigError

_TAG: Final = "tag:yaml.org,2002:"
_MOST_VALUES: Final = 100_000
"""In one document, aliases written out: a few lines of nested ones could mean billions."""
_MOST_CHARS: Final = 10_000_000
"""Of all of its texts, likewise."""
_LINE_CHARS: Final = 10_000
_CONSTANTS: Final[dict[str, bool | None]] = {
    "true": True,
    "false": False,
    "null": None,
    "~": None,
    "": None,
}
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_BREAKS: Final = frozenset("\n\r\x85\u2028\u2029")
"""What ends a line in YAML, and is kept between double quotes only."""
_FLOAT: Final = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


def load_yaml(text: str, *, where: str) -> dict[str, Any]:
    """Reads one YAML document whose top level is a mapping.

    Args:
        text: the document.
        where: what messages call it, for example the file's path.

    Raises:
        ConfigError: broken syntax or a repeated key (with line and column), a tag other than
            YAML's own plain ones, or a top level that is not a mapping.
    """
    value = parse(text, where=where)
    if not isinstance(value, dict):
        found = "it is empty" if value is None else f"found {shown(value)}"
        raise ConfigError(f"{where}: the top level must be a mapping of keys to values; {found}.")
    return value


def parse(text: str, *, where: str) -> Any:
    """One YAML document, whatever its top level; errors as of ``load_yaml``."""
    try:
        node = YAML(typ="safe", pure=True).compose(text)
        return None if node is None else _Values().of(node)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        is_syntax = isinstance(error, ScannerError | ParserError)
        hint = " Text that holds any of : { } [ ] # needs quotes." if is_syntax else ""
        raise ConfigError(f"{where}{place}: {problem}.{hint}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not readable as YAML: {error}") from None


def blank_keys(text: str, section: str) -> list[str]:
    """The keys of a section of the top level after which nothing is written, not even null.

    Args:
        text: a document that ``load_yaml`` reads. section: a key of its top level.
    """
    node = YAML(typ="safe", pure=True).compose(text)
    found = [value for key, value in node.value if key.value == section]
    return [
        str(key.value)
        for one in found
        if isinstance(one, MappingNode)
        for key, value in one.value
        if isinstance(value, ScalarNode) and value.value == "" and value.style is None
    ]


def dump_yaml(mapping: Mapping[str, Any]) -> str:
    """Writes a plain mapping, keys in their order; ``load_yaml`` gives back the same values."""
    writer = YAML(typ="safe", pure=True)
    writer.Representer = _Representer
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # typed as None
    writer.allow_unicode = True
    writer.width = _LINE_CHARS
    file = io.StringIO()
    writer.dump(plain(mapping), file)
    return file.getvalue()


class _Values:
    """The values of one document's nodes."""

    def __init__(self) -> None:
        self._num_values = self._num_chars = 0
        self._open: set[int] = set()  # nodes that contain the present one

    def of(self, node: Node) -> Any:
        """The plain value of a node.

        Raises:
            MarkedYAMLError: where the node breaks a rule.
        """
        self._num_values += 1
        if self._num_values > _MOST_VALUES:
            raise _error(node, f"aliases make more than {_MOST_VALUES} values; write fewer")
        if isinstance(node, ScalarNode):
            self._num_chars += len(node.value)
            if self._num_chars > _MOST_CHARS:
                raise _error(
                    node, f"aliases make texts of more than {_MOST_CHARS} characters; write fewer"
                )
            return _scalar(node)
        if id(node) in self._open:
            raise _error(node, "found a recursive alias: the value would hold itself")
        self._open.add(id(node))
        value: Any
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            value = self._mapping(node)
        elif isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            value = [self.of(item) for item in node.value]
        else:
            raise _unknown_tag(node)
        self._open.remove(id(node))
        return value

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.of(key_node)
            if not isinstance(key, str):
                raise _error(key_node, f"the key {key!r} is not text; write it in quotes")
            if key in result:
                raise _error(key_node, f"the key {key!r} appears twice in one mapping; remove one")
            result[key] = self.of(value_node)
        return result


def _scalar(node: ScalarNode) -> str | int | float | bool | None:
    """By the core schema: YAML 1.2, section 10.3.2."""
    text = str(node.value)
    kind = str(node.tag).removeprefix(_TAG)
    if kind in ("bool", "null") and text in (text.lower(), text.title(), text.upper()):
        return _CONSTANTS.get(text.lower(), text)
    if kind == "int" and _INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if kind in ("int", "float") and _FLOAT.fullmatch(text):
        return float(re.sub(r"\.(?=[iInN])", "", text))
    # Dates, merge keys and numbers of other schemas are text.
    if kind in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge"):
        return text
    raise _unknown_tag(node)


def _unknown_tag(node: Node) -> MarkedYAMLError:
    return _error(node, f"the tag {str(node.tag)!r} is not one of YAML's plain ones; remove it")


def _error(node: Node, problem: str) -> MarkedYAMLError:
    return MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


class _Representer(SafeRepresenter):
    """Writes what YAML 1.1 and 1.2 read alike: quotes around whatever either takes for no text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> Any:
        is_text = all(
            resolver.resolve(ScalarNode, data, (True, False)) == f"{_TAG}str"
            for resolver in _RESOLVERS
        )
        style = '"' if _BREAKS & set(data) else None if is_text else "'"
        return self.represent_scalar(f"{_TAG}str", data, style)

    def represent_list(self, data: list[Any]) -> Any:
        is_flat = not any(isinstance(item, list | dict) for item in data)
        return self.represent_sequence(f"{_TAG}seq", data, flow_style=is_flat)

    def represent_float(self, data: float) -> Any:
        node = super().represent_float(data)
        if "e" in node.value and "." not in node.value:
            node.value = node.value.replace("e", ".0e", 1)  # in YAML 1.1 it is text without
        return node


_RESOLVERS: Final = tuple(VersionedResolver(version=version) for version in ((1, 1), (1, 2)))
_Representer.add_representer(str, _Representer.represent_str)
_Representer.add_representer(list, _Representer.represent_list)
_Representer.add_representer(float, _Representer.represent_float)

"""Whether what the model writes is JSON, and whether it keeps to a schema."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import ConfigError
from bakeoff.files import read_text
from bakeoff.limits import OverLimitError, limited
from bakeoff.metrics.base import MeanMetric, no_options, with_ones
from bakeoff.metrics.contract import Ask, Expected, Metric, ModelOutputs

_NOT_JSON: Final = object()
_MOST_BYTES: Final = 10_000_000


class JsonValid(MeanMetric):
    """The share of texts that are one JSON document (RFC 8259) and nothing else."""

    name = "json_valid"
    title = "Valid JSON"
    asks = Ask.TEXT
    needs = ("texts",)

    @property
    def signature(self) -> str:
        return "RFC 8259, the whole text"

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        assert outputs.texts is not None
        return with_ones(np.array([self.holds(parsed(text)) for text in outputs.texts], np.uint8))

    def holds(self, document: Any) -> bool:
        """Whether a text's document, or ``_NOT_JSON``, is as it should be."""
        return document is not _NOT_JSON

    def invalid(self, outputs: ModelOutputs) -> NDArray[np.bool_]:
        return np.array([parsed(text) is _NOT_JSON for text in outputs.texts or ()], np.bool_)


def parsed(text: str) -> Any:
    """A text's document, or ``_NOT_JSON``. NaN and infinities are no JSON."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _refuse(constant: str) -> None:
    raise ValueError(constant)


@dataclass(frozen=True, kw_only=True)
class SchemaOptions:
    """Options of ``schema_valid``.

    Attributes:
        schema: a JSON Schema, or the path of a file that holds one.
    """

    schema: str | dict[str, Any]


class SchemaValid(JsonValid):
    """The share of texts that are JSON and keep to a JSON Schema.

    Args:
        schema: without references to other documents; nothing is fetched.

    Raises:
        ConfigError: where it is no schema.
    """

    name = "schema_valid"
    title = "Valid by schema"

    def __init__(self, schema: Any) -> None:
        from jsonschema import validators
        from jsonschema.exceptions import SchemaError
        from referencing import Registry

        kind = validators.validator_for(schema, default=validators.Draft202012Validator)
        try:
            with limited(f"metrics.{self.name}.schema"):
                kind.check_schema(schema)
        except OverLimitError as error:
            raise ConfigError(f"{error}; make it smaller") from None
        except SchemaError as error:
            raise ConfigError(
                f"metrics.{self.name}.schema: it is no JSON Schema: {error.json_path}: "
                f"{error.message}; mend it"
            ) from None
        # A registry of its own, as the default one opens addresses.
        self._validator = kind(schema, registry=Registry())
        self._kind = kind.META_SCHEMA.get("$id", kind.META_SCHEMA.get("id", ""))

    @property
    def signature(self) -> str:

        version = importlib.metadata.version("jsonschema")
        return f"jsonschema {version}, {self._kind}"

    def holds(self, document: Any) -> bool:
        from referencing.exceptions import Unresolvable

        if document is _NOT_JSON:
            return False
        where = f"metrics.{self.name}.schema"
        try:
            with limited(where):
                return bool(self._validator.is_valid(document))
        except RecursionError:
            return False
        except MemoryError:
            raise ConfigError(
                f"{where}: took more than a gibibyte of memory for one answer, which is the limit; "
                "simplify its patterns and references"
            ) from None
        except OverLimitError as error:
            raise ConfigError(
                f"{error}, for one answer; simplify its patterns and references"
            ) from None
        except Unresolvable as error:
            raise ConfigError(
                f"{where}: {error.ref!r} is not in the schema, and nothing is "
                "fetched; put what it refers to under $defs"
            ) from None


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    if name == JsonValid.name:
        no_options(name, options)
        return JsonValid()
    from bakeoff.config import from_mapping

    schema = from_mapping(SchemaOptions, options, path=f"metrics.{name}").schema
    return SchemaValid(_read(schema) if isinstance(schema, str) else schema)


def _read(path: str) -> Any:
    where = f"metrics.schema_valid.schema = {path!r}"
    try:
        document = parsed(read_text(Path(path), _MOST_BYTES))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: cannot be read ({error}); give the path of a file") from None
    if document is _NOT_JSON:
        raise ConfigError(f"{where}: the file holds no JSON; mend it")
    return document

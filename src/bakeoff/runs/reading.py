"""JSON becomes a record here, once and checked; older schemas are migrated on the way."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bakeoff.errors import StoreError
from bakeoff.runs.checksums import checked
from bakeoff.runs.migration import MIGRATIONS, migrated
from bakeoff.runs.records import SCHEMA, Results

if TYPE_CHECKING:
    from pydantic import TypeAdapter

RESULTS_FILE = "results.json"
EXAMPLES_FILE = "examples.jsonl"
STUDY_FILE = "study.yaml"
_MOST_ERRORS = 3
Record = TypeVar("Record")


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def adapter_of(kind: Any) -> TypeAdapter[Any]:
    """What reads and writes one kind of record."""
    if kind not in _ADAPTERS:
        # Imported here: it takes a tenth of a second, and `--help` needs no records.
        from pydantic import TypeAdapter

        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def to_json(record: Any) -> Any:
    """A record as plain JSON values; numbers that are not finite become None."""
    return finite(adapter_of(type(record)).dump_python(record, mode="json"))


def from_json(kind: type[Record], content: Any, *, where: str) -> Record:
    """A record of parsed JSON.

    Args:
        kind: which. content: plain values.
        where: the file's name, for errors.

    Raises:
        StoreError: naming the file, the key and what is there instead of what is expected.
    """
    from pydantic import ValidationError

    try:
        # By its JSON, so that a list may be a tuple, and strictly, so that "3" is not a number.
        return cast(Record, adapter_of(kind).validate_json(json.dumps(content), strict=True))
    except ValidationError as error:
        found = error.errors(include_url=False)
        shown = "; ".join(_described(e) for e in found[:_MOST_ERRORS])
        more = f" (and {len(found) - _MOST_ERRORS} more)" if len(found) > _MOST_ERRORS else ""
        raise StoreError(
            f"{where}: is not the {kind.__name__} record that it should be: {shown}{more}; restore "
            "the file, or run the study again to rewrite it"
        ) from None


def _described(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "the whole"
    if error["type"] == "missing":
        return f"{key} is missing"
    given = json.dumps(error.get("input"), default=str)
    shown = given if len(given) <= 60 else f"{given[:57]}..."
    return f"{key} is {shown}, expected: {error['msg'].removeprefix('Input should be ')}"


def read_json(path: Path) -> Any | None:
    """The content of a JSON file, or None where it is missing, torn or not as its checksum says."""
    try:
        return checked(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def read_results(folder: Path) -> Results:
    """The results of a run's folder, of this schema or an older one.

    Raises:
        StoreError: there is no ``results.json``, it is torn, of a newer schema, or a key of it is
            missing or mistyped.
    """
    return results_from(_parsed(folder / RESULTS_FILE), where=str(folder / RESULTS_FILE))


def results_from(content: Any, *, where: str) -> Results:
    """Results of parsed JSON; see ``read_results``."""
    schema = content.get("schema") if isinstance(content, dict) else None
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise StoreError(
            f"{where}: schema is {schema!r}, expected a whole number from 1 to {SCHEMA}, so these "
            "are not results of bakeoff; give the folder that `bakeoff run` made"
        )
    if schema > SCHEMA:
        raise StoreError(
            f"{where}: schema is {schema}, and this version of bakeoff reads up to {SCHEMA}; use "
            "the version that ran the study, or a newer one"
        )
    if schema in MIGRATIONS:
        try:
            content = migrated(content)
        except KeyError as error:
            raise StoreError(
                f"{where}: {error.args[0]} is missing, which schema {schema} has; restore the "
                "file, or run the study again to rewrite it"
            ) from None
        except (TypeError, AttributeError, ValueError) as error:
            raise StoreError(
                f"{where}: does not fit schema {schema}, which it names ({error}); restore the "
                "file, or run the study again to rewrite it"
            ) from None
    return from_json(Results, content, where=where)


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        rule = "results are in a run's folder, which `bakeoff run` writes"
        if (path.parent / STUDY_FILE).is_file():
            rule = "the run was cut off before it wrote results; the same `bakeoff run` takes it up"
        raise StoreError(f"{path}: not found; {rule}") from None
    except (ValueError, RecursionError) as error:
        raise StoreError(
            f"{path}: not readable as JSON ({error}); run the study again to rewrite it"
        ) from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error


def finite(content: Any) -> Any:
    """The same content with None for every number that is not finite."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return content

"""A recorded study without the code that it names, for those who only read its run's folder.

A run's folder may come from anyone. Its study may name a metric in Python and trust the code
beside its base; to read answers, adapters and scores back needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bakeoff.errors import ConfigError
from bakeoff.metrics.registry import named_options

TRUSTS: Final = "trust_remote_code"
_PYTHON: Final = "python"
_METRICS: Final = "metrics"


def without_code(study: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved study that runs none of its own code when it is read.

    Args:
        study: as a run's folder keeps it.

    Returns:
        The same one, in which functions are stand-ins with their names (``load: false``), in the
        task, in further test sets and wherever else metrics may stand, and in which code beside
        the base is not trusted.
    """
    found: dict[str, Any] = _inert(study)
    if TRUSTS in found:
        found[TRUSTS] = False
    return found


def _inert(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _metrics(of) if key == _METRICS else _inert(of) for key, of in value.items()}
    return [_inert(one) for one in value] if isinstance(value, list) else value


def _metrics(given: Any) -> Any:
    if isinstance(given, list | tuple):
        return [_metric(entry) for entry in given]
    return _metric(given)


def _metric(entry: Any) -> Any:
    if not isinstance(entry, str | Mapping):
        return entry
    try:
        name, options = named_options(entry)
    except ConfigError:  # no metric, as the study's reading will say
        return entry
    return {name: {**options, "load": False}} if name == _PYTHON else entry

"""The only place that maps a metric's name to its code, which is imported when it is asked for.

A metric comes from here, from ``register_metric``, or from an installed package that has an entry
point in the group ``bakeoff.metrics``: a factory, as ``MetricFactory`` describes it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import logging
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from bakeoff.errors import ConfigError
from bakeoff.metrics.contract import Metric

MetricFactory = Callable[[str, tuple[str, ...], Mapping[str, Any]], Metric]
"""Makes a metric from its name, the task's labels (none where rows have choices of their own) and
the options that the study gives; raises ConfigError where they do not fit."""

_GROUP: Final = "bakeoff.metrics"
_LOG = logging.getLogger(__name__)

_BUILT_IN: Final = {
    "nll": "likelihood",
    "perplexity": "likelihood",
    "bits_per_byte": "likelihood",
    "rouge1": "rouge_metrics",
    "rouge2": "rouge_metrics",
    "rougeL": "rouge_metrics",
    "rougeLsum": "rouge_metrics",
    "exact_match": "squad",
    "f1": "squad",
    "number": "number",
    "number_strict": "number",
    "accuracy": "choices",
    "accuracy_norm": "choice_nlls",
    "macro_f1": "confusion",
    "mcc": "confusion",
    "label_nll": "choice_nlls",
    "brier": "choice_nlls",
    "bleu": "sacrebleu_scores",
    "chrf": "sacrebleu_scores",
    "json_valid": "json_texts",
    "schema_valid": "json_texts",
    "python": "python_function",
}
METRIC_NAMES: Final = tuple(_BUILT_IN)
"""What bakeoff itself brings."""

_registered: dict[str, MetricFactory] = {}


def metric_names() -> tuple[str, ...]:
    """All that ``metric_of`` knows: built in, registered, and of installed packages."""
    return tuple(dict.fromkeys((*METRIC_NAMES, *_registered, *_entry_points())))


def metric_of(
    name: str, *, labels: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> Metric:
    """The metric called ``name``.

    ``python: FILE.py:FUNCTION`` is short for ``python`` with the option ``function``.

    Args:
        labels: those of a classification, in the order of its choices.
        options: of this metric, as the study gives them.

    Raises:
        ConfigError: where there is none of that name, its package cannot be imported, or labels
            or options do not fit it.
    """
    given = dict(options or {})
    kind, colon, function = name.partition(":")
    if kind == "python" and colon:
        name, given = kind, {"function": function.strip()} | given
    metric = _factory_of(name)(name, tuple(labels), given)
    if metric.name != name and metric.name in _BUILT_IN:
        raise ConfigError(
            f"metrics.{name}.name = {metric.name!r}: that is a metric of bakeoff; give it another"
        )
    return metric


def register_metric(name: str, factory: MetricFactory) -> None:
    """Adds a metric for this process.

    Raises:
        ConfigError: where the name is taken.
    """
    if name in _BUILT_IN or name in _registered or name in _entry_points():
        raise ConfigError(f"register_metric: {name!r} is a metric already; choose another name")
    _registered[name] = factory


def _factory_of(name: str) -> MetricFactory:
    if name in _BUILT_IN:
        module = importlib.import_module(f"bakeoff.metrics.{_BUILT_IN[name]}")
        built_in: MetricFactory = module.make
        return built_in
    if name in _registered:
        return _registered[name]
    points = _entry_points()
    if name not in points:
        known = metric_names()
        near = get_close_matches(str(name), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(f"metrics: {name!r} is not a metric{hint} Known: {', '.join(known)}")
    point = points[name]
    try:
        factory: MetricFactory = point.load()
    except Exception as error:  # whatever a package of someone else raises while it is imported
        raise ConfigError(
            f"metrics: {name!r} is of the package {_package(point)}, whose {point.value} cannot "
            f"be imported ({type(error).__name__}: {error}); mend or remove that package"
        ) from error
    if not callable(factory):
        raise ConfigError(
            f"metrics: {name!r} is of the package {_package(point)}, whose {point.value} is no "
            "function that makes a metric; mend or remove that package"
        )
    return factory


@functools.cache
def _entry_points() -> Mapping[str, importlib.metadata.EntryPoint]:
    """Of installed packages, by name; a name that bakeoff has keeps its meaning."""
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for point in importlib.metadata.entry_points(group=_GROUP):
        if point.name in _BUILT_IN or point.name in found:
            _LOG.warning(
                "the package %s offers a metric %r, a name that is taken; it is left out",
                _package(point),
                point.name,
            )
            continue
        found[point.name] = point
    return found


def _package(point: importlib.metadata.EntryPoint) -> str:
    return "unknown" if point.dist is None else point.dist.name

"""The only place that maps a metric's name to its code, which is imported when it is asked for.

A metric comes from here, from ``register_metric``, or from an installed package that has an entry
point in the group ``bakeoff.metrics``: a factory, as ``MetricFactory`` describes it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from bakeoff.errors import ConfigError
from bakeoff.metrics.contract import Metric
from bakeoff.plugins import Plugins

MetricFactory = Callable[[str, tuple[str, ...], Mapping[str, Any]], Metric]
"""Makes a metric from its name, the task's labels (none where rows have choices of their own) and
the options that the study gives; raises ConfigError where they do not fit."""

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

_plugins = Plugins("bakeoff.metrics", "metric", _BUILT_IN)
_registered: dict[str, MetricFactory] = {}


def metric_names() -> tuple[str, ...]:
    """All that ``metric_of`` knows: built in, registered, and of installed packages."""
    return tuple(dict.fromkeys((*METRIC_NAMES, *_registered, *_plugins.points)))


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
    if name in _BUILT_IN or name in _registered or name in _plugins.points:
        raise ConfigError(f"register_metric: {name!r} is a metric already; choose another name")
    _registered[name] = factory


def registered_in() -> dict[str, str]:
    """The module in which each registered metric's factory was defined, by name."""
    return {name: factory.__module__ for name, factory in _registered.items()}


def _factory_of(name: str) -> MetricFactory:
    if name in _BUILT_IN:
        module = importlib.import_module(f"bakeoff.metrics.{_BUILT_IN[name]}")
        built_in: MetricFactory = module.make
        return built_in
    if name in _registered:
        return _registered[name]
    if name not in _plugins.points:
        known = metric_names()
        near = get_close_matches(str(name), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(f"metrics: {name!r} is not a metric{hint} Known: {', '.join(known)}")
    factory: MetricFactory = _plugins.load(name, where="metrics")
    if not callable(factory):
        raise _plugins.unfit(name, "is no function that makes a metric", where="metrics")
    return factory

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
    "strict_match": "strict_match",
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
    "judge": "judge",
}
METRIC_NAMES: Final = tuple(_BUILT_IN)
"""What bakeoff itself brings."""

MAIN_OPTIONS: Final = {"python": "function", "schema_valid": "schema"}
"""By metric the option that a value alone gives; it names a file."""

_plugins = Plugins("bakeoff.metrics", "metric", _BUILT_IN)
_registered: dict[str, MetricFactory] = {}


def metric_names() -> tuple[str, ...]:
    """All that ``metric_of`` knows: built in, registered, and of installed packages."""
    return tuple(dict.fromkeys((*METRIC_NAMES, *_registered, *_plugins.points)))


def metric_of(
    name: str, *, labels: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> Metric:
    """The metric called ``name``.

    Args:
        name: its name; ``python: FILE.py:FUNCTION`` gives the main option as well.
        labels: those of a classification, in the order of its choices.
        options: of this metric, as the study gives them.

    Raises:
        ConfigError: where there is none of that name, its package cannot be imported, or labels
            or options do not fit it.
    """
    name, main = named_options(name)
    metric = _factory_of(name)(name, tuple(labels), {**main, **(options or {})})
    if metric.name != name and metric.name in _BUILT_IN:
        raise ConfigError(
            f"metrics.{name}.name = {metric.name!r}: that is a metric of bakeoff; give it another"
        )
    return metric


def read_metrics(
    entries: Sequence[str | Mapping[str, Any]], *, labels: Sequence[str] = ()
) -> tuple[Metric, ...]:
    """A study's metrics, each once.

    Args:
        entries: names, or ``{name: options}``; for a metric with one main option its value alone
            (``python: FILE.py:FUNCTION``, ``schema_valid: FILE``). labels: as of ``metric_of``.

    Raises:
        ConfigError: as ``metric_of``, or where two different ones have one name.
    """
    found: dict[str, Metric] = {}
    known: dict[str, tuple[str, dict[str, Any]]] = {}
    for entry in entries:
        name, options = named_options(entry)
        metric = metric_of(name, labels=labels, options=options)
        before = known.setdefault(metric.name, (name, options))
        if before != (name, options) and (options or before[1]):
            raise ConfigError(
                f"task.metrics: two of them are called {metric.name!r}; give one of them another "
                "`name`"
            )
        found.setdefault(metric.name, metric)
    return tuple(found.values())


def named_options(entry: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and the options of an entry of ``task.metrics``.

    Raises:
        ConfigError: where it is not of one of the forms that ``read_metrics`` knows.
    """
    if isinstance(entry, str):
        name, colon, value = entry.partition(":")
        return (
            (name, {MAIN_OPTIONS[name]: value.strip()})
            if colon and name in MAIN_OPTIONS
            else (
                entry,
                {},
            )
        )
    rule = "give a name, or {name: options}, such as {python: my_metrics.py:score}"
    if len(entry) != 1:
        raise ConfigError(f"task.metrics: {dict(entry)} is not one metric; {rule}")
    [(name, given)] = entry.items()
    if given is None:
        return name, {}
    if isinstance(given, Mapping):
        options = dict(given)
        # A schema that stands in the study itself.
        if name == "schema_valid" and "schema" not in options:
            options = {"schema": options}
        return name, options
    if isinstance(given, str) and name in MAIN_OPTIONS:
        return name, {MAIN_OPTIONS[name]: given}
    raise ConfigError(f"task.metrics.{name} = {given!r}: {rule}")


def register_metric(name: str, factory: MetricFactory) -> None:
    """Adds a metric for this process.

    Raises:
        ConfigError: where the name is taken.
    """
    if not isinstance(name, str) or not callable(factory):
        raise ConfigError(
            f"register_metric({name!r}, {factory!r}): give a name and a function that makes the "
            "metric"
        )
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

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.metrics import METRIC_NAMES, metric_names, metric_of, register_metric, registry
from bakeoff.metrics.base import PERCENT
from bakeoff.metrics.contract import Metric
from bakeoff.metrics.likelihood import Nll
from bakeoff.plugins import Plugins

SHARES = {
    *("rouge1", "rouge2", "rougeL", "rougeLsum", "exact_match", "f1", "number", "number_strict"),
    "strict_match",
    *("accuracy", "accuracy_norm", "macro_f1", "json_valid", "schema_valid"),
}


class Named(Nll):
    title = "Mine"


def make_named(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    metric = Named()
    metric.name = name
    metric.title = f"{name} {labels} {dict(options)}"
    return metric


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    plugins = Plugins("bakeoff.metrics", "metric", METRIC_NAMES)
    monkeypatch.setattr(registry, "_plugins", plugins)


def offer(monkeypatch: pytest.MonkeyPatch, **places: str) -> None:
    """Acts as installed packages that have these entry points."""
    points = [
        importlib.metadata.EntryPoint(name, place, "bakeoff.metrics")
        for name, place in places.items()
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)


def test_every_name_is_its_metrics_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def python(*_):\n    return 1\n")
    options: dict[str, dict[str, Any]] = {
        "schema_valid": {"schema": {"type": "object"}},
        "python": {"function": f"{tmp_path}/mine.py:python", "title": "Mine", "name": "mine"},
    }
    metrics = {
        name: metric_of(name, labels=["a", "b"], options=options.get(name)) for name in METRIC_NAMES
    }
    assert {name for name, metric in metrics.items() if metric.name != name} == {"python"}
    assert len({metric.title for metric in metrics.values()}) == len(METRIC_NAMES) == 24
    for metric in metrics.values():
        assert metric.title and metric.signature and metric.default_margin > 0
        if metric.name == "judge":
            continue  # a share of wins, which its judge's own noise moves by more than a point
        assert (metric.unit == PERCENT) == (metric.default_margin == 0.01 and metric.name in SHARES)


def test_a_default_margin_is_a_hundredth_except_where_the_unit_is_another() -> None:
    """Answers of a study hang on it where its decision names none."""
    options = {"schema_valid": {"schema": {"type": "object"}}}
    others = {"nll": 0.02, "perplexity": 0.2, "mcc": 0.02, "label_nll": 0.02, "judge": 0.05}
    others |= {"bleu": 1.0, "chrf": 1.0}
    for name in set(METRIC_NAMES) - {"python"}:
        metric = metric_of(name, labels=["a", "b"], options=options.get(name))
        assert metric.default_margin == others.get(name, 0.01), name


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'rogue1' is not a metric; did you mean 'rouge1'\?"):
        metric_of("rogue1")
    with pytest.raises(ConfigError, match=r"'zzz' is not a metric\. Known: nll, "):
        metric_of("zzz")


def test_options_that_there_are_not() -> None:
    with pytest.raises(ConfigError, match=r"metrics\.nll\.base: nll has no options"):
        metric_of("nll", options={"base": 2})
    with pytest.raises(ConfigError, match=r"metrics\.accuracy\.ask = 'text'.*did you mean asks"):
        metric_of("accuracy", options={"ask": "text"})


def test_a_registered_metric_is_found_by_its_name() -> None:
    register_metric("mine", make_named)
    assert metric_of("mine", labels=["a"], options={"x": 1}).title == "mine ('a',) {'x': 1}"
    assert "mine" in metric_names()
    assert "mine" not in METRIC_NAMES
    for taken in ("mine", "nll"):
        with pytest.raises(ConfigError, match=f"register_metric: '{taken}' is a metric already"):
            register_metric(taken, make_named)


@pytest.mark.parametrize(("name", "factory"), [(1, make_named), ("mine", "make_named")])
def test_what_is_registered_is_a_name_and_a_function(name: Any, factory: Any) -> None:
    with pytest.raises(ConfigError, match="give a name and a function that makes the metric"):
        register_metric(name, factory)


def test_an_installed_package_brings_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, theirs=f"{__name__}:make_named")
    assert metric_of("theirs").title == "theirs () {}"
    assert "theirs" in metric_names()
    with pytest.raises(ConfigError, match="'theirs' is a metric already"):
        register_metric("theirs", make_named)


def test_a_package_that_fails_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    offer(
        monkeypatch,
        broken="no_such_module:make",
        constant=f"{__name__}:__name__",
        nll=f"{__name__}:make_named",
        fine=f"{__name__}:make_named",
    )
    assert metric_of("fine").name == "fine"
    assert type(metric_of("nll")) is Nll
    with pytest.raises(ConfigError, match=r"'broken'.*no_such_module:make cannot be imported"):
        metric_of("broken")
    with pytest.raises(ConfigError, match=r"'constant'.* is no function that makes a metric"):
        metric_of("constant")
    metric_names()
    assert "offers a metric 'nll', a name that is taken" in caplog.text


def test_importing_loads_no_library() -> None:
    code = (
        "import sys, bakeoff.metrics as m; m.metric_of('nll'); m.metric_of('rouge1'); "
        "heavy = {'torch', 'sklearn', 'scipy', 'nltk', 'rouge_score', 'sacrebleu', 'jsonschema', "
        "'pydantic'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-P", "-c", code], env=environment, check=True)

"""Results as Python users read them: tables, scores, figures, and what to use.

Everything is read from the run's folder; nothing in it is changed.
"""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bakeoff.errors import ConfigError
from bakeoff.report.load import read_priced
from bakeoff.runs import records
from bakeoff.runs.records import Comparison, Estimate, MetricRecord, Recommendation

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from bakeoff.inference.finished import FinishedRun


class Results:
    """What a study found.

    Attributes:
        folder: the run's. record: all of ``results.json``, typed.
    """

    def __init__(self, folder: Path, record: records.Results) -> None:
        """See ``load``."""
        self.folder = folder
        self.record = record
        self._runs: dict[tuple[str, bool], FinishedRun] = {}

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.record.study.get("name") or self.folder.name)

    @property
    def status(self) -> Literal["complete", "partial"]:
        """Whether everything is there."""
        return self.record.status

    @property
    def recommendation(self) -> Recommendation:
        """Which method to use, and how sure that is; ``why`` says it in sentences."""
        return self.record.recommendation

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every pair of methods and baselines, by every metric."""
        return self.record.comparisons

    @property
    def metrics(self) -> tuple[MetricRecord, ...]:
        """What answers are scored by; one is ``primary``."""
        return self.record.task.metrics

    def table(self, *, baselines: bool = False) -> pd.DataFrame:
        """One row per method, in the study's order.

        Args:
            baselines: adds a row for each baseline; its ``kind`` is ``baseline``.

        Returns:
            ``method``, ``kind``, ``state``, ``learning_rate``, ``seeds`` (how many were tested),
            ``converged``, ``recommended``; for each metric ``test_NAME`` with ``test_NAME_low`` and
            ``test_NAME_high``, and ``validation_NAME``, in the metric's own unit (shares in 0..1,
            nats per token); for each metric of a further test set ``SET_NAME`` with its bounds;
            and what the method costs alone: ``trainable_parameters``,
            ``adapter_bytes``, ``peak_memory_bytes``, ``epoch_seconds``, ``token_latency_seconds``.
            What is not known is missing. Of a study with ``bases`` or ``templates`` also
            ``plain_name`` (the method without them), ``base`` and ``template``.
        """
        import pandas as pd

        rows = [self._method_row(name) for name in self.record.methods]
        if baselines:
            rows += [
                {"method": name, "kind": "baseline", **self._scores_of(found)}
                for name, found in self.record.baselines.items()
            ]
        crossed = [] if self.record.factors is None else ["plain_name", "base", "template"]
        columns = [
            *(
                "method",
                *crossed,
                "kind",
                "state",
                "learning_rate",
                "seeds",
                "converged",
                "recommended",
            ),
            *self._score_columns(),
            *("trainable_parameters", "adapter_bytes", "peak_memory_bytes"),
            *("epoch_seconds", "token_latency_seconds"),
        ]
        counts = ("seeds", "trainable_parameters", "adapter_bytes", "peak_memory_bytes")
        return (
            pd.DataFrame(rows, columns=columns)
            .astype(dict.fromkeys(counts, "Int64"))
            .astype(dict.fromkeys(("converged", "recommended"), "boolean"))
        )

    def _method_row(self, name: str) -> dict[str, Any]:
        found = self.record.methods[name]
        cost, epoch, latency = (
            found.cost,
            found.cost.epoch_seconds,
            found.cost.token_latency_seconds,
        )
        return {
            "method": name,
            "plain_name": found.plain_name,
            "base": found.base,
            "template": found.template,
            "kind": found.kind,
            "state": str(found.state),
            "learning_rate": found.learning_rate,
            "seeds": len(found.seeds),
            "converged": found.converged,
            "recommended": name == self.recommendation.method,
            **self._scores_of(found),
            "trainable_parameters": cost.trainable_parameters,
            "adapter_bytes": cost.adapter_bytes,
            "peak_memory_bytes": cost.peak_memory_bytes,
            "epoch_seconds": None if epoch is None else epoch.mean,
            "token_latency_seconds": None if latency is None else latency.mean,
        }

    def _score_columns(self) -> list[str]:
        return [
            column
            for metric in self.metrics
            for column in (
                *(f"test_{metric.name}{end}" for end in ("", "_low", "_high")),
                f"validation_{metric.name}",
            )
        ] + [
            f"{name}_{metric.name}{end}"
            for name, found in self.record.also_test.items()
            for metric in found.metrics
            for end in ("", "_low", "_high")
        ]

    def _scores_of(
        self, found: records.MethodRecord | records.BaselineRecord
    ) -> dict[str, float | None]:
        missing = Estimate(mean=math.nan)
        row: dict[str, float | None] = {}
        for name in (metric.name for metric in self.metrics):
            test = found.test.get(name, missing)
            row |= {
                f"test_{name}": test.mean,
                f"test_{name}_low": test.low,
                f"test_{name}_high": test.high,
                f"validation_{name}": found.validation.get(name, missing).mean,
            }
        for one, reached in found.also_test.items():
            for name, estimate in reached.items():
                row |= {
                    f"{one}_{name}": estimate.mean,
                    f"{one}_{name}_low": estimate.low,
                    f"{one}_{name}_high": estimate.high,
                }
        return row

    def scores(self, *, baselines: bool = False, set: str = "test") -> pd.DataFrame:
        """One row per test row, seed and method: what ``bakeoff.compare`` compares.

        Args:
            baselines: adds those; they have no seed.
            set: ``test``, or the name of a further test set.

        Returns:
            ``method``, ``candidate``, ``seed``, ``set``, ``example`` (the row, from 0), ``answer``
            and a column for each metric that means something for a single row, in its own unit. An
            NLL is in nats per token; ``tokens`` holds how many, by which a mean is weighted.

        Raises:
            ConfigError: the study has no such set.
        """
        from bakeoff.report.scored_rows import scores_table

        sets = {set: self._metrics_on(set)}
        return scores_table(self.folder, self.record, sets, baselines=baselines)

    def learning_curve(self) -> pd.DataFrame:
        """One row per method and number of training rows; empty without a learning curve.

        Returns:
            ``method``, ``rows``, ``seeds`` (how many) and, for each metric, its mean over them with
            ``METRIC_low`` and ``METRIC_high``.
        """
        import pandas as pd

        found = [
            {"method": name, "rows": point.rows, "seeds": len(point.seeds)}
            | {
                f"{metric}{end}": value
                for metric, one in point.metrics.items()
                for end, value in (("", one.mean), ("_low", one.low), ("_high", one.high))
            }
            for name, points in self.record.learning_curve.items()
            for point in points
        ]
        return pd.DataFrame(found, columns=None if found else ["method", "rows", "seeds"])

    def _metrics_on(self, name: str) -> tuple[MetricRecord, ...]:
        if name == "test":
            return self.metrics
        if name not in self.record.also_test:
            known = ", ".join(("test", *self.record.also_test))
            raise ConfigError(f"set={name!r}: the study has no such test set; it has {known}")
        return self.record.also_test[name].metrics

    @property
    def figures(self) -> tuple[str, ...]:
        """The names that ``figure`` takes: each figure of the report, and each group of them."""
        from bakeoff.report.figures.build import each_figure

        drawn = list(each_figure(self.record, self.recommendation.method))
        return tuple(dict.fromkeys([*(f.group for f in drawn), *(f.name for f in drawn)]))

    def figure(self, name: str = "tradeoff") -> alt.TopLevelMixin:
        """A figure of the report as an Altair chart.

        Args:
            name: of a figure, such as ``pareto_memory`` or ``learning_curves``, or of a group of
                them, whose first one is taken: ``tradeoff``, ``quality``, ``cost``, ``history``.

        Raises:
            ConfigError: these results fill no figure of that name.
        """
        import altair as alt

        from bakeoff.report.figures.build import each_figure

        for found in each_figure(self.record, self.recommendation.method):
            if name in (found.name, found.group):
                return alt.Chart.from_dict(dict(found.spec))
        raise ConfigError(
            f"figure {name!r}: these results have none of that name; there are "
            f"{', '.join(self.figures) or 'none'}"
        )

    def finished(self, device: str = "auto", *, trust_remote_code: bool = False) -> FinishedRun:
        """The run's base and candidates on a device, loaded once.

        Args:
            device: ``auto``, ``cpu`` or ``cuda``.
            trust_remote_code: whether the code beside the base may run, where the study says so.
        """
        from bakeoff.inference.finished import FinishedRun

        key = (device, trust_remote_code)
        if key not in self._runs:
            self._runs[key] = FinishedRun(self.folder, device, trust_remote_code=trust_remote_code)
        return self._runs[key]

    def __repr__(self) -> str:
        from bakeoff.report.answer import verdict_words

        return (
            f"Results({self.name!r}, {self.status}: {', '.join(self.record.methods)}; "
            f"{verdict_words(self.recommendation)})"
        )

    def _repr_html_(self) -> str:
        """The answer and the table, for notebooks."""
        from bakeoff.report.notebook import summary_html

        return summary_html(self.record)


def path_of(given: object, what: str) -> Path:
    """A path that a caller gave.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(given, str | PathLike):
        raise ConfigError(f"{what}: {given!r} is no path; give a text or a Path")
    return Path(given)


def load(folder: str | Path) -> Results:
    """The results of a run's folder, complete or not, of this version or an older one.

    Raises:
        StoreError: it holds no results, or they cannot be read.
    """
    place = path_of(folder, "load")
    return Results(place, read_priced(place))

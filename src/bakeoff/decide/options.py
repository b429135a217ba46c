"""By what a study is decided."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection
from dataclasses import dataclass, field

from bakeoff.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DecisionOptions:
    """What counts as better, as equal and as sure; fixed before the test set is opened."""

    metric: str | None = None
    """The metric that decides; null takes the task's own."""
    margin: dict[str, float] = field(default_factory=dict)
    """For each metric a difference that does not matter, in the metric's own unit (nats; shares in
    0..1). Where there is none, a tenth of what the best method gains on the best baseline on
    validation, and at least a quarter of the metric's own."""
    level: float = 0.95
    """1 minus the share of studies in which any verdict may be wrong."""
    tolerance: float | None = None
    """The regret that is accepted where nothing is decided, in the deciding metric's own unit;
    null accepts none."""

    def __post_init__(self) -> None:
        for name, value in self.margin.items():
            if not (math.isfinite(value) and value >= 0.0):
                raise ConfigError(
                    f"margin.{name}: {value} is not a finite number of zero or more; give the "
                    "difference that does not matter in the metric's own unit, such as 0.02 nats"
                )
        if not 0.0 < self.level < 1.0:
            raise ConfigError(
                f"level: {self.level} is not between 0 and 1; give a share, such as 0.95"
            )
        if self.tolerance is not None and not (
            math.isfinite(self.tolerance) and self.tolerance >= 0.0
        ):
            raise ConfigError(
                f"tolerance: {self.tolerance} is not a finite number of zero or more; give the "
                "loss that is accepted in the deciding metric's own unit, or null"
            )

    def check_metrics(self, metrics: Collection[str], *, select_by: str | None = None) -> None:
        """Checks the names of metrics against those of the study's task.

        Args:
            metrics: the task's. select_by: what settings are chosen by, where the study names it.

        Raises:
            ConfigError: a metric is named that the task does not have.
        """
        named = [("decision.metric", self.metric), ("task.select_by", select_by)]
        places = [(key, name) for key, name in named if name is not None]
        for place, name in [*places, *((f"decision.margin.{m}", m) for m in self.margin)]:
            if name not in metrics:
                near = difflib.get_close_matches(name, metrics, n=1)
                hint = f"; did you mean {near[0]}?" if near else "."
                raise ConfigError(
                    f"{place}: {name!r} is not a metric of this study's task{hint} It has: "
                    f"{', '.join(metrics)}"
                )

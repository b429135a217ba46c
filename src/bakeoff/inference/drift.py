"""What a conversion loses, on the study's validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from bakeoff.base.model import Base
from bakeoff.data.batches import BatchPlan
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.score import example_nlls
from bakeoff.engine.workbench import digest_of_data, plan_of
from bakeoff.errors import BakeoffError, StoreError
from bakeoff.inference.finished import FinishedRun
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.switcher import Switcher
from bakeoff.runs.folder import INPUTS_FILE
from bakeoff.runs.reading import read_json
from bakeoff.study.opening import prepare_data


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Nats per supervised token on validation rows.

    Attributes:
        rows: how many. before: of the candidate. after: of what it was converted to.
        untuned: of the base.
    """

    rows: int
    before: float
    after: float
    untuned: float

    def record(self) -> dict[str, float]:
        """For a file."""
        return {
            "validation_rows": self.rows,
            "nll_before": self.before,
            "nll_after": self.after,
            "nll_untuned": self.untuned,
        }

    def sentence(self) -> str:
        """For people."""
        return (
            f"on {self.rows} validation rows its NLL per token is {self.after:.4f}, against "
            f"{self.before:.4f} before the conversion and {self.untuned:.4f} untuned"
        )


class Validation:
    """The study's validation rows, once for all that is measured on them.

    Args:
        run: whose rows they are.
        base: the held base of the candidate that is converted, which may be another than the
            study's own.

    Raises:
        BakeoffError: they cannot be read any more.
    """

    def __init__(self, run: FinishedRun, base: Base) -> None:
        self._base = base
        study = run.study
        methods = {entry.name: entry.build(self._base) for entry in study.entries}
        data = prepare_data(study, self._base, methods)
        inputs = read_json(run.path / INPUTS_FILE)
        known = inputs.get("data") if isinstance(inputs, Mapping) else None
        if known not in (None, digest_of_data(data)):
            raise StoreError(
                f"{run.path}: the study's rows are not those that it was trained on, or this "
                "version divides them otherwise; restore the data, or train it again in another "
                "folder"
            )
        self._plan: BatchPlan = plan_of(
            data.splits["validation"],
            run.task.max_length,
            run.task,
            self._base,
            study.options.protocol,
        )
        self.rows = len(data.splits["validation"])

    def nll(self, method: Method | None, tensors: Tensors) -> float:
        """Of a candidate, or of the untuned base, per token."""
        cohort = Cohort(self._base, [] if method is None else [method], 1)
        if method is not None:
            cohort.seat(0, method, tensors)
        return self._mean(cohort)

    def nll_merged(self, weights: Mapping[str, torch.Tensor], dtype: torch.dtype) -> float:
        """Of a whole model whose weights are rounded to a format, computed in float32."""
        rounded = {
            name: weights.get(name, parameter).detach().to(dtype).float()
            for name, parameter in self._base.source_parameters()
        }
        head = f"{self._base.head_name}.weight"
        if self._base.is_tied and head in weights:
            # A head of its own; the embedding, which shares the parameter, stays as it is.
            rounded.pop(f"{self._base.embedding_name}.weight", None)
        rounded |= {name: w.to(dtype).float() for name, w in weights.items() if name not in rounded}
        with _holding(self._base, rounded):
            return self._mean(Cohort(self._base, [], 1))

    def _mean(self, cohort: Cohort) -> float:
        with cohort:
            nlls = example_nlls(cohort, 0, TokenSource(cohort.base.device), self._plan)
        return float(nlls.sum() / self._plan.num_targets)

    def drift(self, before: tuple[Method, Tensors], after: float) -> Drift:
        """What was and what is."""
        return Drift(
            rows=self.rows, before=self.nll(*before), after=after, untuned=self.nll(None, {})
        )


def _holding(base: Base, weights: Mapping[str, torch.Tensor]) -> ExitStack:
    """The base with other weights, for as long as the context lasts."""
    stack = ExitStack()
    switcher = Switcher(base)
    switcher.write(weights)
    stack.callback(switcher.unmerge)
    return stack


def validation_of(run: FinishedRun, base: Base) -> Validation | str:
    """The rows, or why there are none any more; arguments as of ``Validation``."""
    try:
        return Validation(run, base)
    except (BakeoffError, OSError) as error:
        return f"the study's validation rows cannot be read ({error})"

"""What every metric keeps to. Axis letters: ``N`` examples, ``C`` columns of statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from bakeoff.errors import DataError
from bakeoff.metrics.contract import Ask, Floats, Metric, ModelOutputs
from bakeoff.metrics.registry import metric_of

_CHOICES = ("red", "green", "blue")


@dataclass(frozen=True, kw_only=True)
class Right:
    """What is right for an example; see ``Expected``."""

    references: Sequence[str] = ()
    choices: Sequence[str] = ()
    gold: int | None = None


class MetricContract:
    """Inherit it and name a metric that is registered or installed.

    The examples and outputs here suit most metrics; one that reads texts of a certain form names
    its own ``references`` and ``written``.

    Attributes:
        name: the metric's. options: as a study gives them. labels: of a classification.
        references: [N] a right answer to each example. written: [N] an imperfect answer to each.
        has_empty_value: whether sums of nothing have a value; they have none (NaN) mostly.
    """

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    labels: ClassVar[Sequence[str]] = ()
    references: ClassVar[Sequence[str]] = (
        "The cat sat on the mat all day.",
        "A dog barked twice at the postman.",
        "Two birds flew over the old bridge.",
        "The fish swam away from the red boat.",
        "A horse ran through the open gate.",
        "The cows slept under a wide tree.",
        "Seven hens crossed the muddy road.",
    )
    written: ClassVar[Sequence[str]] = (
        "The cat sat on the mat all day.",
        "A dog barked at the man.",
        "Birds flew.",
        "The red boat sank far away from here.",
        "",
        "The cows slept under a wide tree.",
        "Nobody saw the road at night.",
    )
    has_empty_value: ClassVar[bool] = False

    @pytest.fixture
    def metric(self) -> Metric:
        """The metric with ``options`` and ``labels``."""
        return metric_of(self.name, labels=self.labels, options=self.options)

    def examples(self) -> list[Right]:
        """[N] what is right."""
        choices = tuple(self.labels) or _CHOICES
        return [
            Right(references=(text,), choices=choices, gold=index % len(choices))
            for index, text in enumerate(self.references)
        ]

    def perfect(self) -> ModelOutputs:
        """What a model gives that is right every time, and sure of it."""
        examples = self.examples()
        gold = np.array([example.gold for example in examples], dtype=np.int64)
        return self._outputs(gold, [example.references[0] for example in examples], 0.1)

    def imperfect(self) -> ModelOutputs:
        """What a model gives that is right at times."""
        gold = np.array([example.gold for example in self.examples()], dtype=np.int64)
        wrong = np.arange(len(gold)) % 3 == 1
        chosen = np.where(wrong, (gold + 1) % len(self.examples()[0].choices), gold)
        return self._outputs(chosen, list(self.written), 2.0)

    def _outputs(self, chosen_N: Any, texts: list[str], nats: float) -> ModelOutputs:
        num_choices = len(self.examples()[0].choices)
        tokens_N = np.array([len(text.split()) for text in self.references], dtype=np.float64)
        sizes = [len(text.encode("utf-8")) for text in self.references]
        nlls = np.full((len(chosen_N), num_choices), 3.0 + nats)
        nlls[np.arange(len(chosen_N)), chosen_N] = nats
        return ModelOutputs(
            nll_N=nats * tokens_N * (1 + 0.1 * np.arange(len(tokens_N))),
            tokens_N=tokens_N,
            target_bytes_N=np.array(sizes, dtype=np.float64),
            choice_nlls=list(nlls),
            chosen_N=chosen_N,
            texts=texts,
            unfinished_N=np.zeros(len(texts), dtype=np.bool_),
            preferred_N=np.array(
                [0.5 if text in self.references else 0.25 for text in texts], dtype=np.float64
            ),
        )

    def test_it_says_what_it_is(self, metric: Metric) -> None:
        assert metric.name and metric.title and metric.signature
        assert isinstance(metric.unit, str) and isinstance(metric.higher_is_better, bool)
        assert isinstance(metric.by_row, bool)
        assert metric.asks in Ask
        assert metric.default_margin > 0

    def test_an_examples_statistics_are_its_own(self, metric: Metric) -> None:
        """Rows scored in parts, or in another order, have the statistics that they have at once."""
        examples, outputs = self.examples(), self.imperfect()
        whole = np.asarray(metric.statistics(outputs, examples))
        assert whole.ndim == 2 and len(whole) == len(examples)
        assert np.isfinite(whole.astype(np.float64)).all()
        num = len(examples)
        for rows in ([0], [*range(num // 2)], [*range(num // 2, num)], [*range(num)][::-1]):
            part = metric.statistics(_taken(outputs, rows), [examples[i] for i in rows])
            np.testing.assert_array_equal(part, whole[rows])

    def test_its_value_is_one_of_sums(self, metric: Metric) -> None:
        """The value of a whole is that of the sums of its parts, however it is parted."""
        statistics = self._statistics(metric)
        whole = metric.value(statistics.sum(axis=0))
        assert np.shape(whole) == () and math.isfinite(float(whole))
        half = len(statistics) // 2
        parts = statistics[:half].sum(axis=0) + statistics[half:].sum(axis=0)
        np.testing.assert_allclose(metric.value(parts), whole, rtol=1e-12)

    def test_its_value_broadcasts(self, metric: Metric) -> None:
        statistics = self._statistics(metric)
        sums_2C = np.stack([statistics[::2].sum(axis=0), statistics[1::2].sum(axis=0)])
        sums_32C = np.stack([sums_2C, sums_2C[::-1], sums_2C])
        values_32 = metric.value(sums_32C)
        assert values_32.shape == (3, 2) and values_32.dtype == np.float64
        for index in np.ndindex(3, 2):
            np.testing.assert_array_equal(values_32[index], metric.value(sums_32C[index]))

    def test_sums_of_nothing_have_no_value(self, metric: Metric) -> None:
        statistics = self._statistics(metric)
        with np.errstate(all="raise"):
            nothing = float(metric.value(np.zeros(statistics.shape[1])))
        assert math.isnan(nothing) != self.has_empty_value

    def test_a_single_rows_value_means_something_where_it_says_so(self, metric: Metric) -> None:
        if not metric.by_row:
            pytest.skip("it says that it means nothing")
        values_N = metric.value(self._statistics(metric))
        assert np.isfinite(values_N).all()

    def test_a_perfect_answer_is_better(self, metric: Metric) -> None:
        perfect, imperfect = (
            float(metric.value(metric.statistics(outputs, self.examples()).sum(axis=0)))
            for outputs in (self.perfect(), self.imperfect())
        )
        if metric.higher_is_better:
            assert perfect > imperfect
        else:
            assert perfect < imperfect

    def test_what_it_is_given_stays_as_it_was(self, metric: Metric) -> None:
        outputs, before = self.imperfect(), self.imperfect()
        statistics = np.asarray(metric.statistics(outputs, self.examples()))
        for field in fields(outputs):
            np.testing.assert_equal(getattr(outputs, field.name), getattr(before, field.name))
        kept = statistics.copy()
        metric.value(statistics)
        np.testing.assert_array_equal(statistics, kept)

    def test_outputs_without_what_it_reads_are_refused_by_name(self, metric: Metric) -> None:
        with pytest.raises(DataError, match=metric.name):
            metric.statistics(ModelOutputs(), self.examples())

    def _statistics(self, metric: Metric) -> Floats:
        found = metric.statistics(self.imperfect(), self.examples())
        return np.asarray(found, dtype=np.float64)


def _taken(outputs: ModelOutputs, rows: Sequence[int]) -> ModelOutputs:
    """The outputs of some rows."""

    def part(value: Any) -> Any:
        if value is None:
            return None
        return value[rows] if isinstance(value, np.ndarray) else [value[i] for i in rows]

    return replace(outputs, **{f.name: part(getattr(outputs, f.name)) for f in fields(outputs)})

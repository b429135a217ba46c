from __future__ import annotations

import math

import numpy as np
import pytest

from bakeoff.errors import DataError
from bakeoff.metrics import metric_of
from bakeoff.metrics.base import is_mean, missing_outputs
from bakeoff.metrics.contract import Ask, ModelOutputs
from tests.metrics.examples import Given, whole

OUTPUTS = ModelOutputs(
    nll_N=np.array([3.0, 0.5, 8.0]),
    tokens_N=np.array([2.0, 1.0, 5.0]),
    target_bytes_N=np.array([9.0, 4.0, 10.0]),
)


def test_nll_is_per_token_not_per_example() -> None:
    assert whole(metric_of("nll"), OUTPUTS, [Given()] * 3) == 11.5 / 8


def test_perplexity_is_of_the_whole_set() -> None:
    metric = metric_of("perplexity")
    assert whole(metric, OUTPUTS, [Given()] * 3) == pytest.approx(math.exp(11.5 / 8), rel=1e-15)
    assert metric.value(np.array([1e6, 1.0])) == np.inf


def test_bits_per_byte() -> None:
    found = whole(metric_of("bits_per_byte"), OUTPUTS, [Given()] * 3)
    assert found == pytest.approx(11.5 / math.log(2) / 23, rel=1e-15)
    without = ModelOutputs(nll_N=OUTPUTS.nll_N, tokens_N=OUTPUTS.tokens_N)
    with pytest.raises(DataError, match="metric bits_per_byte: the outputs hold no target_bytes_N"):
        metric_of("bits_per_byte").statistics(without, [Given()] * 3)


def test_what_a_reader_sees() -> None:
    nll = metric_of("nll")
    assert (nll.title, nll.unit, nll.default_margin) == ("NLL", "nats per token", 0.02)
    assert (nll.asks, nll.higher_is_better, nll.by_row) == (Ask.LIKELIHOOD, False, True)
    assert nll.signature == "mean over supervised tokens"


def test_outputs_that_lack_what_is_needed() -> None:
    nll = metric_of("nll")
    texts = ModelOutputs(texts=["a"])
    assert missing_outputs(nll, texts) == ("nll_N", "tokens_N")
    assert missing_outputs(nll, OUTPUTS) == ()
    with pytest.raises(DataError, match="metric nll: the outputs hold no nll_N; ask the model for"):
        nll.statistics(texts, [Given()])
    with pytest.raises(DataError, match="nll_N holds 3 entries for 2 examples"):
        nll.statistics(OUTPUTS, [Given()] * 2)


def test_only_a_plain_mean_has_the_closed_form_of_one() -> None:
    means = {name: is_mean(metric_of(name)) for name in ("nll", "perplexity", "bits_per_byte")}
    assert means == {"nll": True, "perplexity": False, "bits_per_byte": False}
    assert is_mean(metric_of("exact_match"))

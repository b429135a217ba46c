"""What a recommended method may lose on further test sets."""

from __future__ import annotations

import math

import pytest

from bakeoff.decide.drops import drop_breaches, drops_of
from bakeoff.decide.recommendation import recommend
from bakeoff.runs.records import Results
from tests.decide.made import study_of, with_set

METHODS = {"lora": 3.0, "head": 3.5}


def on_set(most: float, *, lora: float, metric: str = "nll", seeds: int = 5) -> Results:
    """A study in which lora is the best, and what it and head reach on a further set."""
    even = 2.0 if metric == "nll" else 0.5
    means = {"lora": lora, "head": even, "zero_shot": even}
    return with_set(study_of(METHODS), means, most, metric=metric, seeds=seeds)


@pytest.mark.parametrize(
    ("lora", "metric"), [(2.04, "nll"), (0.46, "rouge1")], ids=["lower is better", "higher"]
)
def test_the_bound_of_the_loss_decides_not_the_mean(lora: float, metric: str) -> None:
    loss = drops_of(on_set(0.05, lora=lora, metric=metric))[0].loss(
        on_set(0.05, lora=lora, metric=metric), "lora"
    )
    assert loss is not None and loss.mean == pytest.approx(0.04) and loss.bound > 0.05
    [breach] = drop_breaches(on_set(0.05, lora=lora, metric=metric), "lora")
    assert "but up to" in breach.reason and breach.excess == pytest.approx(loss.bound / 0.05)
    assert not drop_breaches(on_set(loss.bound, lora=lora, metric=metric), "lora")
    assert drop_breaches(on_set(0.999 * loss.bound, lora=lora, metric=metric), "lora")


def test_the_one_that_loses_too_much_is_outside_and_another_is_recommended() -> None:
    assert recommend(study_of(METHODS)).method == "lora"
    found = on_set(0.05, lora=2.5).recommendation
    assert found.method == "head"
    [outside] = found.outside
    assert outside.method == "lora"
    assert outside.reasons == (
        "NLL on plain 0.5 nats per token worse than zero-shot's, over 0.05 nats per token",
    )
    assert found.limits == ("NLL on plain at most 0.05 nats per token worse than zero-shot's",)


def test_a_gain_is_no_loss_even_where_nothing_may_be_lost() -> None:
    assert not drop_breaches(on_set(0.0, lora=1.5), "lora")
    [breach] = drop_breaches(on_set(0.0, lora=1.995), "lora")
    assert "0.005 nats per token better than zero-shot's, but up to" in breach.reason
    assert breach.excess == math.inf


def test_what_is_not_compared_is_not_shown() -> None:
    [breach] = drop_breaches(on_set(0.05, lora=1.0, seeds=1), "lora")
    assert breach.reason.startswith("NLL on plain not shown against zero-shot's (")
    untested = with_set(study_of(METHODS), {"head": 2.0, "zero_shot": 2.0}, 0.05)
    [breach] = drop_breaches(untested, "lora")
    assert breach.reason == "NLL on plain not shown against zero-shot's"
    assert untested.recommendation.method == "head"

"""Nested subsets of the training rows, and the updates of epochs over them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bakeoff.data.batches import BatchPlan
from bakeoff.data.ragged import Ragged
from bakeoff.data.subsets import SubsetOrder, nested_rows


def plan_of(lengths: list[int], rows_per_step: int = 4) -> BatchPlan:
    """A schedule of rows of some lengths, whose last token is supervised."""
    rows = [np.arange(1, length + 1, dtype=np.int32) for length in lengths]
    marks = [np.arange(length) == length - 1 for length in lengths]
    return BatchPlan(
        Ragged.from_rows(rows),
        np.concatenate(marks),
        rows_per_step=rows_per_step,
        max_length=256,
        pad_id=0,
    )


@pytest.fixture
def plan() -> BatchPlan:
    lengths = np.random.default_rng(3).integers(5, 200, 41).tolist()
    return plan_of(lengths)


def test_a_smaller_subset_is_part_of_every_larger_one_and_seeds_draw_others() -> None:
    for seed in (0, 1, 7):
        sizes = [set(nested_rows(50, size, seed).tolist()) for size in (1, 8, 20, 49, 50)]
        for small, large in itertools.pairwise(sizes):
            assert small < large
        assert sizes[-1] == set(range(50))
    assert set(nested_rows(50, 8, 0)) != set(nested_rows(50, 8, 1))
    assert nested_rows(50, 8, 0).tolist() == nested_rows(50, 8, 0).tolist()


@pytest.mark.parametrize("size", [1, 3, 4, 17, 40])
def test_an_epoch_holds_each_row_of_the_subset_once_and_nothing_is_cut(
    plan: BatchPlan, size: int
) -> None:
    seeds = (0, 1, 5)
    order = SubsetOrder(plan, size, seeds)
    assert order.num_steps == -(-size // plan.rows_per_step)
    for seed, epoch in itertools.product(seeds, (0, 1)):
        steps = order.epoch(seed, epoch)
        seen = np.concatenate([step.examples for step in steps])
        assert sorted(seen.tolist()) == nested_rows(plan.num_rows, size, seed).tolist()
        assert [step.width for step in steps] == order.widths
        for step in steps:
            assert plan.buckets[step.examples].max() <= step.width
    if size > 4:
        one, two = (
            np.concatenate([step.examples for step in order.epoch(0, epoch)]).tolist()
            for epoch in (0, 1)
        )
        assert one != two


def test_all_rows_are_the_epochs_of_the_split_itself(plan: BatchPlan) -> None:
    order = SubsetOrder(plan, plan.num_rows, [0, 3])
    assert order.widths == plan.widths and order.tokens_padded == plan.tokens_padded
    for seed, epoch in ((0, 0), (3, 2)):
        for ours, theirs in zip(order.epoch(seed, epoch), plan.epoch(seed, epoch), strict=True):
            assert ours.examples.tolist() == theirs.examples.tolist()
            assert ours.width == theirs.width


@pytest.mark.parametrize("size", range(2, 41, 3))
def test_each_update_sees_the_same_rows_whoever_is_beside(plan: BatchPlan, size: int) -> None:
    """Only how wide its steps are differs, and they are never narrower than alone."""
    seeds = range(6)
    beside = SubsetOrder(plan, size, seeds)
    for seed, epoch in itertools.product(seeds, (0, 1)):
        alone = SubsetOrder(plan, size, [seed])
        for ours, theirs in zip(alone.epoch(seed, epoch), beside.epoch(seed, epoch), strict=True):
            assert ours.examples.tolist() == theirs.examples.tolist()
            assert ours.width <= theirs.width

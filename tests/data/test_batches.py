"""The schedule of optimizer steps and the rectangles of tokens."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from bakeoff.data.batches import BatchPlan, MicroBatch
from bakeoff.data.ragged import Ragged

PAD = 999
SEEDS = (0, 1, 7)


def plan_of(
    pairs: list[tuple[int, int]], *, rows_per_step: int = 4, max_length: int = 128
) -> BatchPlan:
    """Examples of the given (read, learnt) lengths; token ids tell example, part and position."""
    rows = [
        np.concatenate([np.arange(read), 500 + np.arange(learnt)]) + 1000 * (i + 1)
        for i, (read, learnt) in enumerate(pairs)
    ]
    is_target = [np.arange(sum(pair)) >= pair[0] for pair in pairs]
    return BatchPlan(
        Ragged.from_rows([row.astype(np.int32) for row in rows]),
        np.concatenate([np.zeros(0, dtype=np.bool_), *is_target]),
        rows_per_step=rows_per_step,
        max_length=max_length,
        pad_id=PAD,
    )


def ragged_plan(num_examples: int, *, rows_per_step: int = 4, max_length: int = 128) -> BatchPlan:
    """Total lengths from 2 to ``max_length``."""
    draw = np.random.default_rng(num_examples)
    totals = draw.integers(2, max_length + 1, size=num_examples)
    learnt = [int(draw.integers(1, min(30, total))) for total in totals]
    pairs = [(int(t) - n, n) for t, n in zip(totals, learnt, strict=True)]
    return plan_of(pairs, rows_per_step=rows_per_step, max_length=max_length)


def length_of(plan: BatchPlan, example: int) -> int:
    return len(plan.tokens[example])


def learnt_of(plan: BatchPlan, example: int) -> list[int]:
    """The example's supervised tokens, which their ids tell."""
    return [int(id_) for id_ in plan.tokens[example] if id_ % 1000 >= 500]


SIZES = [(1, 4), (3, 4), (4, 4), (5, 4), (23, 4), (64, 8), (101, 7), (10, 1)]


@pytest.mark.parametrize(("num_examples", "rows_per_step"), SIZES)
@pytest.mark.parametrize("max_length", [128, 100, 20])
def test_every_example_once_an_epoch_and_none_is_cut(
    num_examples: int, rows_per_step: int, max_length: int
) -> None:
    plan = ragged_plan(num_examples, rows_per_step=rows_per_step, max_length=max_length)
    for seed in SEEDS:
        steps = plan.epoch(seed, 2)
        assert len(steps) == plan.num_steps == -(-num_examples // rows_per_step)
        assert sorted(e for step in steps for e in step.examples) == list(range(num_examples))
        # All steps are full but at most one.
        sizes = Counter(len(step.examples) for step in steps)
        assert sum(count for size, count in sizes.items() if size != rows_per_step) <= 1
        for step in steps:
            assert step.width <= max_length
            assert step.width % 32 == 0 or step.width == max_length
            assert max(length_of(plan, e) for e in step.examples) <= step.width


@pytest.mark.parametrize(("num_examples", "rows_per_step"), SIZES)
def test_widths_and_sizes_are_the_same_for_every_seed_and_epoch(
    num_examples: int, rows_per_step: int
) -> None:
    plan = ragged_plan(num_examples, rows_per_step=rows_per_step)
    schedules = {
        tuple((step.width, len(step.examples)) for step in plan.epoch(seed, epoch))
        for seed in SEEDS
        for epoch in range(3)
    }
    assert len(schedules) == 1
    assert [width for width, _ in schedules.pop()] == plan.widths


def test_padding_stays_near_the_lengths() -> None:
    """A width is that of the step's own bucket, but for what a narrower bucket leaves over."""
    plan = plan_of([(10, 2)] * 9 + [(40, 5)] * 9 + [(100, 20)] * 9, rows_per_step=4)
    # 9 short ones: two steps, one left; 10 of the middle: two, two left; 11 of the long: three.
    assert Counter(plan.widths) == {32: 2, 64: 2, 128: 3}
    assert plan.tokens_padded == 8 * 32 + 8 * 64 + 11 * 128


def test_narrow_and_wide_steps_are_mixed() -> None:
    plan = ragged_plan(400)
    assert plan.widths != sorted(plan.widths)
    assert plan.widths != sorted(plan.widths, reverse=True)


def test_orders_come_from_seed_and_epoch() -> None:
    plan = ragged_plan(40)

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [step.examples.tolist() for step in plan.epoch(seed, epoch)]

    assert order(3, 1) == order(3, 1)
    orders = [order(seed, epoch) for seed in SEEDS for epoch in range(3)]
    assert all(orders[i] != orders[j] for i in range(len(orders)) for j in range(i))
    # Not only the sequence of the steps differs, but who shares a step.
    groups = {frozenset(map(frozenset, found)) for found in orders}
    assert len(groups) == len(orders)


def test_any_of_a_bucket_may_be_promoted_to_the_wider_rectangle() -> None:
    """Five short rows, four a step: each of them travels with the long ones in some epoch."""
    plan = plan_of([(5, 2)] * 5 + [(60, 4)] * 3)
    promoted = set()
    for epoch in range(60):
        [wide] = [step for step in plan.epoch(0, epoch) if step.width == 64]
        promoted |= {int(e) for e in wide.examples if e < 5}
    assert promoted == set(range(5))


def test_a_rectangle_by_hand() -> None:
    plan = plan_of([(3, 2), (1, 1), (2, 3)])
    rectangle = plan.rectangle(np.array([2, 0]), num_rows=3, width=6)
    assert rectangle.input_ids.tolist() == [
        [3000, 3001, 3500, 3501, 3502, PAD],
        [1000, 1001, 1002, 1500, 1501, PAD],
        [PAD] * 6,
    ]
    assert rectangle.examples.tolist() == [2, 0, -1]
    # The last token that is read predicts the first that is learnt, and the last token of all
    # predicts nothing.
    assert rectangle.source.tolist() == [1, 2, 3, 6 + 2, 6 + 3]
    assert rectangle.targets.tolist() == [3500, 3501, 3502, 1500, 1501]
    assert rectangle.num_supervised == 5


def test_any_tokens_of_a_row_may_be_supervised() -> None:
    """As the turns of a chat: two stretches in one row, none in another, all but the first."""
    tokens = [np.arange(6), 10 + np.arange(3), 20 + np.arange(4)]
    is_target = [[False, True, True, False, False, True], [False] * 3, [False, True, True, True]]
    plan = BatchPlan(
        Ragged.from_rows([row.astype(np.int32) for row in tokens]),
        np.concatenate([np.array(row, dtype=np.bool_) for row in is_target]),
        rows_per_step=3,
        max_length=32,
        pad_id=PAD,
    )
    rectangle = plan.rectangle(np.array([1, 0, 2]), num_rows=3, width=8)
    assert rectangle.source.tolist() == [8 + 0, 8 + 1, 8 + 4, 16 + 0, 16 + 1, 16 + 2]
    assert rectangle.targets.tolist() == [1, 2, 5, 21, 22, 23]
    assert plan.target_offsets.tolist() == [0, 3, 3, 6]
    assert plan.target_counts.tolist() == [3, 0, 3]


def check_supervision(plan: BatchPlan, batch: MicroBatch) -> None:
    """Each target stands in its row right behind the position that predicts it."""
    width = batch.input_ids.shape[1]
    flat = batch.input_ids.reshape(-1)
    assert np.array_equal(flat[batch.source + 1], batch.targets)
    rows, columns = batch.source // width, batch.source % width
    for row, example in enumerate(batch.examples):
        mine = rows == row
        if example < 0:
            assert not mine.any()
            assert (batch.input_ids[row] == PAD).all()
            continue
        learnt = learnt_of(plan, int(example))
        assert batch.targets[mine].tolist() == learnt
        start = length_of(plan, int(example)) - len(learnt) - 1
        assert columns[mine].tolist() == list(range(start, start + len(learnt)))
        assert (batch.input_ids[row, length_of(plan, int(example)) :] == PAD).all()


@pytest.mark.parametrize("micro_batch_size", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("num_examples", [3, 21])
def test_micro_batches_hold_the_step(num_examples: int, micro_batch_size: int) -> None:
    plan = ragged_plan(num_examples, rows_per_step=8, max_length=90)
    for step in plan.epoch(0, 0):
        batches = plan.micro_batches(step, micro_batch_size)
        # As many for a short step, so that all slots agree.
        assert len(batches) == -(-8 // micro_batch_size)
        assert {b.input_ids.shape for b in batches} == {(micro_batch_size, step.width)}
        found = [int(e) for b in batches for e in b.examples if e >= 0]
        assert found == step.examples.tolist()
        for batch in batches:
            check_supervision(plan, batch)
        expected = sum(len(learnt_of(plan, e)) for e in found)
        assert sum(b.num_supervised for b in batches) == expected


@pytest.mark.parametrize("num_rows", [1, 4, 100])
def test_in_length_order_holds_all_examples_once(num_rows: int) -> None:
    plan = ragged_plan(21, max_length=100)
    batches = list(plan.in_length_order(num_rows))
    found = [int(e) for batch in batches for e in batch.examples]
    assert sorted(found) == list(range(21))
    widths = [batch.input_ids.shape[1] for batch in batches]
    assert all(a <= b for a, b in pairwise(widths))
    assert max(widths) <= 100
    for batch in batches:
        assert len(batch.examples) <= num_rows
        check_supervision(plan, batch)


@pytest.mark.parametrize(
    ("num_examples", "num_rows", "expected"),
    [(9, 4, [4, 3, 2]), (8, 4, [4, 4]), (3, 2, [2, 1]), (1, 4, [1]), (0, 4, [])],
)
def test_a_last_example_is_not_left_alone(
    num_examples: int, num_rows: int, expected: list[int]
) -> None:
    batches = ragged_plan(num_examples).in_length_order(num_rows)
    assert [len(batch.examples) for batch in batches] == expected


@pytest.mark.parametrize(("num_examples", "rows_per_step"), SIZES)
def test_tokens_padded_counts_the_rows_of_an_epoch(num_examples: int, rows_per_step: int) -> None:
    """Every example at its step's width; rows that only fill up a short step are not counted."""
    plan = ragged_plan(num_examples, rows_per_step=rows_per_step, max_length=100)
    for seed in SEEDS:
        counted = sum(step.width * len(step.examples) for step in plan.epoch(seed, 0))
        assert plan.tokens_padded == counted
        real = sum(length_of(plan, i) for i in range(num_examples))
        assert plan.padding_share == 1 - real / counted


def test_max_length_that_is_no_multiple_of_the_width_step() -> None:
    plan = plan_of([(90, 10), (60, 5), (20, 4)], rows_per_step=1, max_length=100)
    assert sorted(plan.widths) == [32, 96, 100]


def test_no_examples_make_no_steps() -> None:
    plan = plan_of([])
    assert plan.num_steps == plan.tokens_padded == 0
    assert plan.epoch(0, 0) == []
    assert list(plan.in_length_order(4)) == []


def test_fine_widths_pad_short_rows_by_less() -> None:
    lengths = [2, 8, 9, 63, 64, 65, 100, 128, 129, 200]
    pairs = [(length - 1, 1) for length in lengths]
    arguments = plan_of(pairs, rows_per_step=1, max_length=200)
    fine = BatchPlan(
        arguments.tokens,
        arguments.is_target,
        rows_per_step=1,
        max_length=200,
        pad_id=PAD,
        fine_widths=True,
    )
    assert sorted(fine.widths) == [8, 8, 16, 64, 64, 80, 112, 128, 160, 200]
    assert sorted(arguments.widths) == [32, 32, 32, 64, 64, 96, 128, 128, 160, 200]
    assert fine.padding_share < arguments.padding_share
    part = fine.of([0, 2], 200)
    assert sorted(part.widths) == [8, 16]

"""What a trace counts, on operations whose sums can be done by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bakeoff.measure.tracing import Trace, traced

ROWS, INNER, COLUMNS = 32, 64, 16
FLOAT = 4


def test_live_and_peak_bytes_follow_what_is_held() -> None:
    with traced(), Trace() as trace:
        first = torch.empty(1000)
        second = torch.empty(500)
        assert trace.live_bytes == 1500 * FLOAT
        del first
        assert (trace.live_bytes, trace.peak_bytes) == (500 * FLOAT, 1500 * FLOAT)
        trace.begin()
        assert trace.peak_bytes == 500 * FLOAT
        del second
        assert trace.live_bytes == 0


def test_views_and_work_in_place_hold_nothing_more() -> None:
    with traced(), Trace() as trace:
        x = torch.empty(10, 10)
        y = x.t().reshape(100)[10:].view(9, 10)  # the reshape copies: its input is transposed
        y.add_(1.0)
        assert trace.live_bytes == 2 * 100 * FLOAT


def test_real_tensors_are_counted_by_the_same_rule() -> None:
    def work() -> None:
        x = torch.zeros(50, 50, requires_grad=True)
        (x @ x).exp().sum().backward()

    peaks = []
    for is_fake in (True, False):
        trace = Trace()
        if is_fake:
            with traced(), trace:
                work()
        else:
            with trace:
                work()
        peaks.append(trace.peak_bytes)
    assert peaks[0] == peaks[1] > 3 * 2500 * FLOAT


def test_weights_that_are_there_already_are_not_counted() -> None:
    with traced():
        layer = nn.Linear(INNER, COLUMNS, bias=False)
        with Trace([layer]) as trace:
            layer.weight.t()
            assert trace.live_bytes == 0
            layer(torch.empty(ROWS, INNER))
        with Trace() as naive:
            layer.weight.t()
            assert naive.live_bytes == INNER * COLUMNS * FLOAT


def test_arithmetic_and_traffic_of_a_product() -> None:
    with traced():
        a, b = torch.empty(ROWS, INNER), torch.empty(INNER, COLUMNS)
        with Trace() as trace:
            a @ b
    numbers = ROWS * INNER + INNER * COLUMNS + ROWS * COLUMNS
    assert trace.work.flops == {torch.float32: 2 * ROWS * INNER * COLUMNS}
    assert trace.work.bytes_moved == numbers * FLOAT
    assert trace.work.operations == 1


def test_attention_counts_two_products_forward_and_five_backward() -> None:
    shape = (2, 4, 16, 8)
    with traced():
        q, k, v = (torch.empty(shape, requires_grad=True) for _ in range(3))
        with Trace() as trace:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            product = 2 * 2 * 4 * 16 * 16 * 8
            assert trace.work.flops == {torch.float32: 2 * product}
            trace.begin()
            out.sum().backward()
    assert trace.work.flops == {torch.float32: 5 * product}


def test_a_lookup_reads_what_it_takes_and_not_the_table() -> None:
    with traced():
        table, ids = torch.empty(10_000, 8), torch.zeros(3, dtype=torch.int64)
        with Trace() as trace:
            F.embedding(ids, table)
    assert trace.work.bytes_moved == 2 * 3 * 8 * FLOAT


def test_seconds_are_the_cost_functions_sum() -> None:
    with traced():
        a = torch.empty(ROWS, ROWS)
        with Trace(cost=lambda flops, moved, dtype: flops + moved / 8) as trace:
            (a @ a).add_(1.0)
    traffic = (3 + 2) * ROWS * ROWS * FLOAT  # what is added to is read and written
    assert trace.work.seconds == pytest.approx(2 * ROWS**3 + traffic / 8)


def test_who_asks_for_a_value_gets_one_that_changes_nothing() -> None:
    with traced(), Trace():
        assert bool(torch.empty(3).isnan().all()) is False
        assert torch.empty(3).sum().item() == 0.0
        assert torch.zeros(2, 2, dtype=torch.int64).tolist() == [[0, 0], [0, 0]]


def test_nothing_is_allocated() -> None:
    with traced(), Trace() as trace:
        huge = torch.empty(1 << 40)
        assert trace.live_bytes == FLOAT << 40
        assert (huge @ huge).shape == ()

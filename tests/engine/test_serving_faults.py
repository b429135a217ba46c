"""What goes wrong with one row, or one adapter, costs the others nothing."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bakeoff.engine.choose import choose
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.serving.limits import QueueFullError, TooManyRowsError
from bakeoff.engine.serving.rows import Ended, Failed, Fault, Scored
from tests.engine.test_serving import Known, asked, finish, made
from tests.waiting import LONGEST

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit


@pytest.fixture(scope="module")
def bench(kit: Kit) -> Bench:
    return kit.bench("llama")


@pytest.fixture(scope="module")
def lora(kit: Kit, bench: Bench) -> Known:
    method = bench.method("lora", rank=4, target_modules="all-linear")
    return Known("lora", method, kit.perturbed(method, seed=1, spread=0.1))


def full(kit: Kit, bench: Bench) -> Known:
    method = bench.method("full")
    return Known("full", method, kit.perturbed(method, seed=2, spread=0.02))


def fault(heard: Any) -> Fault | None:
    return heard.last.fault if isinstance(heard.last, Failed) else None


def test_a_cancelled_row_of_no_numbers_leaves_none_in_its_seat(bench: Bench, lora: Known) -> None:
    broken = replace(
        lora, name="nan", tensors={n: t * float("nan") for n, t in lora.tensors.items()}
    )
    batcher, lane = made(bench, num_seats=2, prefill_tokens=12)
    gone, reported = asked(broken, range(20))
    # A pass looks as far into every seat as its longest row is.
    long, _ = asked(lora, range(24))
    batcher.submit([gone, long])
    batcher.round()  # a piece without logits: no choice was made yet
    batcher.cancel([gone])
    healthy, heard = asked(lora, range(3))
    batcher.submit([healthy])
    finish(batcher)
    lane.close()
    assert fault(reported) is Fault.CANCELLED
    assert isinstance(heard.last, Ended), heard.last


def test_an_adapter_is_loaded_only_for_a_row_that_can_sit(
    kit: Kit, bench: Bench, lora: Known
) -> None:
    assert lora.method is not None
    many = [replace(lora, name=f"a{i}", num_loads=0) for i in range(4)]
    own = full(kit, bench)
    batcher, lane = made(bench, num_seats=1, max_adapter_bytes=None)
    pairs = [asked(source, range(4)) for source in (*many, *[own] * 6)]
    batcher.submit([row for row, _ in pairs])
    batcher.round()
    # Those of a base of their own have its seats, whatever sits in the shared ones.
    assert [source.num_loads for source in many] == [1, 0, 0, 0] and own.num_loads == 1
    assert batcher.num_running == 5
    finish(batcher)
    lane.close()
    assert all(isinstance(heard.last, Ended) for _, heard in pairs)


def test_rows_that_can_sit_at_once_do_not_wait(bench: Bench, lora: Known) -> None:
    batcher, lane = made(bench, num_seats=4, max_queue=1)
    batcher.start()
    try:
        pairs = [asked(lora, range(3), max_tokens=2) for _ in range(5)]
        batcher.submit([row for row, _ in pairs])
        # Those of which some would never find a place get another error, even if no others wait.
        with pytest.raises(TooManyRowsError, match="10 rows are more than all seats"):
            batcher.submit([asked(lora, range(3))[0] for _ in range(10)])
    finally:
        assert batcher.stop(timeout=60)
        lane.close()


def test_choices_are_read_in_pieces(kit: Kit, bench: Bench, lora: Known) -> None:
    draw = np.random.default_rng(3)
    [prompt] = kit.rows(1, (5, 6), draw)
    choices = [*kit.rows(1, (1, 2), draw), *kit.rows(2, (20, 26), draw)]
    assert lora.method is not None
    cohort = Cohort(bench.base, [lora.method], 1)
    cohort.seat(0, lora.method, lora.tensors)
    with cohort:
        expected = choose(cohort, [0], [prompt], [choices])[0][0]
    batcher, lane = made(bench, prefill_tokens=8)
    row, heard = asked(lora, prompt.tolist(), choices=[ids.tolist() for ids in choices])
    batcher.submit([row])
    sizes: list[int] = []
    read = lane.read

    def watched(pieces: Any) -> Any:
        sizes.extend(len(piece.ids) for piece in pieces)
        return read(pieces)

    lane.read = watched  # type: ignore[method-assign]
    finish(batcher)
    lane.close()
    scored = heard.events[0]
    assert isinstance(scored, Scored) and max(sizes) == 8
    np.testing.assert_allclose(scored.nats, expected, rtol=1e-4)
    assert [len(one) for one in scored.by_token] == [len(ids) for ids in choices]


def test_short_prompts_are_not_padded_to_a_long_one(bench: Bench, lora: Known) -> None:
    batcher, lane = made(bench, num_seats=8, prefill_tokens=16)
    lengths = (12, 1, 1, 1, 1, 1, 1)
    pairs = [asked(lora, range(length), max_tokens=1) for length in lengths]
    batcher.submit([row for row, _ in pairs])
    finish(batcher)
    lane.close()
    assert all(isinstance(heard.last, Ended) for _, heard in pairs)
    assert batcher.counts.read_positions <= 2 * 16 + len(lengths)


def test_what_fails_while_a_row_sits_down_fails_that_row_alone(
    kit: Kit, bench: Bench, lora: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bakeoff.engine.serving import batcher as module

    real = module.__dict__["Sampler"]

    def sampler(sampling: Any, prompt: Any) -> Any:
        if sampling.seed == 13:
            raise RuntimeError("no such sampler")
        return real(sampling, prompt)

    monkeypatch.setattr(module, "Sampler", sampler)
    batcher, lane = made(bench, num_seats=2)
    good, heard = asked(lora, range(4))
    bad, reported = asked(lora, range(4), seed=13)
    batcher.submit([good, bad])
    finish(batcher)
    assert fault(reported) is Fault.INTERNAL and len(reported.events) == 1
    assert isinstance(heard.last, Ended) and len(lane.free) == 2

    def put(*_: Any) -> None:
        raise RuntimeError("no such seat")

    monkeypatch.setattr(lane.cache, "put", put)
    monkeypatch.setattr(module, "Sampler", real)
    prefix = bench.method("prefix", prefix_length=3)
    bad, reported = asked(Known("prefix", prefix, kit.perturbed(prefix, seed=3)), range(4))
    batcher.submit([bad])
    finish(batcher)
    assert fault(reported) is Fault.INTERNAL and len(lane.free) == 2
    lane.close()


def test_nobody_waits_for_a_thread_that_has_ended(
    bench: Bench, lora: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher, lane = made(bench, num_seats=1)

    class Gone(BaseException):
        pass

    def read(_: Any) -> Any:
        raise Gone

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(lane, "read", read)
    pairs = [asked(lora, range(4)) for _ in range(2)]
    batcher.start()
    batcher.submit([row for row, _ in pairs])
    assert batcher._thread is not None
    batcher._thread.join(LONGEST)
    assert {fault(heard) for _, heard in pairs} == {Fault.STOPPING}
    with pytest.raises(QueueFullError, match="stopping"):
        batcher.submit([asked(lora, range(4))[0]])
    assert batcher.stop()
    lane.close()


def test_a_pass_that_is_under_way_is_waited_for(bench: Bench, lora: Known) -> None:
    batcher, lane = made(bench, num_seats=1)
    read, inside = lane.read, threading.Event()

    def slow(pieces: Any) -> Any:
        inside.set()
        while not batcher._stops:
            pass
        return read(pieces)

    lane.read = slow  # type: ignore[method-assign]
    row, heard = asked(lora, range(4))
    batcher.start()
    batcher.submit([row])
    assert inside.wait(LONGEST)
    assert batcher.stop(timeout=0) and batcher._thread is not None
    assert not batcher._thread.is_alive()
    lane.close()
    assert fault(heard) is Fault.STOPPING

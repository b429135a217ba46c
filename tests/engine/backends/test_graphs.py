"""Captured updates: the first one counts, nothing is copied, and what graphs read stays there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from bakeoff.base.attention import windows
from bakeoff.engine import batch_source
from bakeoff.engine import step as step_module
from bakeoff.engine import train as train_module
from bakeoff.engine.backends import cuda_graphs, streams
from bakeoff.engine.backends.cuda_graphs import StepGraphs
from bakeoff.engine.backends.worker_threads import WorkerThreads
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.step import train_step
from bakeoff.measure.tracing import Trace
from bakeoff.types import RunState

if TYPE_CHECKING:
    from bakeoff.data.batches import BatchPlan
    from tests.engine.conftest import Bench, Kit

from tests.engine.backends.stub_graphs import Graph, Stream, StubGraphs, stub_graphs

CPU = torch.device("cpu")
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"rank": 3, "dropout": 0.25}),
    ("soft_prompt", {"prompt_length": 5}),
    ("prefix", {"prefix_length": 4}),
]
FULL: list[tuple[str, dict[str, Any]]] = [("full", {})]
NUM_STEPS = 6


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubGraphs]:
    monkeypatch.setattr(step_module, "worker_threads_of", lambda base: WorkerThreads(1))
    with stub_graphs() as stub:
        yield stub


@pytest.fixture(scope="module", params=["gpt_neo", "llama"])
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param)


@pytest.fixture
def plan(kit: Kit) -> BatchPlan:
    return kit.plan(30, prompt=(4, 60), max_length=72, rows_per_step=6)


def seated(bench: Bench, kinds: list[tuple[str, dict[str, Any]]]) -> Cohort:
    methods = [bench.method(kind, **options) for kind, options in kinds]
    cohort = Cohort(bench.base, methods, len(methods), ProtocolOptions())
    for slot, method in enumerate(methods):
        tensors = method.initial(torch.Generator().manual_seed(slot))
        cohort.seat(slot, method, tensors, slot)
    return cohort


def curve(cohort: Cohort, plan: BatchPlan, graphs: StepGraphs | None) -> np.ndarray:
    """[steps, K] summed losses."""
    rates_K = torch.full((cohort.num_slots,), 1e-2, dtype=torch.float64)
    steps = [step for epoch in range(2) for step in plan.epoch(5, epoch)][:NUM_STEPS]
    found = []
    for step in steps:
        steps_K = [step] * cohort.num_slots
        total_K, _ = train_step(cohort, TokenSource(CPU), plan, steps_K, rates_K, 3, graphs)
        found.append(total_K.numpy().copy())
    return np.array(found)


def note_peak(trace: Trace, peaks: list[int]) -> None:
    peaks.append(trace.peak_bytes)


def values_of(cohort: Cohort) -> torch.Tensor:
    assert cohort.optimizer is not None
    return cohort.optimizer.values_Kn


@pytest.mark.parametrize("kinds", [KINDS, FULL], ids=["together", "full"])
def test_captured_updates_are_the_updates(
    stub: StubGraphs, bench: Bench, plan: BatchPlan, kinds: list[tuple[str, dict[str, Any]]]
) -> None:
    """The update that warms up is made once, and capturing makes none."""
    with seated(bench, kinds) as plain:
        expected = curve(plain, plan, None)
    with seated(bench, kinds) as captured:
        found = curve(captured, plan, StepGraphs())
    assert 0 < len(stub.captures) < NUM_STEPS
    # Room for more supervised tokens is filled up, and sums over it round otherwise.
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    torch.testing.assert_close(values_of(captured), values_of(plain), rtol=1e-3, atol=1e-4)


def test_the_same_buffers_give_the_same_bits_captured_or_not(
    stub: StubGraphs, bench: Bench, plan: BatchPlan
) -> None:
    with seated(bench, KINDS) as plain:
        expected = curve(plain, plan, StepGraphs(capture=False))
    assert not stub.captures
    with seated(bench, KINDS) as captured:
        assert np.array_equal(curve(captured, plan, StepGraphs()), expected)
    assert torch.equal(values_of(captured), values_of(plain))


@pytest.mark.parametrize("num_passes", [1, 3])
def test_one_graph_serves_all_passes_of_a_width(
    stub: StubGraphs, bench: Bench, kit: Kit, num_passes: int
) -> None:
    """However many accumulate, and in the shorter step of an epoch; one updates the slots."""
    plan = kit.plan(22, prompt=(4, 60), max_length=72, rows_per_step=2 * num_passes)
    steps = plan.epoch(5, 0)
    counts = {len(step.examples) for step in steps}
    assert counts == ({2} if num_passes == 1 else {6, 4}), "one of three passes is a shorter one"
    rates_K = torch.full((len(KINDS),), 1e-2, dtype=torch.float64)
    found = []
    for graphs in (None, StepGraphs()):
        with seated(bench, KINDS) as cohort:
            for step in steps:
                total_K, _ = train_step(
                    *(cohort, TokenSource(CPU), plan, [step] * len(KINDS), rates_K, 2, graphs)
                )
                found.append(total_K.numpy().copy())
    assert len(stub.captures) == len({step.width for step in steps}) + 1
    half = len(steps)
    np.testing.assert_allclose(found[half:], found[:half], rtol=1e-4)


def test_more_supervised_tokens_than_a_buffer_has_room_for_make_a_new_one(
    stub: StubGraphs, bench: Bench, plan: BatchPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between the passes of one update."""
    monkeypatch.setattr(batch_source, "chunk_tokens", lambda device: 1)
    with seated(bench, KINDS) as plain:
        expected = curve(plain, plan, None)
    monkeypatch.setattr(cuda_graphs, "_ROOM", 1)
    graphs = StepGraphs()
    with seated(bench, KINDS) as captured:
        found = curve(captured, plan, graphs)
    widths = {step.width for epoch in range(2) for step in plan.epoch(5, epoch)}
    assert graphs.num_captures > len(widths) + 1
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_update_that_memory_ends_is_made_again_from_its_start(
    stub: StubGraphs, bench: Bench, plan: BatchPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its second pass, and in what follows the passes, once other graphs are there."""
    with seated(bench, KINDS) as plain:
        expected = curve(plain, plan, StepGraphs(capture=False))
    failing = [2, 8]  # of all calls: the second pass of one update, the end of the next

    def short(what: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            failing[:] = [left - 1 for left in failing]
            if 0 in failing:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return what(*arguments, **named)

        return call

    with seated(bench, KINDS) as cohort:
        assert cohort.optimizer is not None
        monkeypatch.setattr(cohort, "losses", short(cohort.losses))
        monkeypatch.setattr(cohort.optimizer, "step", short(cohort.optimizer.step))
        graphs = StepGraphs(capture=False)
        rates_K = torch.full((cohort.num_slots,), 1e-2, dtype=torch.float64)
        steps = [step for epoch in range(2) for step in plan.epoch(5, epoch)][:NUM_STEPS]
        found = []
        for step in steps:
            arguments = (cohort, TokenSource(CPU), plan, [step] * cohort.num_slots, rates_K, 3)
            try:
                total_K, _ = train_step(*arguments, graphs)
            except torch.OutOfMemoryError:
                graphs.release()
                total_K, _ = train_step(*arguments, graphs)
            found.append(total_K.numpy().copy())
        assert max(failing) < 0
        assert np.array_equal(np.array(found), expected)
        assert torch.equal(values_of(cohort), values_of(plain))


def test_capturing_holds_no_copy_of_the_optimizers_state(
    stub: StubGraphs, bench: Bench, plan: BatchPlan
) -> None:
    found = {}
    for capture in (False, True):
        # The stand-in keeps what it must put back, so that only what lives up to the beginning of
        # a capture is looked at.
        peaks: list[int] = []
        with Trace() as trace, seated(bench, FULL) as cohort:
            trace.begin()
            stub.before_capture = partial(note_peak, trace, peaks)
            curve(cohort, plan, StepGraphs(capture=capture))
            found[capture] = peaks[0] if capture else trace.peak_bytes
    assert len(stub.captures) > 1
    assert found[True] <= found[False]


def test_all_captures_share_one_stream_and_one_pool(
    stub: StubGraphs, bench: Bench, plan: BatchPlan
) -> None:
    """cuBLAS keeps a workspace for each stream that it has run on."""
    with seated(bench, KINDS) as cohort:
        curve(cohort, plan, StepGraphs())
    assert len(stub.captures) > 1
    assert Stream.made == 1
    assert len({stream for _, stream in stub.captures}) == 1
    assert [pool for pool, _ in stub.captures] == [None, *[7] * (len(stub.captures) - 1)]


def test_an_update_whose_capture_has_no_memory_counts_once(
    stub: StubGraphs, bench: Bench, plan: BatchPlan
) -> None:
    """It has been made by then: whoever made it again from smaller batches would make it twice."""
    with seated(bench, KINDS) as plain:
        expected = curve(plain, plan, StepGraphs(capture=False))
    stub.fails = lambda: torch.OutOfMemoryError("CUDA out of memory")
    with seated(bench, KINDS) as cohort:
        graphs = StepGraphs()
        assert np.array_equal(curve(cohort, plan, graphs), expected)
        assert Graph.living == 0
    assert len(stub.captures) == graphs.num_captures, "each width is tried once"


def test_masks_that_graphs_read_stay_until_they_are_dropped(
    stub: StubGraphs, kit: Kit, plan: BatchPlan
) -> None:
    bench = kit.bench("gpt_neo")
    windows._band_masks.clear()
    with seated(bench, KINDS[:1]) as cohort:
        graphs = StepGraphs()
        curve(cohort, plan, graphs)
        read = list(windows._band_masks.values())
        kept = [mask for captured in graphs._captured.values() for mask in captured.masks]
        assert read and {id(mask) for mask in kept} == {id(mask) for mask in read}
        windows._band_masks.clear()
        curve(cohort, plan, graphs)
        # New masks are made for whoever reads them now; the graphs' own are as they were.
        after = [mask for captured in graphs._captured.values() for mask in captured.masks]
        assert all(mine is before for mine, before in zip(after, kept, strict=True))


def test_no_graph_of_larger_micro_batches_stays_when_memory_has_run_out(
    stub: StubGraphs, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them would be replayed again, and all their memory would stay theirs."""
    bench = kit.bench("gpt_neo")
    kept: list[int] = []

    class Short(TokenSource):
        def losses(self, cohort: Any, packed: Any, scale_K: Any = None) -> Any:
            if torch.is_grad_enabled() and packed.num_rows == 4 and len(stub.captures) == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().losses(cohort, packed, scale_K)

    monkeypatch.setattr(train_module, "accelerated", lambda *_: nullcontext(StepGraphs()))
    monkeypatch.setattr(train_module, "release_memory", lambda: kept.append(Graph.living))
    candidate = kit.candidate(bench.method("lora", rank=2), 1e-2)
    trainer = train_module.Trainer(
        bench.base,
        Short(CPU),
        kit.plan(30, prompt=(4, 60), max_length=72, rows_per_step=4),
        kit.plan(5, seed=7),
        ProtocolOptions(epochs=1, micro_batch_size=4, grad_accum_steps=1),
        kit.recorder(),
        1,
    )
    trainer.run([candidate])
    assert candidate.state is RunState.COMPLETE
    assert kept == [0, 0], "first without graphs, then from half the rows"
    assert trainer.micro_batch_size == 2
    assert len(stub.captures) > 2


def test_what_has_no_memory_beside_graphs_runs_without_them_from_as_many_rows(
    stub: StubGraphs, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a pass of a second width runs once, and the first's graph has all the memory."""
    bench = kit.bench("gpt_neo")

    class Short(TokenSource):
        def losses(self, cohort: Any, packed: Any, scale_K: Any = None) -> Any:
            if torch.is_grad_enabled() and Graph.living and len(stub.captures) == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().losses(cohort, packed, scale_K)

    monkeypatch.setattr(train_module, "accelerated", lambda *_: nullcontext(StepGraphs()))
    candidate = kit.candidate(bench.method("lora", rank=2), 1e-2)
    recorder = kit.recorder()
    trainer = train_module.Trainer(
        bench.base,
        Short(CPU),
        kit.plan(30, prompt=(4, 60), max_length=72, rows_per_step=1),
        kit.plan(5, seed=7),
        ProtocolOptions(epochs=1, micro_batch_size=1, grad_accum_steps=1),
        recorder,
        1,
    )
    trainer.run([candidate])
    assert candidate.state is RunState.COMPLETE
    assert trainer.micro_batch_size == 1
    assert len(stub.captures) == 2, "nothing is captured from then on"
    [note] = recorder.notes
    assert "uncaptured from here on" in note


@pytest.mark.parametrize("invalidates", [False, True])
def test_a_capture_that_fails_is_left_with_its_own_reason(
    stub: StubGraphs, bench: Bench, plan: BatchPlan, invalidates: bool
) -> None:
    """PyTorch stays on the side stream, and hides why, where ending a capture fails as well."""
    with seated(bench, KINDS) as plain:
        expected = curve(plain, plan, StepGraphs(capture=False))
    stub.fails = lambda: RuntimeError("operation not permitted when stream is capturing")
    stub.invalidates = invalidates
    reasons: list[str] = []  # not the errors, whose frames hold graphs
    before = stub.current
    with seated(bench, KINDS) as cohort:
        graphs = StepGraphs(failed=lambda error: reasons.append(str(error)))
        assert np.array_equal(curve(cohort, plan, graphs), expected)
    assert stub.current is before
    assert reasons == ["operation not permitted when stream is capturing"]
    assert len(stub.captures) == 1, "nothing is captured from then on"


class Order(Stream):
    """A stream that notes for whom it waits."""

    def __init__(self, device: object = None) -> None:
        super().__init__(device)
        self.waited: list[object] = []

    def wait_stream(self, other: Stream) -> None:
        self.waited.append(other)


def test_whoever_goes_on_after_a_failure_waits_for_the_side_stream(
    stub: StubGraphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is launched by then still writes to memory that is about to be freed."""
    main = Order()
    monkeypatch.setattr(torch.cuda, "Stream", Order)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: main)
    with pytest.raises(torch.OutOfMemoryError), streams.on_side_stream(CPU):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert main.waited == [streams.side_stream(CPU)]

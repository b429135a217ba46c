"""The update: workers and buffers change nothing, and it asks the device for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bakeoff.engine import step as step_module
from bakeoff.engine.backends.cuda_graphs import StepGraphs
from bakeoff.engine.backends.worker_threads import WorkerThreads
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.step import pack_step, train_step, update

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

CPU = torch.device("cpu")
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"rank": 3, "dropout": 0.25}),
    ("soft_prompt", {"prompt_length": 5}),
    ("prefix", {"prefix_length": 4}),
    ("ia3", {}),
]


@pytest.fixture(scope="module", params=["gpt_neo", "llama"])
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param)


def make(bench: Bench, protocol: ProtocolOptions) -> Cohort:
    methods = [bench.method(kind, **options) for kind, options in KINDS]
    cohort = Cohort(bench.base, methods, len(methods), protocol)
    for slot, method in enumerate(methods):
        tensors = method.initial(torch.Generator().manual_seed(slot))
        cohort.seat(slot, method, tensors, slot)
    return cohort


def trained(kit: Kit, bench: Bench, graphs: Callable[[Cohort], StepGraphs | None]) -> np.ndarray:
    """Losses of eight updates of four methods with ragged lengths."""
    protocol = ProtocolOptions(micro_batch_size=3, grad_accum_steps=2)
    plan = kit.plan(30, prompt=(4, 60), max_length=72, rows_per_step=6)
    losses = []
    with make(bench, protocol) as cohort:
        captured = graphs(cohort)
        rates_K = torch.full((len(KINDS),), 1e-2, dtype=torch.float64)
        for epoch in range(2):
            for step in plan.epoch(5, epoch)[:4]:
                total_K, tokens_K = train_step(
                    cohort, TokenSource(CPU), plan, [step] * len(KINDS), rates_K, 3, captured
                )
                losses.append((total_K / tokens_K).numpy().copy())
        if captured is not None:
            assert captured.num_captures <= len({s.width for s in plan.epoch(5, 0)}) * 2
    return np.array(losses)


@pytest.mark.parametrize("num_workers", [pytest.param(2, marks=pytest.mark.soak), 3])
def test_workers_follow_the_curve_of_one_worker(
    kit: Kit, bench: Bench, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    curves = []
    for count in (1, num_workers, num_workers):
        monkeypatch.setattr(
            step_module, "worker_threads_of", lambda base, count=count: WorkerThreads(count)
        )
        curves.append(trained(kit, bench, lambda cohort: None))
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-4)
    assert np.array_equal(curves[1], curves[2]), "the same workers, the same bits"
    assert not np.allclose(curves[0][-1], curves[0][0], rtol=1e-3)


def test_an_update_over_static_buffers_is_the_update(
    kit: Kit, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_module, "worker_threads_of", lambda base: WorkerThreads(1))
    plain = trained(kit, bench, lambda cohort: None)
    buffered = trained(kit, bench, lambda cohort: StepGraphs(capture=False))
    np.testing.assert_allclose(buffered, plain, rtol=1e-5)


class NoQuestions(TorchDispatchMode):
    """Fails where the host would wait for the device."""

    asking = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name.strip("_") not in [a.strip("_") for a in self.asking], f"{name} waits"
        if name == "_to_copy":
            assert "device" not in (kwargs or {}) or kwargs["device"] == args[0].device
        return func(*args, **(kwargs or {}))


def test_an_update_asks_the_device_for_nothing(kit: Kit, bench: Bench) -> None:
    """No number is read, and no branch hangs on one: what a graph needs."""
    protocol = ProtocolOptions(micro_batch_size=3, grad_accum_steps=2)
    plan = kit.plan(12, rows_per_step=6)
    with make(bench, protocol) as cohort:
        packed = pack_step(TokenSource(CPU), plan, [plan.epoch(5, 0)[0]] * len(KINDS), 3)
        rates_K = torch.full((len(KINDS),), 1e-2, dtype=torch.float64)
        with NoQuestions():  # type: ignore[no-untyped-call]
            update(
                cohort, TokenSource(CPU), packed.passes, packed.tokens_K, rates_K, WorkerThreads(1)
            )
        with NoQuestions(), pytest.raises(AssertionError, match="waits"):  # type: ignore[no-untyped-call]
            rates_K.sum().item()

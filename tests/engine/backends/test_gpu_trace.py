"""A trace that stands for a GPU takes the GPU's turns, on a machine without one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from bakeoff.base.attention.fused import fused_attention
from bakeoff.base.attention.interface import attend_one
from bakeoff.base.attention.windows import windowed_attention
from bakeoff.base.devices import GpuProfile, kind_of, present_profile, profile_of, standing_for
from bakeoff.engine.acceleration import accelerated
from bakeoff.engine.backends.cuda_graphs import StepGraphs
from bakeoff.engine.backends.memory import free_bytes, rows_that_fit
from bakeoff.engine.backends.worker_threads import worker_threads_of
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.greedy import Greedy
from bakeoff.engine.loss import chunk_tokens
from bakeoff.engine.optimizer import _block_values
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.measure.tracing import Trace, traced

if TYPE_CHECKING:
    from tests.engine.conftest import Kit

CPU = torch.device("cpu")
AMPERE = GpuProfile(is_ampere=True, free_bytes=8 << 30)
TURING = GpuProfile(is_ampere=False, free_bytes=8 << 30)
FLASH, EFFICIENT, MATH = "flash", "efficient", "math"


class Operators(TorchDispatchMode):
    """The names of what is called inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_pass_stands_for_a_gpu_where_it_says_so_and_in_its_thread_alone() -> None:
    elsewhere: list[str] = []
    with standing_for(AMPERE):
        assert kind_of(CPU) == "cuda" and present_profile() is AMPERE
        with standing_for(None):
            assert present_profile() is AMPERE
        thread = threading.Thread(target=lambda: elsewhere.append(kind_of(CPU)))
        thread.start()
        thread.join()
    assert (kind_of(CPU), elsewhere) == ("cpu", ["cpu"])
    assert present_profile() is None and profile_of(CPU) is None


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True)])
def test_the_profile_of_a_device_is_its_own(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    found = profile_of(torch.device("cuda"))
    assert found is not None and found.is_ampere is expected


def test_sizes_are_the_gpus(kit: Kit) -> None:
    base = kit.bench("llama").base
    here = (chunk_tokens(CPU), chunk_tokens(CPU, 1 << 24), _block_values(CPU))
    with standing_for(AMPERE):
        there = (chunk_tokens(CPU), chunk_tokens(CPU, 1 << 24), _block_values(CPU))
        assert worker_threads_of(base).num == 1
        assert free_bytes(CPU) == AMPERE.free_bytes
        assert rows_that_fit(base, 64) > 64, "as many as a CPU gets at most"
    assert (here, there) == ((32, 128, 1 << 22), (256, 256, 1 << 26))


def kernel(profile: GpuProfile, work: Callable[[], Tensor]) -> str:
    """Which of CUDA's kernels computes ``work``, forward and backward."""
    with traced(gpu=profile), Operators() as seen:
        work().sum().backward()
    names = " ".join(seen.names)
    found = {name for name in (FLASH, EFFICIENT) if f"{name}_attention" in names}
    if found:
        assert f"{next(iter(found))}_attention_backward" in names
        assert "for_cpu" not in names
    else:
        assert "_softmax" in names
        found = {MATH}
    [only] = found
    return only


def heads(dtype: torch.dtype, *, keys: int = 4, width: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    shapes = ((2, 4, 20, width), (2, keys, 20, width), (2, keys, 20, width))
    query, key, value = (torch.empty(s, dtype=dtype, requires_grad=True) for s in shapes)
    return query, key, value


@pytest.mark.parametrize(
    ("profile", "dtype", "keys", "is_masked", "expected"),
    [
        (AMPERE, torch.bfloat16, 4, False, FLASH),
        (AMPERE, torch.bfloat16, 2, False, FLASH),
        (AMPERE, torch.bfloat16, 4, True, EFFICIENT),
        (AMPERE, torch.bfloat16, 2, True, MATH),
        (AMPERE, torch.float32, 4, False, EFFICIENT),
        (AMPERE, torch.float32, 2, False, MATH),
        (TURING, torch.float16, 4, False, EFFICIENT),
        (TURING, torch.float16, 2, False, MATH),
        (TURING, torch.bfloat16, 4, False, MATH),
    ],
)
def test_attention_is_by_the_kernel_that_the_gpu_would_choose(
    profile: GpuProfile, dtype: torch.dtype, keys: int, is_masked: bool, expected: str
) -> None:
    def work() -> Tensor:
        query, key, value = heads(dtype, keys=keys)
        mask = torch.ones(20, 20, dtype=torch.bool).tril() if is_masked else None
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=not is_masked, enable_gqa=keys != 4
        )

    assert kernel(profile, work) == expected


@pytest.mark.parametrize(
    ("profile", "dtype", "is_masked", "expected"),
    [
        (AMPERE, torch.bfloat16, False, FLASH),
        (AMPERE, torch.bfloat16, True, EFFICIENT),
        (AMPERE, torch.float32, False, EFFICIENT),
        (AMPERE, torch.float32, True, EFFICIENT),
        (TURING, torch.float16, False, EFFICIENT),
        (TURING, torch.float16, True, EFFICIENT),
    ],
)
def test_grouped_keys_never_make_all_scores(
    profile: GpuProfile, dtype: torch.dtype, is_masked: bool, expected: str
) -> None:
    def work() -> Tensor:
        mask = torch.ones(20, 20, dtype=torch.bool).tril() if is_masked else None
        return fused_attention(*heads(dtype, keys=2), mask=mask, is_causal=not is_masked)

    assert kernel(profile, work) == expected


@pytest.mark.parametrize("is_masked", [True, False])
def test_keys_for_every_head_are_the_same_attention(is_masked: bool) -> None:
    draw = torch.Generator().manual_seed(3)
    query, key, value = (
        torch.randn(part.shape, generator=draw).requires_grad_()
        for part in heads(torch.float32, keys=2)
    )
    mask = torch.ones(20, 20, dtype=torch.bool).tril() if is_masked else None
    found = []
    for profile in (None, AMPERE):
        with standing_for(profile):
            output = fused_attention(query, key, value, mask=mask, is_causal=not is_masked)
        found.append([output, *torch.autograd.grad(output.square().sum(), (query, key, value))])
    for grouped, spread in zip(*found, strict=True):
        assert_close(spread, grouped, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("profile", "expected"), [(AMPERE, FLASH), (TURING, EFFICIENT)])
def test_windows_are_the_flash_kernels_where_there_is_one(
    profile: GpuProfile, expected: str
) -> None:
    def work() -> Tensor:
        return windowed_attention(*heads(torch.float16), scaling=None, window=5)

    assert kernel(profile, work) == expected


def test_autocast_lowers_what_attention_reads() -> None:
    def work() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = F.scaled_dot_product_attention(*heads(torch.float32), is_causal=True)
        assert found.dtype == torch.bfloat16
        return found

    assert kernel(AMPERE, work) == FLASH


def test_one_querys_scores_are_products_that_a_trace_can_count() -> None:
    with traced(gpu=AMPERE), Trace() as trace:
        query, keys, values = (
            torch.empty(3, 4, length, 8, dtype=torch.bfloat16) for length in (1, 30, 30)
        )
        attend_one(query, keys, values, torch.ones(3, 1, 1, 30, dtype=torch.bool), None)
    product = 2.0 * 3 * 4 * 30 * 8
    assert trace.work.flops == {torch.bfloat16: 2 * product}
    # A copy of all keys in float32 would be larger than anything else.
    assert trace.peak_bytes < 2 * keys.nbytes + 3 * 4 * 30 * 4 * 4


def test_the_flash_kernel_of_a_window_counts_as_any_attention() -> None:
    product = 2.0 * 2 * 4 * 20 * 20 * 8
    with traced(gpu=AMPERE), Trace() as trace:
        output = windowed_attention(*heads(torch.bfloat16), scaling=None, window=5)
        assert trace.work.flops == {torch.bfloat16: 2 * product}
        trace.begin()
        output.sum().backward()
        assert trace.work.flops == {torch.bfloat16: 5 * product}


@pytest.mark.parametrize("cuda_graph", ["auto", False])
def test_updates_run_over_the_buffers_of_a_graph_without_one(
    kit: Kit, cuda_graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = kit.bench("gpt_neo")
    method = bench.method("lora")
    options = EngineOptions(cuda_graph=cuda_graph)
    monkeypatch.setattr(torch.cuda, "graph", None)  # whoever captures here fails
    with standing_for(AMPERE), Cohort(bench.base, [method], 1, ProtocolOptions()) as cohort:
        with accelerated(cohort, 20, options) as graphs:
            assert isinstance(graphs, StepGraphs) is (cuda_graph == "auto")
            assert graphs is None or not graphs._capture
            assert not bench.base.is_compiled
        loop = Greedy(cohort, max_new_tokens=4, no_repeat_ngram=0)
        assert loop.is_frozen and not loop._captures
    with Cohort(bench.base, [method], 1, ProtocolOptions()) as cohort:
        assert not Greedy(cohort, max_new_tokens=4, no_repeat_ngram=0).is_frozen

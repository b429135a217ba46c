from __future__ import annotations

import platform
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from bakeoff import memory
from bakeoff.memory import PeakMemory

SIZE = 100_000_000


def allocate() -> np.ndarray:
    return np.ones(SIZE // 8)


@pytest.fixture(params=["kernel", "samples"])
def cpu_meter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of measuring the process; the kernel's only where it allows that."""
    if request.param == "samples":
        monkeypatch.setattr(memory, "_reset_high_water", lambda: False)
    elif not memory._reset_high_water():
        pytest.skip("this kernel does not let a process reset its high-water mark")
    return str(request.param)


@pytest.mark.usefixtures("cpu_meter")
def test_known_size() -> None:
    with PeakMemory("cpu") as peak:
        kept = allocate()
        inside = peak.bytes
    assert inside == pytest.approx(SIZE, rel=0.1)
    assert peak.bytes == pytest.approx(kept.nbytes, rel=0.1)


@pytest.mark.usefixtures("cpu_meter")
def test_freed_memory_counts() -> None:
    with PeakMemory("cpu") as peak:
        block = allocate()
        assert peak.bytes > 0
        del block
    assert peak.bytes == pytest.approx(SIZE, rel=0.1)


@pytest.mark.usefixtures("cpu_meter")
def test_earlier_memory_does_not_count() -> None:
    before = allocate()
    del before
    kept = allocate()
    with PeakMemory("cpu") as peak:
        pass
    assert peak.bytes < 0.1 * kept.nbytes


def test_blocks_can_be_measured_one_after_the_other() -> None:
    peak = PeakMemory("cpu")
    with peak:
        block = allocate()
        del block
    with peak:
        pass
    assert peak.bytes < 0.1 * SIZE


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives its heap back")
def test_heap_that_was_freed_before_counts_when_used_again() -> None:
    blocks = [bytearray(60_000) for _ in range(1_000)]
    last = bytearray(60_000)  # holds the heap's end, so that freeing the others shrinks nothing
    size = sum(map(len, blocks))
    blocks.clear()
    with PeakMemory("cpu") as peak:
        blocks.extend(bytearray(b"x") * 60_000 for _ in range(1_000))
    assert peak.bytes == pytest.approx(size, rel=0.1)
    assert len(last) == 60_000


def test_an_error_inside_keeps_the_reading() -> None:
    peak = PeakMemory("cpu")
    with pytest.raises(KeyError), peak:
        block = allocate()
        raise KeyError(block.size)
    assert peak.bytes == pytest.approx(SIZE, rel=0.1)


def test_cuda_reads_the_allocators_peak_after_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str]] = []

    def peak_of(device: str) -> int:
        calls.append(("read", device))
        return 123

    cuda = SimpleNamespace(
        reset_peak_memory_stats=lambda device: calls.append(("reset", device)),
        max_memory_allocated=peak_of,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, device=str))
    with PeakMemory("cuda:1") as peak:
        assert calls == [("reset", "cuda:1")]
    assert peak.bytes == 123
    assert calls == [("reset", "cuda:1"), ("read", "cuda:1")]


@pytest.mark.gpu
def test_cuda_known_size() -> None:
    import torch

    held = torch.ones(1_000_000, device="cuda")
    before = torch.cuda.memory_allocated()
    with PeakMemory("cuda") as peak:
        block = torch.ones(SIZE // 4, device="cuda")
        del block
    assert peak.bytes == pytest.approx(before + SIZE, rel=0.02)
    assert held.numel() == 1_000_000

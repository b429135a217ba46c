"""What counts as running out of memory, and what counts as free."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bakeoff.engine.backends import memory
from bakeoff.engine.backends.memory import free_bytes, is_out_of_memory, rows_that_fit
from bakeoff.errors import OutOfMemoryError
from bakeoff.ranks import LeftAloneError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    OutOfMemoryError("training ran out of memory with a micro-batch of one row"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("could not create a primitive"),
    RuntimeError("could not create a memory object"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("can't start new thread"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate`"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
]
OTHERS = [
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(handle)`"),
    RuntimeError("CUDA error: operation not permitted when stream is capturing"),
    ValueError("out of memory"),
    LeftAloneError("memory ran out in process 1 of 2 (CUDA out of memory)"),
    OSError(errno.ENOENT, "No such file or directory"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_allocations_that_fail_are_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_other_failures_are_not(error: Exception) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(("inner", "expected"), [(OUT_OF_MEMORY[0], True), (OTHERS[0], False)])
def test_a_capture_that_ends_by_an_allocation_is_recognised(
    inner: Exception, expected: bool
) -> None:
    """Leaving the capture raises an error of its own over the first."""
    ended = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    with pytest.raises(RuntimeError) as caught:
        try:
            raise inner
        finally:
            raise ended
    assert is_out_of_memory(caught.value) is expected


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of which the driver has 2 GiB left, and PyTorch 3 of 5 GiB that nothing uses."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 << 30, 16 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5 << 30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2 << 30)


@pytest.mark.usefixtures("card")
def test_reserved_blocks_that_nothing_uses_are_free() -> None:
    assert free_bytes(CUDA) == 5 << 30


def test_a_cpu_has_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 77)
    assert free_bytes(CPU) == 77


@pytest.mark.usefixtures("card")
def test_rows_of_generation_follow_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(num_attention_heads=32, num_hidden_layers=32, head_dim=128)
    base: Any = SimpleNamespace(
        device=CUDA,
        compute_dtype=torch.bfloat16,
        embedding_width=4096,
        vocabulary=32000,
        config=config,
    )
    found = rows_that_fit(base, 512)
    assert found == 1 << (found.bit_length() - 1) and found > 1
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2 << 30)
    assert rows_that_fit(base, 512) < found

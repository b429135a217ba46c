"""What tensors take on a device: in all, and while something is computed.

On a GPU the allocator knows. On a CPU it is the tensors themselves: those that are alive, and those
that the operations of a piece of work make.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from bakeoff.measure.tracing import Trace


def synchronize(device: torch.device) -> None:
    """Waits until a GPU has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def settle(device: torch.device) -> None:
    """Has a GPU's library of products take its working memory now, as no engine's."""
    if device.type == "cuda":
        square = torch.ones((64, 64), device=device)
        torch.mm(square, square)


def taken_bytes(device: torch.device) -> int:
    """Bytes that all live tensors take; on a GPU also what graphs keep for themselves."""
    gc.collect()
    if device.type != "cuda":
        return sum(_storages(_live_tensors()).values())
    synchronize(device)
    # A replayed graph fills its pool again, although the allocator calls it free.
    graphs = sum(
        segment["total_size"] - segment["allocated_size"]
        for segment in torch.cuda.memory_snapshot()
        if tuple(segment.get("segment_pool_id", (0, 0))) != (0, 0)
    )
    return int(torch.cuda.memory_allocated(device) + graphs)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a piece of work takes.

    Attributes:
        peak_bytes: at most, beyond what was there.
        flops: of matrix products and attention. bytes_moved: that its operations read and write.
            Both are None on a GPU, where only the allocator watches.
    """

    peak_bytes: int
    flops: float | None = None
    bytes_moved: float | None = None


def watch(work: Callable[[], object], device: torch.device) -> Watched:
    """Does the work and sees what it takes."""
    if device.type == "cuda":
        synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        synchronize(device)
        return Watched(peak_bytes=int(torch.cuda.max_memory_allocated(device) - before))
    gc.collect()
    standing = nn.Module()
    for number, tensor in enumerate(_live_tensors()):
        standing.register_buffer(f"tensor{number}", tensor.detach())
    threads = torch.get_num_threads()
    # Other threads than the calling one cannot be watched.
    torch.set_num_threads(1)
    try:
        with Trace([standing]) as trace:
            work()
    finally:
        torch.set_num_threads(threads)
    done = trace.work
    return Watched(
        peak_bytes=int(trace.peak_bytes),
        flops=sum(done.flops.values()),
        bytes_moved=done.bytes_moved,
    )


def _live_tensors() -> list[Tensor]:
    # By its type alone: asking a lazy proxy for its class would load what it is a proxy of.
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    return [tensor for tensor in found if tensor.device.type == "cpu" and _has_storage(tensor)]


def _has_storage(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not isinstance(
        tensor, (FakeTensor, nn.UninitializedParameter)
    )


def _storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    found = (tensor.untyped_storage() for tensor in tensors)
    return {storage._cdata: storage.nbytes() for storage in found}

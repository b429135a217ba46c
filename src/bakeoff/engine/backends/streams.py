"""The side stream on which everything that is to be captured is warmed up and captured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_streams: dict[torch.device, Any] = {}


def side_stream(device: torch.device) -> Any:
    """One ``torch.cuda.Stream`` per device for the whole process.

    cuBLAS keeps a workspace of some megabytes for each stream that it has run on and never gives
    it back, so that a new stream for each capture would pin a new workspace.
    """
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    return _streams[device]


@contextmanager
def on_side_stream(device: torch.device) -> Iterator[None]:
    """Runs what is inside on the side stream, after what came before and before what follows."""
    stream = side_stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        # Where memory has run out too: what is launched by then still reads and writes memory that
        # what goes on frees and takes again.
        torch.cuda.current_stream(device).wait_stream(stream)


@contextmanager
def capturing(graph: torch.cuda.CUDAGraph, device: torch.device, pool: Any) -> Iterator[None]:
    """Captures what is inside on the side stream; an error is raised unchanged, and the current
    stream is then what it was before.

    Where CUDA has invalidated the capture, as by an operation that waits for the device, ending it
    fails as well. PyTorch then raises that second error, which says nothing of the first, and stays
    on the side stream (``torch.cuda.graph.__exit__``).

    Args:
        graph: receives the capture. device: where. pool: of memory, or None for a new one.
    """
    before = torch.cuda.current_stream(device)
    failure: BaseException | None = None
    try:
        with torch.cuda.graph(graph, pool=pool, stream=side_stream(device)):
            try:
                yield
            except BaseException as error:
                failure = error
                raise
    except BaseException as last:
        torch.cuda.set_stream(before)
        if failure is None:
            failure = last
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # its frames hold tensors, and this frame would hold it

"""CUDA's streams and graphs on a CPU: what is captured is not computed, and replayed in place.

A capture records each operation with its inputs and outputs and then puts back what it wrote to
tensors that were there before; a replay computes the operations again into the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

FAILING_CALL = 15
"""Operations of a capture before the one that fails."""


class Recorder(TorchDispatchMode):
    """Records the operations inside, and the content of what they write to."""

    def __init__(self, fails: Callable[[], Exception] | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fails = fails
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            for tensor in (t for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)):
                key = tensor.untyped_storage()._cdata
                if key not in self._before:
                    whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
                    self._before[key] = whole, whole.clone()
        result = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, result))
        if self._fails is not None and len(self.calls) == FAILING_CALL:
            raise self._fails()
        return result

    def put_back(self) -> None:
        for whole, before in self._before.values():
            whole.copy_(before)
        self._before.clear()


class Graph:
    """Stands for ``torch.cuda.CUDAGraph``."""

    living = 0

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        Graph.living += 1

    def __del__(self) -> None:
        Graph.living -= 1

    def pool(self) -> int:
        return 7

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, kept in self.calls:
            found = func(*args, **kwargs)
            if func.is_view:
                continue
            for old, new in zip(tree_iter(kept), tree_iter(found), strict=True):
                if isinstance(old, Tensor) and old is not new:
                    old.copy_(new)


class Stream:
    """Stands for ``torch.cuda.Stream``."""

    made = 0

    def __init__(self, device: object = None) -> None:
        Stream.made += 1

    def wait_stream(self, other: Stream) -> None:
        """There is one order alone."""


class StubGraphs:
    """What the stand-ins have seen.

    Attributes:
        captures: the pool and the stream of each capture.
        before_capture: called at the beginning of each.
        fails: makes what is raised in the midst of each, as where memory is short.
        invalidates: whether ending a capture then fails as well, as PyTorch's does, on its stream.
        current: the stream that work goes to.
    """

    def __init__(self) -> None:
        self.captures: list[tuple[object, object]] = []
        self.before_capture: Callable[[], object] = lambda: None
        self.fails: Callable[[], Exception] | None = None
        self.invalidates = False
        self.current: object = Stream(torch.device("cpu"))

    @contextmanager
    def graph(self, graph: Graph, pool: object = None, stream: object = None) -> Iterator[None]:
        self.before_capture()
        self.captures.append((pool, stream))
        recorder = Recorder(self.fails)
        before, self.current = self.current, stream
        try:
            with recorder:
                yield
        except Exception as error:
            if self.invalidates:
                again = "operation failed due to a previous error during capture"
                raise RuntimeError(again) from error
            self.current = before
            raise
        else:
            self.current = before
        finally:
            with torch.no_grad():
                recorder.put_back()
        graph.calls = recorder.calls


@contextmanager
def stub_graphs() -> Iterator[StubGraphs]:
    """Puts the stand-ins into ``torch.cuda``."""
    from bakeoff.engine.backends import streams

    @contextmanager
    def entered(stream: Stream) -> Iterator[None]:
        yield

    stub = StubGraphs()
    Stream.made = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "_streams", {})
        patch.setattr(torch.cuda, "Stream", Stream)
        patch.setattr(torch.cuda, "CUDAGraph", Graph)
        patch.setattr(torch.cuda, "graph", stub.graph)
        patch.setattr(torch.cuda, "stream", entered)
        patch.setattr(torch.cuda, "current_stream", lambda device=None: stub.current)
        patch.setattr(torch.cuda, "set_stream", lambda stream: setattr(stub, "current", stream))
        yield stub

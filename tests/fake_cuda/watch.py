"""Sees every operation on fake CUDA tensors: what waits, what a capture forbids, what is in memory.

The device answers every question with one (a loss of 1.0, token 1, True): its tensors have shapes
and no values.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from bakeoff.measure.tracing import NO_KERNEL, bytes_moved

_ATEN: Final = torch.ops.aten
_ASKING: Final = (_ATEN.nonzero, _ATEN.masked_select, _ATEN._unique2, _ATEN.equal)
_INDEXING: Final = (_ATEN.index, _ATEN.index_put, _ATEN.index_put_)
_COPYING: Final = (_ATEN._to_copy, _ATEN.copy_, _ATEN.copy)
_PACKAGE: Final = "/bakeoff/"


class CaptureError(RuntimeError):
    """Something that no CUDA graph can hold, as CUDA itself reports it: a ``RuntimeError``."""


class WaitError(AssertionError):
    """The host waits for the device where it must not."""


@dataclass(frozen=True, order=True)
class Wait:
    """What made the host wait, and where: ``module.function`` of the package."""

    what: str
    where: str


@dataclass
class Record:
    """What happened on the device since it was cleared.

    Attributes:
        waits: how often what waited where.
        captures: graphs that were captured whole. replays: of them all.
        operations: kernels by name. moved_bytes: that they read and write.
        graphs: kernels of each captured graph, and the bytes that they move.
        attention: attention calls by the kernel that CUDA picks.
        live_bytes: of all storages now. peak_bytes: at most, since the last clearing.
    """

    waits: Counter[Wait] = field(default_factory=Counter)
    captures: int = 0
    replays: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    moved_bytes: int = 0
    graphs: list[tuple[int, int]] = field(default_factory=list)
    attention: Counter[str] = field(default_factory=Counter)
    live_bytes: int = 0
    peak_bytes: int = 0

    def clear(self) -> None:
        """Starts over; what is in memory stays there."""
        self.waits.clear()
        self.operations.clear()
        self.attention.clear()
        self.graphs.clear()
        self.captures = self.replays = self.moved_bytes = 0
        self.peak_bytes = self.live_bytes


RECORD: Final = Record()
"""Of this process's one device."""


class _Mode:
    is_capturing = False
    may_wait = True


_mode: Final = _Mode()


def waits_for_device(what: str) -> None:
    """Notes that the host waits here.

    Raises:
        CaptureError: inside of a capture. WaitError: inside of ``without_waits``.
    """
    wait = Wait(what, _place())
    RECORD.waits[wait] += 1
    forbidden_in_capture(what)
    if not _mode.may_wait:
        raise WaitError(f"{what} at {wait.where}")


def forbidden_in_capture(what: str) -> None:
    """Raises ``CaptureError`` inside of a capture."""
    if _mode.is_capturing:
        raise CaptureError(f"{what} while a graph is captured, at {_place()}")


@contextmanager
def capturing() -> Iterator[None]:
    """A capture: nothing inside may wait, nor read what the host may change."""
    assert not _mode.is_capturing, "captures do not nest"
    before, moved = RECORD.operations.total(), RECORD.moved_bytes
    _mode.is_capturing = True
    try:
        yield
    finally:
        _mode.is_capturing = False
    RECORD.captures += 1
    RECORD.graphs.append((RECORD.operations.total() - before, RECORD.moved_bytes - moved))


@contextmanager
def without_waits() -> Iterator[None]:
    """Raises ``WaitError`` where anything inside waits for the device."""
    _mode.may_wait = False
    try:
        yield
    finally:
        _mode.may_wait = True


class Watch(TorchDispatchMode):
    """Keeps ``RECORD`` while it is the outermost mode.

    Args:
        memory: whether storages are followed, which takes time.
    """

    def __init__(self, *, memory: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._memory = memory
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Looks at one operation and lets it through."""
        kwargs = kwargs or {}
        packet = func.overloadpacket
        given = [*_tensors(args), *_tensors(kwargs.values())]
        on_device = any(t.device.type == "cuda" for t in given)
        if packet is _ATEN._local_scalar_dense and isinstance(args[0], FakeTensor):
            if on_device:
                waits_for_device("item()")
            return answer(args[0].dtype)
        if on_device:
            _check_indices(packet, args)
        out = func(*args, **kwargs)
        made = list(_tensors((out,)))
        _check_copy(packet, args, kwargs, [*given, *made])
        if self._memory:
            for tensor in made:
                self._follow(tensor)
        is_ours = on_device or any(t.device.type == "cuda" for t in made)
        if is_ours and not func.is_view and packet.__name__ not in NO_KERNEL:
            RECORD.operations[str(func)] += 1
            RECORD.moved_bytes += bytes_moved(packet.__name__, given, made)
        return out

    def _follow(self, tensor: Tensor) -> None:
        if tensor.device.type != "cuda":
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = size = storage.nbytes()
            RECORD.live_bytes += size
            RECORD.peak_bytes = max(RECORD.peak_bytes, RECORD.live_bytes)
            weakref.finalize(storage, self._freed, key)

    def _freed(self, key: int) -> None:
        RECORD.live_bytes -= self._sizes.pop(key, 0)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among values and in the lists and tuples among them; quicker than any tree."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def answer(dtype: torch.dtype) -> bool | float | int:
    """What every element of a tensor without values is taken for."""
    if dtype == torch.bool:
        return True
    return 1.0 if dtype.is_floating_point else 1


def _check_indices(packet: Any, args: Sequence[Any]) -> None:
    if packet in _ASKING:
        waits_for_device(packet.__name__)
    if packet in _INDEXING:
        for index in _tensors((args[1],)):
            if index.device.type == "cpu":
                waits_for_device("an index that lies on the host")
            elif index.dtype in (torch.bool, torch.uint8):
                waits_for_device("an index by a mask")


def _check_copy(
    packet: Any, args: Sequence[Any], kwargs: dict[str, Any], seen: Sequence[Tensor]
) -> None:
    if packet not in _COPYING or len({t.device.type for t in seen}) < 2:
        return
    if not kwargs.get("non_blocking") and not (len(args) > 2 and args[2]):
        to_device = seen[-1].device.type == "cuda"
        waits_for_device("a copy to the device" if to_device else "a copy to the host")


def _place() -> str:
    """``module.function`` of the innermost frame of the package, or ``?``."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if _PACKAGE in name and "/tests/" not in name:
            return f"{name.rpartition('/')[2].removesuffix('.py')}.{frame.f_code.co_qualname}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "?"

"""The highest memory that a block of code holds, on a CUDA device or in the process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

_STATUS: Final = Path("/proc/self/status")
_CLEAR_REFS: Final = Path("/proc/self/clear_refs")
_CGROUP: Final = Path("/sys/fs/cgroup")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")
_SAMPLE_SECONDS: Final = 0.005
# From glibc's malloc.h; setting them also ends their growth with use.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_SMALL_BLOCK: Final = 64 << 10
_LARGE_BLOCK: Final = 256 << 20
_MOST_KEPT: Final = 1 << 30
_OLDEST_MOST: Final = 32 << 20
# The kernel counts a page or a few late on each core.
_RESET_SLACK: Final = 8 << 20


class PeakMemory:
    """Measures the peak of the block it surrounds; memory freed inside still counts.

    On ``cuda`` it is the most that torch's allocator had handed out on that device, everything
    allocated before the block included. On any other device it is how far the process's resident
    set grew beyond its size at the block's start: on Linux by the kernel's own high-water mark,
    which the block resets; elsewhere, or where the kernel does not allow that, by samples every
    5 ms, which can miss a short peak. Blocks must not be nested: an inner one resets the outer
    one's mark.

    Args:
        device: as torch writes it: ``cpu``, ``cuda``, ``cuda:1``, …
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._meter: _Meter | None = None
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """The peak in bytes; inside the block, the peak so far."""
        return self._bytes if self._meter is None else self._meter.read()

    def __enter__(self) -> Self:
        if self._device.split(":")[0] == "cuda":
            self._meter = _CudaMeter(self._device)
        else:
            release_unused()
            self._meter = _HighWaterMeter() if _reset_high_water() else _SamplingMeter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._meter is not None:
            self._bytes = self._meter.read()
            self._meter.close()
            self._meter = None


def settled_bytes() -> int:
    """What the process holds in memory of its own, free heap returned to the system first.

    Pages of files, such as the code of libraries and mapped data, are left out where the system
    tells them apart: they are shared, and dropped when memory is short.
    """
    release_unused()
    try:
        return _status_bytes("RssAnon")
    except (OSError, LookupError):
        import psutil

        return int(psutil.Process().memory_info().rss)


def resident_bytes(*, highest: bool = False) -> int:
    """What the process holds in memory, pages of files included; 0 where the system does not say.

    Args:
        highest: the most that it has held so far instead.
    """
    try:
        return _status_bytes("VmHWM" if highest else "VmRSS")
    except (OSError, LookupError):
        return 0


def available_bytes() -> int:
    """Memory of the machine that a process may still take.

    The limits of every control group that it is in count, of a container for example, with what
    others in the group hold, and the limit of its own address space (``ulimit -v``).
    """
    import psutil

    found = [int(psutil.virtual_memory().available), *map(_left_in_group, _control_groups())]
    with contextlib.suppress(ImportError, OSError, LookupError):
        import resource

        for kind, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
            soft, _ = resource.getrlimit(kind)
            if soft != resource.RLIM_INFINITY:
                found.append(soft - _status_bytes(used))
    return max(0, min(found))


_Group = tuple[Path, str, str, str]
"""A control group's folder, and the names of its limit, its use and the files that give way."""


def _control_groups() -> list[_Group]:
    """The control groups that limit this process's memory, from its own up to the machine's.

    In a container the names may be those outside it, where there is no such folder; then the
    container's own is the root.
    """
    groups = [(_CGROUP, "memory.max", "memory.current", "inactive_file")]
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        names = ("memory.max", "memory.current", "inactive_file")
        root = _CGROUP
        if "memory" in controllers.split(","):  # of version 1
            root = _CGROUP / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        elif controllers:
            continue
        place = root / path.lstrip("/")
        groups += [(at, *names) for at in (place, *place.parents) if at.is_relative_to(root)]
    return list(dict.fromkeys(groups))


def _left_in_group(group: _Group) -> int:
    """Bytes that a control group has left; very many where it has no limit."""
    folder, limit, used, cached = group
    try:
        left = int((folder / limit).read_text(encoding="ascii"))
        left -= int((folder / used).read_text(encoding="ascii"))
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):  # no such system, or "max": no limit
        return sys.maxsize
    # Files that were read count as used, but give way.
    return left + sum(int(line.split()[1]) for line in lines if line.startswith(f"{cached} "))


def give_back_at_once() -> None:
    """Makes the C library return every larger block to the system as soon as it is freed.

    The resident set then follows what is held, not what the library keeps for later. Allocation
    becomes slow, and there is no way back; where the library is another one, nothing changes.
    """
    _set_thresholds(_SMALL_BLOCK, _SMALL_BLOCK)


def keep_freed() -> None:
    """Makes the C library keep up to a GiB of what is freed, for what is asked for next.

    Every step of training frees its activations and asks for as many again. By default they go
    back to the system in between, which hands them out again page by page: up to a tenth of a
    step (``docs/experiments.md``, "Memory that comes and goes"). ``release_unused`` gives all back.
    """
    _set_thresholds(_LARGE_BLOCK, _MOST_KEPT)


def _set_thresholds(mapped: int, trimmed: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc
        set_option = ctypes.CDLL(None).mallopt
        # Older versions take no more than 32 MiB for the first.
        if set_option(_MMAP_THRESHOLD, mapped) or set_option(_MMAP_THRESHOLD, _OLDEST_MOST):
            set_option(_TRIM_THRESHOLD, trimmed)


class _Meter(Protocol):
    def read(self) -> int: ...

    def close(self) -> None: ...


class _CudaMeter:
    def __init__(self, device: str) -> None:
        import torch  # here only: processes that score text must not load it

        self._torch = torch
        self._device = torch.device(device)
        torch.cuda.reset_peak_memory_stats(self._device)

    def read(self) -> int:
        return int(self._torch.cuda.max_memory_allocated(self._device))

    def close(self) -> None:
        pass


class _HighWaterMeter:
    """Reads the kernel's mark, which the caller has just reset."""

    def __init__(self) -> None:
        self._start = _status_bytes("VmRSS")

    def read(self) -> int:
        return max(0, _status_bytes("VmHWM") - self._start)

    def close(self) -> None:
        pass


class _SamplingMeter:
    """Looks at the resident set from a thread of its own."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._lock = threading.Lock()
        self._peak = 0
        self._start = self._look()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak-memory", daemon=True)
        self._thread.start()

    def _look(self) -> int:
        with self._lock:
            self._peak = max(self._peak, int(self._process.memory_info().rss))
            return self._peak

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self._look()

    def read(self) -> int:
        return self._look() - self._start

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


def _reset_high_water() -> bool:
    """Sets the kernel's high-water mark to the present size; whether that worked.

    Some sandboxes take the request and ignore it, so the mark itself is the evidence.
    """
    try:
        _CLEAR_REFS.write_text("5", encoding="ascii")
        return _status_bytes("VmHWM") - _status_bytes("VmRSS") <= _RESET_SLACK
    except (OSError, LookupError):
        return False


def release_unused() -> None:
    """Returns free heap to the system, or what an earlier block freed would hide new growth."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def _status_bytes(key: str) -> int:
    """A line of the process's status, given there in KiB.

    Raises:
        LookupError: the kernel does not give it.
    """
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise LookupError(key)

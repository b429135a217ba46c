"""The processes that share one run, as ``torchrun`` starts them.

Each of them runs the whole study, and what they decide is agreed between them; the first alone
writes the run's folder. Whatever is called here is called by all of them, in the same order.
Without ``torchrun`` there is one, and nothing here does anything.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bakeoff.errors import BakeoffError, ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_NAMED: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_TIMEOUT: Final = timedelta(hours=2)
"""The first may write a report while the others wait."""
_LEFT_HERE: Final = (".lock", ".lock-holder.json")
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The processes of a run.

    Attributes:
        count: how many there are. rank: this one's number. local_rank: that on its machine.
    """

    count: int = 1
    rank: int = 0
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is found."""
        return self.rank == 0


_ALONE: Final = Ranks()
_WORD: Final = "last word"
_ASKS_EVERY: Final = 0.5
"""Seconds; a process whose run has ended badly is killed after 30."""
_present = _ALONE
_store: Any = None


class LeftAloneError(BakeoffError, RuntimeError):
    """What one process of several cannot go on from, since the others wait where it is not."""


def is_lost(error: BaseException) -> bool:
    """Whether an error means that another process of the run is gone."""
    from torch import distributed

    # Gloo has no error of its own.
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def ranks() -> Ranks:
    """Of the run that this process is in; one where it is alone."""
    return _present


def started_together() -> bool:
    """Whether ``torchrun`` has started this process beside others."""
    return all(os.environ.get(name) for name in _NAMED) and _number("WORLD_SIZE") > 1


def _number(name: str) -> int:
    try:
        return int(os.environ[name])
    except ValueError:
        raise ConfigError(
            f"{name}={os.environ[name]}: is not a number; start the processes with torchrun, which "
            "sets it, or unset it"
        ) from None


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Joins the other processes of a run for as long as the context lasts, where there are any.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``; each process has the GPU of its local number.

    Raises:
        ConfigError: for one GPU by its number, which all would share.
    """
    global _present, _store
    if _present is not _ALONE or not started_together():
        yield _present
        return
    import torch
    from torch import distributed

    if device.startswith("cuda:"):
        raise ConfigError(
            f"--device {device}: is one GPU, and torchrun has started {_number('WORLD_SIZE')} "
            "processes; use cuda, which gives each its own"
        )
    on_gpu = device != "cpu" and torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if on_gpu:
        torch.cuda.set_device(local)
    opened: Any = distributed  # not all of its names are typed
    store, rank, count = next(opened.rendezvous("env://", timeout=_TIMEOUT))
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    distributed.init_process_group(
        backend,
        timeout=_TIMEOUT,
        store=opened.PrefixStore("group", store),
        rank=rank,
        world_size=count,
    )
    _present, _store = Ranks(count=count, rank=rank, local_rank=local), store
    is_alone = False
    try:
        yield _present
    except LeftAloneError:
        is_alone = True
        raise
    finally:
        _present, _store = _ALONE, None
        if not is_alone:  # to leave in good order is to wait for the others
            distributed.destroy_process_group()


def leave_word(word: str) -> None:
    """Leaves a word for the first process, which may wait for this one where it never comes."""
    if _store is not None:
        _store.set(_WORD, word)


@contextmanager
def hearing(hear: Callable[[str], None]) -> Iterator[None]:
    """Has the first process hear inside what another one leaves, also while it waits for that.

    Args:
        hear: called with the word, in a thread or at the end; at most once.
    """
    store = _store
    if store is None or not _present.is_first:
        yield
        return
    is_over = Event()

    def ask() -> None:
        is_last = False
        while not _heard(store, hear) and not is_last:
            is_last = is_over.wait(_ASKS_EVERY)  # then once more

    thread = Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _heard(store: Any, hear: Callable[[str], None]) -> bool:
    """Whether there is nothing more to hear."""
    try:
        if not store.check([_WORD]):
            return False
        word = store.get(_WORD).decode()
    except RuntimeError:  # what keeps it has ended
        return True
    hear(word)
    return True


def wait_for_all() -> None:
    """Returns once every process has come here."""
    largest([0])


def largest(numbers: Sequence[int]) -> list[int]:
    """The largest of what the processes give, number by number."""
    if _present.count == 1:
        return list(numbers)
    import torch
    from torch import distributed

    found = torch.tensor(list(numbers), dtype=torch.int64)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return [int(number) for number in found]


def smallest(number: int) -> int:
    """The smallest of what the processes give."""
    return -largest([-number])[0]


def first_says(holds: bool) -> bool:
    """What the first process says, to all of them."""
    return bool(largest([int(holds and _present.is_first)])[0])


def add_up(tensors: Sequence[Tensor]) -> None:
    """Gives every process the sums over all of them, in place."""
    if _present.count == 1:
        return
    from torch import distributed

    for tensor in tensors:
        distributed.all_reduce(tensor)


def share_of(items: Sequence[Item]) -> list[tuple[Item, bool]]:
    """This process's items, and whether each counts.

    All have as many, since passes through a sharded base are made by all of them together: what is
    left over is made once more by those that have none, and does not count.
    """
    count, rank = _present.count, _present.rank
    if count == 1 or not items:
        return [(item, True) for item in items]
    each = -(-len(items) // count)
    own = [(item, True) for item in items[rank::count]]
    return own + [(items[-1], False)] * (each - len(own))


@contextmanager
def own_folder(folder: Path, *, fresh: bool = False) -> Iterator[Path]:
    """A run's folder for this process: the first's own, and a copy of it that is dropped again.

    What the first has of an earlier call is sent to the others, which may be on other machines.

    Args:
        folder: of the run. fresh: whether the first puts that aside.
    """
    if _present.count == 1:
        yield folder
        return
    files: list[Path] = []
    if _present.is_first and folder.is_dir() and not fresh:
        files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name not in _LEFT_HERE)
    names = _sent_texts([str(file.relative_to(folder)) for file in files])
    if _present.is_first:
        for file in files:
            _sent(file.read_bytes())
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="bakeoff-") as place:
        copy = Path(place) / folder.name
        for name in names:
            file = copy / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_sent(b""))
        yield copy


def _sent_texts(texts: Sequence[str]) -> list[str]:
    joint = _sent("\0".join(texts).encode())
    return joint.decode().split("\0") if joint else []


def _sent(content: bytes) -> bytes:
    """The first process's bytes, to all of them."""
    import torch
    from torch import distributed

    (size,) = largest([len(content) if _present.is_first else 0])
    buffer: torch.Tensor = torch.zeros(size, dtype=torch.uint8)
    if _present.is_first and size:
        buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    if size:
        distributed.broadcast(buffer, 0)
    return buffer.numpy().tobytes()

"""What a layer of a pass leaves to later ones, in its own thread and no longer than the pass.

Some linear layers read the same tensor, such as those of queries, keys and values. What is computed
of their input alone need be computed once. That they read the same is a guess by their names, and
in each pass a question to the tensors: where it is wrong, each layer computes its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from torch import Tensor

T = TypeVar("T")

_READ_TOGETHER: Final = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Ends of the names of layers of one parent, in the order in which models call them."""


def layers_that_share(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Groups of two or more of the layers of these full names, each in the order of calls."""
    present = set(names)
    groups = []
    for parent in dict.fromkeys(name.rpartition(".")[0] for name in names):
        for ends in _READ_TOGETHER:
            group = tuple(name for end in ends if (name := f"{parent}.{end}") in present)
            if len(group) > 1:
                groups.append(group)
    return groups


class _Kept(threading.local):
    """Of one group, in one thread: worker threads take rows of their own."""

    def __init__(self) -> None:
        # Set in every thread: compiled code asks whether they are there.
        self.tensor: Tensor | None = None
        self.made: Any = None

    def forget(self) -> None:
        """Lets go of what this thread keeps."""
        self.tensor = self.made = None


class Stream(threading.local):
    """Tensors that a place in a pass leaves to a later one, by name; each thread has its own."""

    def __init__(self) -> None:
        self._left: dict[str, Tensor] = {}

    def leave(self, name: str, tensor: Tensor) -> None:
        """Keeps a tensor until it is taken, or the pass fails."""
        self._left[name] = tensor

    def take(self, name: str) -> Tensor | None:
        """What was left under a name, which is kept no longer; None where nothing was."""
        return self._left.pop(name, None)

    def forget(self) -> None:
        """Lets go of what this thread keeps."""
        self._left.clear()


_all: WeakSet[_Kept | Stream] = WeakSet()
_all_lock = threading.Lock()
"""Worker threads make some while others let go of theirs."""


def forget_shared() -> None:
    """Lets go of all that this thread keeps, after a pass that did not reach its end.

    What was computed of a layer's input holds all that the pass had computed before.
    """
    with _all_lock:
        found = list(_all)
    for kept in found:
        kept.forget()


class Turn(Generic[T]):
    """One layer's place in a group: the first leaves what it made of its input to the later ones.

    It is kept until the last layer's turn, and no longer: the input would live on with it.
    """

    def __init__(self, kept: _Kept, place: int, is_last: bool) -> None:
        self._kept = kept
        self.place = place
        self._is_last = is_last

    def leave(self, tensor: Tensor, made: T) -> T:
        """Keeps what the first layer made of ``tensor``, and gives it back."""
        self._kept.tensor, self._kept.made = tensor, made
        return made

    def found(self, tensor: Tensor) -> T | None:
        """What the first layer made of this very tensor; None where that one had another."""
        made: T | None = self._kept.made if self._kept.tensor is tensor else None
        self.take()
        return made

    def take(self) -> None:
        """The layer's turn has come: after the last one nothing is kept."""
        if self._is_last:
            self._kept.tensor = self._kept.made = None


def turns(size: int) -> list[Turn[Any]]:
    """The turns of the layers of one group, in order."""
    kept = _Kept()
    _register(kept)
    return [Turn(kept, place, place == size - 1) for place in range(size)]


def stream() -> Stream:
    """A new one, which ``forget_shared`` knows."""
    made = Stream()
    _register(made)
    return made


def _register(kept: _Kept | Stream) -> None:
    with _all_lock:
        _all.add(kept)

"""Where actors are: objects in other processes, whose methods answer later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from bakeoff.execution.apart.workshop import Workshop
from bakeoff.runs.events import JobKind

Opener = Callable[[], Workshop]


class ActorHost(Protocol):
    """Makes actors of ``JobWorker`` and brings their answers.

    ``actor.METHOD.remote(...)`` calls a method and returns a reference of its answer.

    Attributes:
        what: the host in a word, as messages have it. more_room: what gives an actor more memory.
        kinds: of the jobs that actors run; the driver runs the others.
    """

    @property
    def what(self) -> str: ...

    @property
    def more_room(self) -> str: ...

    @property
    def kinds(self) -> Collection[JobKind]: ...

    def resources(self, *, gpu: bool) -> dict[str, float]:
        """Of one actor, by name."""

    def there(self, *, gpu: bool) -> dict[str, float]:
        """What there is of what one actor asks for, by the same names."""

    def capacity(self, *, gpu: bool, left_out: int = 0) -> int:
        """How many actors there is room for; at least one.

        Args:
            gpu: whether each has one. left_out: actors that have a place and get no job.
        """

    def actor(self, opener: Opener, threads: int, *, gpu: bool) -> Any:
        """A new one; it may wait for room.

        Args:
            opener: opens the study there. threads: that PyTorch computes on. gpu: whether it has
                one.
        """

    def wait(self, references: Sequence[Any], *, count: int, timeout: float) -> list[Any]:
        """Those with an answer, once ``count`` of them have one or ``timeout`` seconds are over."""

    def get(self, reference: Any) -> Any:
        """The answer.

        Raises:
            Exception: the method's, or the actor is gone; ``cause`` is the method's where it is
                known.
        """

    def kill(self, *actors: Any) -> None:
        """Ends some at once."""

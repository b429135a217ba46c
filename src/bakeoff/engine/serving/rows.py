"""A row of a request: what it asks for, what is reported to it, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from bakeoff.engine.serving.residents import Resident
from bakeoff.engine.serving.sampling import Drawn, Sampler, Sampling
from bakeoff.engine.serving.text import TextStream
from bakeoff.methods.contract import Method, Tensors


class Source(Protocol):
    """An adapter that is known, in memory or not."""

    @property
    def name(self) -> str:
        """By which requests name it."""

    @property
    def lane(self) -> str:
        """The name of the shared base that it acts on."""

    @property
    def extra_positions(self) -> int:
        """Positions that it takes before the tokens of every row."""

    @property
    def has_own_base(self) -> bool:
        """Whether it brings a base, and with it seats, of its own."""

    @property
    def least_bytes(self) -> int:
        """Memory that it takes at least, as far as that is known before it is loaded."""

    def load(self) -> tuple[Method | None, Tensors]:
        """Its method and tensors; no method is the untuned base.

        Raises:
            BakeoffError: its files are missing or torn.
        """


class Fault(StrEnum):
    """Why a row has no answer."""

    ADAPTER = "adapter_unavailable"
    NOT_FINITE = "adapter_not_finite"
    TIMEOUT = "queue_timeout"
    MEMORY = "out_of_memory"
    STOPPING = "stopping"
    INTERNAL = "internal_error"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Wrote:
    """Tokens were written. ``text`` may be shown now; it is often nothing, or of several tokens."""

    text: str
    drawn: Drawn | None


@dataclass(frozen=True, slots=True)
class Scored:
    """[M] summed nats of each choice, positive; and the nats of each one's tokens."""

    nats: tuple[float, ...]
    by_token: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The row is done: ``stop`` or ``length``. ``first_seconds``: until the first token."""

    reason: str
    num_written: int
    first_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The row has no answer; ``message`` names no file."""

    fault: Fault
    message: str


Event = Wrote | Scored | Ended | Failed
Listener = Callable[[Event], None]
"""Called in the engine's thread; it must return at once."""


@dataclass(eq=False, kw_only=True)
class Row:
    """One row.

    Attributes:
        source: its adapter. prompt: its tokens. sampling: how it is continued.
        choices: tokens of continuations to be scored, instead of writing.
        strips: see ``TextStream``. listener: called with what comes of it.
        cancelled: set by anyone, at any time: it leaves before the next token.
    """

    source: Source
    prompt: Sequence[int]
    sampling: Sampling
    listener: Listener
    choices: Sequence[Sequence[int]] = ()
    strips: bool = True
    cancelled: bool = False

    resident: Resident | None = None
    seat: int = -1
    num_read: int = 0
    asked_at: float = field(default_factory=time.monotonic)
    first_at: float = 0.0
    written: list[int] = field(default_factory=list)
    sampler: Sampler | None = None
    stream: TextStream | None = None
    nats: list[list[float]] = field(default_factory=list)
    place: int = 0  # the choice that is read next
    place_read: int = 0  # tokens of it that have been read
    is_settled: bool = False  # no further event of it is reported

    @property
    def num_positions(self) -> int:
        """Positions of a seat that it may need."""
        more = max((len(ids) for ids in self.choices), default=0) or self.sampling.max_tokens
        return self.source.extra_positions + len(self.prompt) + more - 1

    @property
    def reads_prompt(self) -> bool:
        """Whether tokens of the prompt are still to be read."""
        return self.num_read < len(self.prompt)

    @property
    def end(self) -> float:
        """Seconds since it was asked for."""
        return time.monotonic() - self.asked_at

"""What a running batch holds itself to, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from bakeoff.errors import BakeoffError


class QueueFullError(BakeoffError, RuntimeError):
    """More rows wait than may."""


class TooManyRowsError(BakeoffError, ValueError):
    """One request has more rows than ever find a seat or a place to wait."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the batch holds itself to.

    Attributes:
        max_queue: rows that may wait. queue_seconds: for how long.
        prefill_tokens: of prompts that one round reads.
        max_adapter_bytes: of residents together; None is no bound.
        own_seats: of an adapter with a base of its own.
    """

    max_queue: int = 256
    queue_seconds: float = 60.0
    prefill_tokens: int = 256
    max_adapter_bytes: int | None = None
    own_seats: int = 4


@dataclass
class Counts:
    """What has been done so far; written by the engine's thread, read by any."""

    prompt_tokens: int = 0
    written_tokens: int = 0
    passes: int = 0
    read_positions: int = 0  # of passes over prompts and choices, padding counted
    near_ties: int = 0
    faults: dict[str, int] = field(default_factory=dict)

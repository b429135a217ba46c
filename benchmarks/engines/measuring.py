"""What the benchmarks measure by: engines that take turns, medians, memory, losses held together.

The C library is left as it is, for that is how a user's loop finds it; the command line's
``keep_freed`` would help all engines (``docs/experiments.md``, "Memory that comes and goes").

All engines of a case live in one process, so each one's memory is what came with it, not what the
process holds: ``Entrant.peak_memory_bytes`` says what is counted.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from engines.memory import Watched, settle, synchronize, taken_bytes, watch

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-2}
"""How far first losses may be apart, relatively."""


class SkippedError(Exception):
    """Says why an engine has no figures."""


class Engine(ABC):
    """One way to do a case's work.

    Attributes:
        share: candidates that it serves at once.
        standing_bytes: what it works with and what was there before it, such as a shared base.
        is_traceable: whether its operations can be watched on a CPU.
    """

    share = 1
    standing_bytes = 0
    is_traceable = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._open = ExitStack()

    @abstractmethod
    def step(self, index: int) -> Any:
        """Does one piece of the work; a training step returns its loss."""

    def seconds(self, indices: Iterable[int]) -> list[float]:
        """How long each of some pieces takes."""
        return [seconds_of(partial(self.step, index), self.device) for index in indices]

    def close(self) -> None:
        """Leaves the contexts that it works in."""
        self._open.close()


@dataclass
class Entrant:
    """An engine and its figures.

    Attributes:
        first: what its first step returned.
        first_step_seconds: of that step: compilation, capture, first allocations.
        held_bytes: see ``peak_memory_bytes``.
        seconds: of each timed step.
    """

    engine: Engine
    first: Any
    first_step_seconds: float
    held_bytes: int
    seconds: list[float] = field(default_factory=list)
    _watched: dict[int, Watched] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)

    def peak_memory_bytes(self, index: int) -> int | None:
        """Bytes that the engine holds between steps, and the peak of one more step above them.

        Held are its weights, buffers and trained tensors with their optimizer's state, whatever it
        has kept (hidden states, a captured graph's own memory), and the shared base once. On a GPU
        the allocator says so; on a CPU the tensors that came with the engine, and for the step
        those that its operations make. Not counted: what a kernel takes inside one operation, and
        memory that the allocator keeps for later.

        Args:
            index: of the step, which is not timed.

        Returns:
            The bytes; None where the step cannot be watched.
        """
        seen = self.watched(index)
        engine = self.engine
        return None if seen is None else engine.standing_bytes + self.held_bytes + seen.peak_bytes

    def watched(self, index: int) -> Watched | None:
        """What one more step takes, which is not timed; None where it cannot be watched."""
        if index not in self._watched:
            engine = self.engine
            if engine.device.type == "cpu" and not engine.is_traceable:
                return None
            self._watched[index] = watch(partial(engine.step, index), engine.device)
        return self._watched[index]


class Contest:
    """The engines of one case, built one after the other and then timed in turn.

    Args:
        case: its name. device: where.
        required: engines that must be there; where another cannot be built, a line says so.
    """

    def __init__(self, case: str, device: torch.device, *, required: Iterable[str] = ()) -> None:
        self.case, self.device = case, device
        self.required = frozenset(required)
        self.entrants: dict[str, Entrant] = {}
        settle(device)

    def enter(self, name: str, build: Callable[[], Engine]) -> None:
        """Builds an engine and takes its first step; a rival that fails is noted and left out.

        Raises:
            Exception: whatever goes wrong with an engine that the case cannot do without.
        """
        before = taken_bytes(self.device)
        try:
            engine = build()
            started = time.perf_counter()
            first = engine.step(0)
            synchronize(self.device)
            spent = time.perf_counter() - started
        except Exception as error:  # whatever a library does not support
            if name in self.required:
                raise
            reason = str(error) if isinstance(error, SkippedError) else _first_line(error)
            print_record(engine=name, case=self.case, skipped=reason)
            return
        held = taken_bytes(self.device) - before
        self.entrants[name] = Entrant(engine, first, spent, held)

    def run(self, rounds: Iterable[range], warmup: int) -> None:
        """Lets every engine do each round's steps, in turn; the first ``warmup`` are not timed."""
        for number, indices in enumerate(rounds):
            for entrant in self.entrants.values():
                spent = entrant.engine.seconds(indices)
                if number >= warmup:
                    entrant.seconds += spent

    def close(self) -> None:
        """Closes all engines."""
        for entrant in self.entrants.values():
            entrant.engine.close()
        self.entrants.clear()
        # What one case compiled does not count against the next one's number of compilations.
        torch.compiler.reset()


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """How long ``work`` takes, the GPU's part included."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def check_losses(case: str, losses: Mapping[str, float], dtype: torch.dtype) -> None:
    """Holds that all engines computed the first one's loss.

    Raises:
        SystemExit: naming the engine that did not.
    """
    names = list(losses)
    expected = losses[names[0]]
    for name in names[1:]:
        gap = abs(losses[name] - expected) / abs(expected)
        if not gap <= TOLERANCES[dtype]:
            raise SystemExit(
                f"{case}: the loss of {name} is {losses[name]}, that of {names[0]} {expected} "
                f"(relative gap {gap:.2e}, allowed {TOLERANCES[dtype]:g})"
            )


def print_record(**content: Any) -> None:
    """Prints one line of JSON."""
    print(json.dumps(content), flush=True)


def device_name(device: torch.device) -> str:
    """The card's name, or ``cpu``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Inside, these environment variables are set."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def cold_compiler() -> Iterator[None]:
    """Inside, what Inductor compiled in earlier runs is not there: a first step is a first step."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        environment(TORCHINDUCTOR_CACHE_DIR=folder),
    ):
        yield


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

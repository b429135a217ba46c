"""The parts of an update as CUDA graphs over static buffers.

Launching a step's some thousand kernels one by one takes longer than computing them. A captured
graph launches them all at once; what changes from step to step is copied into the buffers that the
graph reads. There is one graph for the pass of each shape of a micro-batch, replayed for each
micro-batch of that shape, and one for what follows the passes: the optimizer's update. So batches
that accumulate gradients over few or many passes need the same graphs.

A part runs as it is written the first time, over the buffers: that warms up what a capture must not
do for the first time, and it counts. Capturing after it computes nothing, so that nothing need
be put back and no copy of the optimizer's state is held.

Axis letters: ``K`` slots, ``N`` supervised tokens of a slot.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.base.attention.windows import masks_collected
from bakeoff.engine.backends.memory import is_out_of_memory, release_memory
from bakeoff.engine.backends.streams import capturing, on_side_stream
from bakeoff.engine.batch_source import Packed

_ROOM: Final = 256
"""Supervised tokens by whose multiples the buffers grow."""
_FINISH: Final = "finish"


class Parts(Protocol):
    """An update in parts that ask the device for nothing: see ``bakeoff.engine.step.UpdateParts``.

    The last two write into the tensors that they are given, and are captured.
    """

    def begin(self, tokens_K: Tensor) -> tuple[Tensor, Tensor]:
        """Clears the gradients; gives [K] weights of tokens and [K] zeros."""

    def accumulate(
        self, packed: Packed, weight_K: Tensor, total_K: Tensor, *, counts: bool = True
    ) -> None:
        """Adds one pass."""

    def finish(self, rates_K: Tensor, total_K: Tensor) -> None:
        """Updates every slot."""


@dataclass(frozen=True)
class _Shared:
    """The [K] tensors that all parts of an update read or write."""

    weight_K: Tensor
    total_K: Tensor
    rates_K: Tensor


@dataclass
class _Captured:
    """One part, and its graph once it has been captured.

    Attributes:
        packed: the buffers of a pass; None of what follows the passes.
        masks: what the graph reads besides: it knows their addresses and does not own them.
    """

    packed: Packed | None = None
    graph: torch.cuda.CUDAGraph | None = None
    is_warm: bool = False
    masks: list[Tensor] = field(default_factory=list)


class StepGraphs:
    """Captured parts of one cohort's updates, passes by the shape of what they read.

    Args:
        capture: False runs the parts over the same buffers without a graph, for tests and for
            finding faults.
        failed: is given what a capture failed by; unless it raises, this part and all that are not
            captured by then run without a graph. None raises.
    """

    def __init__(
        self,
        *,
        capture: bool = True,
        failed: Callable[[RuntimeError], None] | None = None,
    ) -> None:
        self._capture = capture
        self._is_paused = False
        self._failed = failed
        self._shared: _Shared | None = None
        self._captured: dict[Hashable, _Captured] = {}
        self.num_captures = 0
        """How often a part was made ready to be captured, for tests."""

    def run(
        self,
        parts: Parts,
        passes: Sequence[tuple[Packed, bool]],
        tokens_K: Tensor,
        rates_K: Tensor,
    ) -> Tensor:
        """One update.

        Args:
            parts: the same for all calls.
            passes: on the device, each with whether it counts. tokens_K: [K]. rates_K: [K] float64.

        Returns:
            [K] summed NLLs, valid until the next call.

        Raises:
            RuntimeError: if memory runs out before the update has changed any value; what runs out
                in a capture is met here.
        """
        weight_K, total_K = parts.begin(tokens_K)
        shared = self._shared
        if shared is None:
            shared = _Shared(weight_K.clone(), total_K.clone(), rates_K.clone())
            self._shared = shared
        shared.weight_K.copy_(weight_K)
        shared.total_K.copy_(total_K)
        shared.rates_K.copy_(rates_K, non_blocking=True)
        for packed, counts in passes:
            captured = self._pass_for(packed, counts)
            buffer = captured.packed
            assert buffer is not None
            _load(packed, buffer)
            arguments = (buffer, shared.weight_K, shared.total_K)
            self._run_part(captured, partial(parts.accumulate, *arguments, counts=counts))
        finish = self._captured.get(_FINISH)
        if finish is None:
            finish = self._add(_FINISH, _Captured())
        self._run_part(finish, partial(parts.finish, shared.rates_K, shared.total_K))
        return shared.total_K

    @property
    def end(self) -> Callable[[], None] | None:
        """Replays what follows the passes, as the last update left it; None where it is not
        captured."""
        finish = self._captured.get(_FINISH)
        return None if finish is None or finish.graph is None else finish.graph.replay

    def release(self) -> None:
        """Drops graphs and buffers, as when there is no memory left.

        After that micro-batches are smaller, so that none of the passes would serve again; what
        follows them is captured once more, as its graph may hold memory of theirs.
        """
        self._captured.clear()
        self._is_paused = False

    def pause(self) -> bool:
        """Drops graphs and captures none until ``release``, as when there is no memory beside them.

        What a graph computes in is its own: the pass of another shape, which runs once before its
        capture, takes as much again.

        Returns:
            Whether there was a graph, so that there is more memory now.
        """
        if all(captured.graph is None for captured in self._captured.values()):
            return False
        self._captured.clear()
        self._is_paused = True
        return True

    def _run_part(self, captured: _Captured, part: Callable[[], None]) -> None:
        if captured.graph is not None:
            captured.graph.replay()
        elif self._capture and not self._is_paused and not captured.is_warm:
            assert self._shared is not None
            device = self._shared.total_K.device
            with on_side_stream(device):
                part()
            captured.is_warm = True
            self._record(captured, part, device)
        else:
            part()

    def _pass_for(self, packed: Packed, counts: bool) -> _Captured:
        key = (_shape(packed), counts)
        found = self._captured.get(key)
        if found is not None:
            assert found.packed is not None
            if packed.targets_KN.shape[1] <= found.packed.targets_KN.shape[1]:
                return found
        return self._add(key, _Captured(packed=_empty_like(packed)))

    def _add(self, key: Hashable, captured: _Captured) -> _Captured:
        self._captured[key] = captured
        self.num_captures += 1
        return captured

    def _record(self, captured: _Captured, part: Callable[[], None], device: torch.device) -> None:
        """Captures the part that has just run; without memory for it, it stays uncaptured.

        That run counts, so that an error of the capture must not have it run again.
        """
        graph = torch.cuda.CUDAGraph()
        # One pool for all graphs, of which one replays at a time, and which hand nothing to each
        # other but through the buffers; it lives as long as one of them.
        living = (found.graph for found in self._captured.values() if found.graph is not None)
        pool = next((other.pool() for other in living), None)
        try:
            with masks_collected() as masks, capturing(graph, device, pool):
                part()
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                is_short = True
            elif self._failed is None or not isinstance(error, RuntimeError):
                raise
            else:
                # The part has run: it is the capture that it does not bear.
                self._failed(error)
                self._capture, is_short = False, False
        else:
            captured.graph, captured.masks = graph, masks
            return
        # Only here is the error gone, and with it what its frames held.
        if is_short:
            release_memory()


def _shape(packed: Packed) -> tuple[object, ...]:
    """What must agree for a graph to serve; supervised tokens may be fewer than it has room for."""
    ids = packed.ids_KBT
    shape = ("hidden", packed.targets_KN.shape[0]) if ids is None else tuple(ids.shape)
    return (*shape, packed.num_rows)


def _empty_like(packed: Packed) -> Packed:
    room = -(-packed.targets_KN.shape[1] // _ROOM) * _ROOM
    made: dict[str, Any] = {}
    for name, tensor in _tensors(packed):
        is_whole = name in ("ids_KBT", "first_row")
        made[name] = torch.zeros_like(tensor if is_whole else _widened(tensor, room))
    return replace(packed, **made)


def _load(packed: Packed, buffer: Packed) -> None:
    for name, source in _tensors(packed):
        target = getattr(buffer, name)
        if source.shape == target.shape:
            target.copy_(source, non_blocking=True)
        else:
            # Positions beyond what is there are masked, and must stay so.
            target.copy_(_widened(source, target.shape[1]), non_blocking=True)


def _tensors(packed: Packed) -> list[tuple[str, Tensor]]:
    found = [(part.name, getattr(packed, part.name)) for part in fields(packed)]
    return [(name, value) for name, value in found if isinstance(value, Tensor)]


def _widened(tensor: Tensor, room: int) -> Tensor:
    """[K, N, ...] filled up with zeros, which the mask takes for absent, to [K, room, ...]."""
    missing = room - tensor.shape[1]
    return F.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, missing))

"""The whole update as one CUDA graph over static buffers.

Launching a step's some thousand kernels one by one takes longer than computing them. A captured
graph launches them all at once; what changes from step to step is copied into the buffers that the
graph reads. A cohort's shapes never change, so that there is one graph for each width of a step.

The first update of a width runs as it is written, over the buffers: it warms up what a capture must
not do for the first time, and it counts. Capturing after it computes nothing, so that nothing need
be put back and no copy of the optimizer's state is held.

Axis letters: ``K`` slots, ``N`` supervised tokens of a slot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.base.attention.windows import masks_collected
from bakeoff.engine.backends.memory import is_out_of_memory, release_memory
from bakeoff.engine.backends.streams import on_side_stream, side_stream
from bakeoff.engine.batch_source import Packed

Update = Callable[[Sequence[Packed], Tensor, Tensor], Tensor]
"""Maps (passes, [K] tokens, [K] rates) to [K] summed NLLs; asks the device for nothing."""

_ROOM = 256
"""Supervised tokens by whose multiples the buffers grow."""


@dataclass
class _Captured:
    """One width's buffers, and its graph once it has been captured.

    Attributes:
        is_warm: whether the update has run over the buffers.
        masks: what the graph reads besides: it knows their addresses and does not own them.
    """

    passes: list[Packed]
    tokens_K: Tensor
    rates_K: Tensor
    total_K: Tensor
    graph: torch.cuda.CUDAGraph | None = None
    is_warm: bool = False
    masks: list[Tensor] = field(default_factory=list)


class StepGraphs:
    """Captured updates of one cohort, by the shape of what they read.

    Args:
        capture: False runs the update over the same buffers without a graph, for tests and for
            finding faults.
        failed: is given what a capture failed by; unless it raises, this and all later updates run
            without a graph. None raises.
    """

    def __init__(
        self,
        *,
        capture: bool = True,
        failed: Callable[[RuntimeError], None] | None = None,
    ) -> None:
        self._capture = capture
        self._failed = failed
        self._captured: dict[tuple[object, ...], _Captured] = {}
        self.num_captures = 0
        """How often an update was captured, for tests."""

    def run(
        self, update: Update, passes: Sequence[Packed], tokens_K: Tensor, rates_K: Tensor
    ) -> Tensor:
        """One update.

        Args:
            update: see ``Update``; the same for all calls.
            passes: on the device. tokens_K: [K]. rates_K: [K] float64.

        Returns:
            [K] summed NLLs, valid until the next call.

        Raises:
            RuntimeError: if memory runs out before the update has changed anything; what runs out
                later, in the capture, is met here.
        """
        found = self._buffers_for(passes, tokens_K, rates_K)
        for packed, buffer in zip(passes, found.passes, strict=True):
            _load(packed, buffer)
        found.tokens_K.copy_(tokens_K, non_blocking=True)
        found.rates_K.copy_(rates_K, non_blocking=True)
        if found.graph is not None:
            found.graph.replay()
        elif self._capture and not found.is_warm:
            with on_side_stream(tokens_K.device):
                _update(update, found)
            found.is_warm = True
            self._record(update, found)
        else:
            _update(update, found)
        return found.total_K

    def release(self) -> None:
        """Drops graphs and buffers, as when there is no memory left.

        After that micro-batches are smaller, so that none of them would serve again.
        """
        self._captured.clear()

    def _buffers_for(
        self, passes: Sequence[Packed], tokens_K: Tensor, rates_K: Tensor
    ) -> _Captured:
        key = tuple(_shape(packed) for packed in passes)
        found = self._captured.get(key)
        if found is None or any(
            packed.targets_KN.shape[1] > buffer.targets_KN.shape[1]
            for packed, buffer in zip(passes, found.passes, strict=True)
        ):
            found = self._captured[key] = _Captured(
                passes=[_empty_like(packed) for packed in passes],
                tokens_K=tokens_K.clone(),
                rates_K=rates_K.clone(),
                total_K=torch.zeros_like(tokens_K),
            )
            self.num_captures += 1
        return found

    def _record(self, update: Update, static: _Captured) -> None:
        """Captures the update that has just run; without memory for it, it stays uncaptured.

        That update counts, so that an error of the capture must not have it run again.
        """
        graph = torch.cuda.CUDAGraph()
        stream = side_stream(static.tokens_K.device)
        # One pool for all graphs, of which one replays at a time; it lives as long as one of them.
        living = (found.graph for found in self._captured.values() if found.graph is not None)
        pool = next((other.pool() for other in living), None)
        try:
            with masks_collected() as masks, torch.cuda.graph(graph, pool=pool, stream=stream):
                _update(update, static)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                is_short = True
            elif self._failed is None or not isinstance(error, RuntimeError):
                raise
            else:
                # The update has run: it is the capture that it does not bear.
                self._failed(error)
                self._capture, is_short = False, False
        else:
            static.graph, static.masks = graph, masks
            return
        # Only here is the error gone, and with it what its frames held.
        if is_short:
            release_memory()


def _update(update: Update, static: _Captured) -> None:
    static.total_K.copy_(update(static.passes, static.tokens_K, static.rates_K))


def _shape(packed: Packed) -> tuple[object, ...]:
    """What must agree for a graph to serve; supervised tokens may be fewer than it has room for."""
    ids = packed.ids_KBT
    return ("hidden", packed.targets_KN.shape[0]) if ids is None else tuple(ids.shape)


def _empty_like(packed: Packed) -> Packed:
    room = -(-packed.targets_KN.shape[1] // _ROOM) * _ROOM
    made: dict[str, Any] = {}
    for name, tensor in _tensors(packed):
        made[name] = torch.zeros_like(tensor if name == "ids_KBT" else _widened(tensor, room))
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

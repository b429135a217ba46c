"""The whole update as one CUDA graph over static buffers.

Launching a step's some thousand kernels one by one takes longer than computing them. A captured
graph launches them all at once; what changes from step to step is copied into the buffers that the
graph reads. A cohort's shapes never change, so that there is one graph for each width of a step.

Axis letters: ``K`` slots, ``N`` supervised tokens of a slot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.engine.batch_source import Packed

Update = Callable[[Sequence[Packed], Tensor, Tensor], Tensor]
"""Maps (passes, [K] tokens, [K] rates) to [K] summed NLLs; asks the device for nothing."""

_WARMUP_RUNS = 2
_ROOM = 256
"""Supervised tokens by whose multiples the buffers grow."""


@dataclass
class _Captured:
    passes: list[Packed]
    tokens_K: Tensor
    rates_K: Tensor
    total_K: Tensor
    graph: torch.cuda.CUDAGraph | None


class StepGraphs:
    """Captured updates of one cohort, by the shape of what they read.

    Args:
        state: every tensor that an update changes. Capturing runs the update some times, and what
            that changed is put back.
        capture: False runs the update over the same buffers without a graph, for tests and for
            finding faults.
        failed: is given what a capture failed by; unless it raises, this and all later updates run
            without a graph. None raises.
    """

    def __init__(
        self,
        state: Sequence[Tensor],
        *,
        capture: bool = True,
        failed: Callable[[RuntimeError], None] | None = None,
    ) -> None:
        self._state = list(state)
        self._capture = capture
        self._failed = failed
        self._captured: dict[tuple[object, ...], _Captured] = {}
        self._pool: Any = None
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
        """
        key = tuple(_shape(packed) for packed in passes)
        found = self._captured.get(key)
        if found is None or any(
            packed.targets_KN.shape[1] > buffer.targets_KN.shape[1]
            for packed, buffer in zip(passes, found.passes, strict=True)
        ):
            found = self._prepare(update, passes, tokens_K, rates_K)
            self._captured[key] = found
        for packed, buffer in zip(passes, found.passes, strict=True):
            _load(packed, buffer)
        found.tokens_K.copy_(tokens_K, non_blocking=True)
        found.rates_K.copy_(rates_K, non_blocking=True)
        if found.graph is None:
            found.total_K.copy_(update(found.passes, found.tokens_K, found.rates_K))
        else:
            found.graph.replay()
        return found.total_K

    def _prepare(
        self, update: Update, passes: Sequence[Packed], tokens_K: Tensor, rates_K: Tensor
    ) -> _Captured:
        buffers = [_empty_like(packed) for packed in passes]
        static = _Captured(
            buffers, tokens_K.clone(), rates_K.clone(), torch.zeros_like(tokens_K), None
        )
        self.num_captures += 1
        if not self._capture:
            return static
        for packed, buffer in zip(passes, buffers, strict=True):
            _load(packed, buffer)
        before = [tensor.clone() for tensor in self._state]
        try:
            static.graph = self._record(update, static)
        finally:
            for tensor, kept in zip(self._state, before, strict=True):
                tensor.copy_(kept)
        return static

    def _record(self, update: Update, static: _Captured) -> torch.cuda.CUDAGraph | None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARMUP_RUNS):
                update(static.passes, static.tokens_K, static.rates_K)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                static.total_K.copy_(update(static.passes, static.tokens_K, static.rates_K))
        except RuntimeError as error:
            # The warm-up went well: it is the capture that the update does not bear.
            if self._failed is None:
                raise
            self._failed(error)
            self._capture = False
            return None
        self._pool = graph.pool()
        return graph


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
    found = [(field.name, getattr(packed, field.name)) for field in fields(packed)]
    return [(name, value) for name, value in found if isinstance(value, Tensor)]


def _widened(tensor: Tensor, room: int) -> Tensor:
    """[K, N, ...] filled up with zeros, which the mask takes for absent, to [K, room, ...]."""
    missing = room - tensor.shape[1]
    return F.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, missing))

"""Whether our own kernels compute what plain PyTorch computes on the card, and how much faster.

Axis letters: ``K`` slots, ``C`` tokens of a chunk, ``V`` vocabulary.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import torch

from bakeoff.base.kernels.fused import first_fault, fused_kernels, prepare_fused
from bakeoff.engine.optimizer import SlotAdamW
from bakeoff.engine.slopes import slopes_of
from bakeoff.methods.low_rank.dropout import dropped, threshold
from bakeoff.methods.training_pass import TrainingPass
from gpu.card import CUDA, require_card
from gpu.processes import Place
from gpu.records import Report, SkippedError

_REPEATS = 20
_USERS = ("engine.slopes", "engine.optimizer", "methods.low_rank.dropout")
VOCABULARY, CHUNK, WIDTH, VALUES = 50_257, 256, 768, 1 << 22


def run(report: Report, place: Place) -> None:
    """See the module."""
    require_card()
    chosen = None if place.dry_run else _chosen(report)
    for name, make in (("losses", _losses), ("AdamW", _adamw), ("dropout", _dropout)):
        with report.part(name) as found:
            found["plain_ms"] = _timed(make, None)
            if chosen is None:
                found["says"] = "plain PyTorch alone: a card of shapes runs no kernel"
                continue
            found["kernel_ms"] = _timed(make, chosen)
            found["ratio"] = found["plain_ms"] / found["kernel_ms"]
            found["says"] = (
                f"{found['kernel_ms']:.3f} ms, plain {found['plain_ms']:.3f}: "
                f"{found['ratio']:.1f} times as fast"
            )


def _chosen(report: Report) -> Any:
    """The kernels that the engine takes, once they have been held against plain PyTorch.

    Raises:
        SkippedError: Triton is not installed.
    """
    if importlib.util.find_spec("triton") is None:
        raise SkippedError("Triton is not installed: plain PyTorch computes")
    from bakeoff.base.kernels import triton_kernels

    with report.part("agreement") as found:
        found["fault"] = fault = first_fault(triton_kernels, CUDA)
        found["says"] = fault or "losses, AdamW and dropout are those of plain PyTorch"
        assert fault is None, fault
    prepare_fused(CUDA)
    chosen = fused_kernels(torch.empty(1, device=CUDA))
    assert chosen is not None, "the kernels agree, and are not used"
    return chosen


def _timed(make: Callable[[], Callable[[], object]], kernels: Any) -> float:
    """Milliseconds of some work with these kernels; None is plain PyTorch."""
    with ExitStack() as stack:
        for module in _USERS:
            place_of = f"bakeoff.{module}.fused_kernels"
            stack.enter_context(mock.patch(place_of, return_value=kernels))
        return _milliseconds(make())


def _milliseconds(work: Callable[[], object]) -> float:
    """The median of some runs, after one that compiles."""
    work()
    times: list[float] = []
    for _ in range(_REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[_REPEATS // 2]


def _losses() -> Callable[[], object]:
    logits = torch.randn(1, CHUNK, VOCABULARY, device=CUDA)
    targets = torch.randint(0, VOCABULARY, (1, CHUNK, 1), device=CUDA)
    mask = torch.ones(1, CHUNK, 1, dtype=torch.bool, device=CUDA)
    # Logits are used up: each run has a copy of its own, which both pay for.
    return lambda: slopes_of(
        logits.clone(), targets, mask, cap=None, dtype=torch.bfloat16, are_needed=True
    )


def _adamw() -> Callable[[], object]:
    optimizer = SlotAdamW(4, VALUES, device=CUDA)
    for slot in range(4):
        optimizer.reset(slot)
    rates = torch.full((4,), 1e-3, dtype=torch.float64, device=CUDA)
    losses = torch.ones(4, device=CUDA)
    return lambda: optimizer.step(rates, losses)


def _dropout() -> Callable[[], object]:
    x = torch.randn(4, 16 * 256, WIDTH, device=CUDA, dtype=torch.bfloat16)
    now = TrainingPass(
        seed_K=torch.arange(4, device=CUDA),
        update_K=torch.zeros(4, dtype=torch.int64, device=CUDA),
        first_row=torch.tensor(0, device=CUDA),
        num_rows=16,
    )
    threshold_K = torch.full((4,), threshold(0.1), dtype=torch.int32, device=CUDA)
    scale_K = torch.full((4,), 1 / 0.9, device=CUDA)
    return lambda: dropped(x, now, 1234, threshold_K, scale_K)

"""Small bases made on the card: the same bits each time, no waiting, and the loss of a CPU's."""

from __future__ import annotations

import re
import time
from contextlib import nullcontext

import torch

from bakeoff.base.wire_bases.pretraining import (
    SEED,
    build_model,
    family_tokenizer,
    optimizer_for,
    pretrain,
    repeatable_kernels,
    speed_up,
    updates,
)
from bakeoff.base.wire_bases.shapes import FAMILY, ROW_TOKENS, TOKENS_PER_PARAMETER, member_folder
from bakeoff.base.wire_bases.stream import Packed, articles
from gpu.card import CUDA, require_card
from gpu.processes import Place
from gpu.records import Report, SkippedError
from gpu.stages.updates import never_waiting

SMALLEST, LARGEST = "wire-0.3m", "wire-10m"
WARM_UP = 2
ALLOWED = 1e-3
"""Nats per token that the held-out loss may be from a CPU's, which the shipped README has."""


def run(report: Report, place: Place) -> None:
    """See the module."""
    require_card()
    with report.part("equal bits") as found:
        steps = WARM_UP + 1 if place.dry_run else 100
        first, second = (_losses(SMALLEST, steps)[0] for _ in range(2))
        found["losses"], found["equal_bits"] = first, first == second
        words = "equal" if found["equal_bits"] else "other"
        found["says"] = f"{steps} updates twice: {words} bits, the last loss {first[-1]:.4f}"
        assert found["equal_bits"], found["says"]
    with report.part(LARGEST) as found:
        _, seconds = _losses(LARGEST, WARM_UP + 1 if place.dry_run else 60)
        shape = FAMILY[LARGEST]
        tokens = TOKENS_PER_PARAMETER * sum(p.numel() for p in build_model(shape).parameters())
        found["tokens_per_second"] = pace = shape.rows * ROW_TOKENS / seconds
        found["minutes"] = tokens / pace / 60.0
        found["says"] = f"{pace:,.0f} tokens per second, {found['minutes']:.0f} minutes in all"
    with report.part(SMALLEST) as found:
        if place.dry_run:
            raise SkippedError("a card of shapes has no weights to write")
        folder = member_folder(SMALLEST, place.out)
        assert folder is not None
        text = (folder / "README.md").read_text(encoding="utf-8")
        known = re.search(r"held-out loss \| ([\d.]+)", text)
        assert known is not None
        found["of_a_cpu"] = float(known[1])
        found["held_out"] = loss = pretrain(
            SMALLEST, FAMILY[SMALLEST], place.out / SMALLEST, command="-", device=CUDA
        )
        found["says"] = f"held-out loss {loss:.4f}, on a CPU {known[1]}"
        assert abs(loss - found["of_a_cpu"]) <= ALLOWED, found["says"]


def _losses(name: str, steps: int) -> tuple[list[float], float]:
    """The losses of a member's first updates, and the seconds of each but the first ones."""
    torch.manual_seed(SEED)
    shape = FAMILY[name]
    model = build_model(shape)
    speed_up(model)
    torch.nn.Module.to(model, CUDA)
    optimizer = optimizer_for(model, shape.learning_rate)
    stream = Packed(family_tokenizer(), articles(SEED), shape.rows)
    done = lambda step: step / steps  # noqa: E731
    kept: list[torch.Tensor] = []
    started = 0.0
    with repeatable_kernels(CUDA):
        making = updates(model, optimizer, stream, shape.learning_rate, done)
        for number in range(steps):
            with never_waiting() if number >= WARM_UP else nullcontext():
                kept.append(next(making)[1])
            if number == WARM_UP - 1:
                torch.cuda.synchronize()
                started = time.perf_counter()
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - started) / (steps - WARM_UP)
    return [float(one) for one in kept], seconds

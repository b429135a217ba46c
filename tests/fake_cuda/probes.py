"""Single questions to the device of shapes, for tests that need more than a case of the matrix."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from transformers import masking_utils

from bakeoff.base.model import Base
from bakeoff.base.set_aside import set_aside
from bakeoff.base.wire_bases.pretraining import (
    build_model,
    family_tokenizer,
    optimizer_for,
    repeatable_kernels,
    speed_up,
    updates,
)
from bakeoff.base.wire_bases.shapes import Shape
from bakeoff.base.wire_bases.stream import Packed
from bakeoff.engine.acceleration import accelerated
from bakeoff.engine.batch_source import HiddenStateSource, TokenSource
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.schedule import SaveNothing
from bakeoff.measure import timing
from bakeoff.methods.contract import Method
from bakeoff.methods.registry import method_type
from tests.fake_cuda import actions
from tests.fake_cuda.bridge import base_of, method_of, plan_of, rows
from tests.fake_cuda.device import CUDA, fake_device, real
from tests.fake_cuda.watch import RECORD, CaptureError, WaitError, capturing, without_waits

_CAPTURE_SECONDS, _REPLAY_SECONDS = 1000.0, 0.25


def forbidden() -> dict[str, str]:
    """What the watch says to each thing that no capture can hold."""
    x = torch.ones(4, 3, device=CUDA)
    mask = torch.ones(4, dtype=torch.bool, device=CUDA)
    tried: dict[str, Callable[[], object]] = {
        "item": lambda: x.sum().item(),
        "branch": lambda: bool(x.sum() > 0),
        "list": lambda: x.tolist(),
        "index by a list": lambda: x[[0, 1]],
        "index by a mask": lambda: x[mask],
        "index on the host": lambda: x[torch.tensor([0, 1])],
        "write by a list": lambda: x.__setitem__([0, 1], 0.0),
        "copy to the host": lambda: x.cpu(),
        "copy to the device": lambda: torch.ones(3).to(CUDA),
        "a list as a tensor": lambda: torch.tensor([1, 2], device=CUDA),
        "pinned memory": lambda: torch.ones(3).pin_memory(),
        "synchronize": torch.cuda.synchronize,
        "nonzero": lambda: mask.nonzero(),
    }
    found = {}
    for name, attempt in tried.items():
        try:
            with capturing():
                attempt()
            found[name] = "captured"
        except CaptureError:
            found[name] = "refused"
    return found


def allowed() -> dict[str, Any]:
    """What a capture does hold, backward pass included, and what need not wait."""
    x = torch.ones(4, 3, device=CUDA, requires_grad=True)
    index = torch.tensor([0, 1], device=CUDA)
    RECORD.clear()
    with capturing(), without_waits():
        x.index_select(0, index).square().sum().backward()
        x[index].detach().where(x[index] > 0, 0.0).clone()
        x[0, 1:].detach().zero_()
    waits = len(RECORD.waits)
    assert x.grad is not None
    try:
        with without_waits():
            x.sum().item()
        waited = "allowed"
    except WaitError:
        waited = "refused"
    return {"waits": waits, "waited": waited, "grad": str(x.grad.device), "captures": 1}


def rotary(name: str) -> dict[str, Any]:
    """A base whose rotary embeddings follow the largest position: training, then generation."""
    base = base_of(name, "bf16")
    method = _all_linear(base)
    observer = actions.trained(base, method, SaveNothing())
    after_training = base.may_capture
    RECORD.clear()
    notes: list[str] = []
    with actions.seated(base, method, trains=False) as cohort:
        texts = _written(cohort, notes)
    fresh = base_of(name, "bf16")
    first: list[str] = []
    with actions.seated(fresh, _all_linear(fresh), trains=False) as cohort:
        for _ in range(2):
            _written(cohort, first)
    return {
        "states": observer.ended,
        "notes": observer.notes,
        "may_capture": after_training,
        "captures": RECORD.captures,
        "replays": RECORD.replays,
        "notes_later": notes,
        "notes_of_generation": first,
        "texts": texts,
    }


def _all_linear(base: Base) -> Method:
    chosen = method_type("lora", where="methods.lora")
    options = chosen.read_options({"rank": 2, "target_modules": "all-linear"})
    return chosen(options, base, where="methods.lora")


def _written(cohort: Any, notes: list[str]) -> int:
    options = GenerationOptions(max_new_tokens=8, batch_rows=6)
    [texts] = generate(cohort, [0], rows(6, (3, 20), 3), options, note=notes.append)
    return len(texts)


def broken_step() -> dict[str, Any]:
    """An update that fails as it is written is no capture's failure, and is raised."""
    base = base_of("llama", "bf16")
    method = method_of(base, "lora")
    plan = plan_of(4)
    found = {}
    with actions.seated(base, method) as cohort:
        for name, error in {
            "broken": RuntimeError("shapes differ"),
            "memory": RuntimeError("CUDA error: out of memory"),
        }.items():
            notes: list[str] = []
            with accelerated(cohort, 72, actions.ENGINE, notes.append) as graphs:
                assert graphs is not None
                batch_source = _Failing(error, in_capture=name == "memory")
                try:
                    actions.epoch(cohort, batch_source, plan, graphs)
                    found[name] = "went on"
                except RuntimeError as raised:
                    found[name] = str(raised)
            found[f"{name} notes"] = str(len(notes))
    return found | {"may_capture": base.may_capture}


def recomputed() -> dict[str, Any]:
    """Updates whose activations are computed again: captured as any others."""
    base = base_of("llama", "bf16")
    method = method_of(base, "lora")
    plan = plan_of(4)
    notes: list[str] = []
    engine = replace(actions.ENGINE, gradient_checkpointing=True)
    cuda: Any = torch.cuda
    # Only then does PyTorch ask for the state of the device's generator.
    cuda._initialized = True
    try:
        with (
            actions.seated(base, method) as cohort,
            accelerated(cohort, 72, engine, notes.append) as graphs,
        ):
            RECORD.clear()
            actions.epoch(cohort, TokenSource(CUDA), plan, graphs)
            captures = RECORD.captures
    finally:
        cuda._initialized = False
    return {"captures": captures, "notes": notes, "may_capture": base.may_capture}


class _Failing(TokenSource):
    """Fails in the pass: always, or only while a graph is captured."""

    def __init__(self, error: RuntimeError, *, in_capture: bool) -> None:
        super().__init__(CUDA)
        self._error, self._in_capture = error, in_capture

    def losses(self, *arguments: Any) -> Any:
        """See ``BatchSource``."""
        if not self._in_capture or torch.cuda.is_current_stream_capturing():
            raise self._error
        return super().losses(*arguments)


def costs() -> dict[str, Any]:
    """Latency and speed by a clock that a capture moves by far and a replay by little."""

    def clock() -> float:
        return _CAPTURE_SECONDS * RECORD.captures + _REPLAY_SECONDS * RECORD.replays

    before, timing.clock = timing.clock, clock
    try:
        base = base_of("gpt_neo", "bf16")
        method = method_of(base, "lora")
        bench = actions.workbench(base, method)
        RECORD.clear()
        latency = timing.token_latency(bench, method)
        captures = RECORD.captures
        speed = timing.time_generation(bench, method, 2)
    finally:
        timing.clock = before
    return {"latency": latency, "captures": captures, "rows_per_second": speed}


def epoch_seconds() -> dict[str, Any]:
    """An epoch by a clock that replays alone move, and its passes and updates."""
    before, timing.clock = timing.clock, lambda: _REPLAY_SECONDS * RECORD.replays
    try:
        base = base_of("gpt_neo", "bf16")
        method = method_of(base, "lora")
        bench = actions.workbench(base, method)
        # Two passes of an update, of one row each.
        found = timing.time_epoch(bench, method, 1, timing.Budget(train=0.0, evaluation=0.0))
    finally:
        timing.clock = before
    plan = bench.plans["train"]
    step = plan.epoch(bench.protocol.seed_list[0], 0)[0]
    return {
        "train": found["train"],
        "passes": plan.tokens_padded / step.width,
        "updates": plan.num_steps,
        "replay": _REPLAY_SECONDS,
    }


def narrowed() -> dict[str, Any]:
    """A stack's part of some slots: the same numbers as an index by a list, and one index."""
    base = base_of("llama", "fp32")
    method = method_of(base, "ia3")
    with actions.seated(base, method) as cohort:
        stack = cohort.stacks["ia3"]
        stacked = torch.empty(2, 5, device=CUDA)
        first = stack.narrowed(stacked, [1])
        RECORD.clear()
        with capturing():
            second = stack.narrowed(stacked, [1])
        return {
            "shapes": [list(first.shape), list(second.shape)],
            "whole": stack.narrowed(stacked, [0, 1]) is stacked,
            "waits": len(RECORD.waits),
        }


def fourier_generation() -> dict[str, Any]:
    """Generation of a method that says that it cannot be captured."""
    base = base_of("llama", "bf16")
    method = method_of(base, "peft-fourierft")
    notes: list[str] = []
    with actions.seated(base, method, trains=False) as cohort:
        RECORD.clear()
        texts = _written(cohort, notes)
    return {
        "captures": RECORD.captures,
        "texts": texts,
        "notes": notes,
        "may_capture": base.may_capture,
    }


def kept_on_the_host() -> dict[str, Any]:
    """A head whose hidden states lie on the host, as in a file: updates that may not wait."""
    base = base_of("gpt_neo", "bf16")
    method = method_of(base, "head")
    plan = plan_of(8, rows_per_step=4, prompt=(4, 60))
    kept = torch.empty(int(plan.target_offsets[-1]), base.width, dtype=torch.bfloat16)
    source = HiddenStateSource({plan: kept}, CUDA)
    with actions.seated(base, method) as cohort:
        RECORD.clear()
        with without_waits():
            actions.epoch(cohort, source, plan, None, steps=1)
            packed = source.pack(plan, plan.micro_batches(plan.epoch(0, 0)[0], 4) * 2)
    assert packed.hidden_KND is not None
    return {"device": str(packed.hidden_KND.device), "waits": len(RECORD.waits)}


def resumed() -> dict[str, Any]:
    """What a resumed epoch has summed: the earlier part, on the device."""
    base = base_of("gpt_neo", "bf16")
    method = method_of(base, "lora")
    saver = actions.Saver(stops=True)
    with suppress(actions.StoppedError):
        actions.trained(base, method, saver)
    position = saver.position
    assert position is not None
    last = actions.Saver(stops=False, at=1)
    actions.trained(base, method, last, position)
    assert last.position is not None
    return {
        "step": position.step,
        "later": last.position.step,
        "sums": bool(np.isfinite(last.position.train_nll).all()),
    }


def aside() -> dict[str, Any]:
    """Bytes on the device while a base is set aside, and after it; how often the base is held."""
    with fake_device(memory=True):
        before = RECORD.live_bytes
        base = base_of("llama", "bf16")
        held = RECORD.live_bytes - before
        with set_aside([base]):
            inside = RECORD.live_bytes - before
        after = RECORD.live_bytes - before
    return {"held": held, "inside": inside, "after": after, "is_tied": base.is_tied}


def small_base() -> dict[str, Any]:
    """A member of the family that is made on a card: a loss waits for it only where it is read."""
    with real():
        model = build_model(Shape(width=16, layers=2, heads=2, rows=2, learning_rate=1e-2))
        speed_up(model)
        texts = iter(["One article about a fair.", "Another one about the weather."] * 100_000)
        stream = Packed(family_tokenizer(), texts, 2)
    torch.nn.Module.to(model, CUDA)
    optimizer = optimizer_for(model, 1e-2)
    RECORD.clear()
    # Transformers leaves out what waits where tensors have no values.
    masking: Any = masking_utils
    masking.is_tracing = lambda *_: False
    with repeatable_kernels(CUDA):
        made = list(updates(model, optimizer, stream, 1e-2, lambda step: step / 3))
    waits = len(RECORD.waits)
    return {
        "steps": [step for step, _ in made],
        "losses": [float(loss) for _, loss in made],
        "devices": sorted({str(p.device) for p in model.parameters()}),
        "waits": waits,
    }


RUN: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "forbidden": forbidden,
    "allowed": allowed,
    "rotary-dynamic": lambda: rotary("llama-dynamic-rope"),
    "rotary-longrope": lambda: rotary("phi3-longrope"),
    "broken-step": broken_step,
    "recomputed": recomputed,
    "costs": costs,
    "epoch-seconds": epoch_seconds,
    "narrowed": narrowed,
    "fourier-generation": fourier_generation,
    "kept-on-the-host": kept_on_the_host,
    "resumed": resumed,
    "aside": aside,
    "small-base": small_base,
}
"""The questions by name."""

"""Captured graphs on a CUDA device against the same code without them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from bakeoff.base.attention.windows import knows_windows
from bakeoff.base.compiled import compiled_layers
from bakeoff.engine.backends.cuda_graphs import StepGraphs
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation import generate as generation
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.generation.greedy import Greedy
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.step import train_step

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"rank": 3, "dropout": 0.25}),
    ("soft_prompt", {"prompt_length": 5}),
    ("prefix", {"prefix_length": 4}),
]
COMPILED: list[tuple[str, dict[str, Any]]] = [one for one in KINDS if one[0] != "prefix"]
"""A prefix has another cache in each layer, so that a cohort with one is not compiled."""


@pytest.fixture(scope="module", params=["gpt_neo", "llama"])
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param, device=torch.device("cuda"))


def make(bench: Bench, protocol: ProtocolOptions | None, kinds: Any = KINDS) -> Cohort:
    methods = [bench.method(kind, **options) for kind, options in kinds]
    cohort = Cohort(bench.base, methods, len(methods), protocol)
    for slot, method in enumerate(methods):
        tensors = method.initial(torch.Generator().manual_seed(slot))
        cohort.seat(slot, method, tensors, slot)
    return cohort


@contextmanager
def never_waiting() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def curve(kit: Kit, bench: Bench, *, captured: bool, kinds: Any = KINDS) -> np.ndarray:
    protocol = ProtocolOptions(micro_batch_size=3, grad_accum_steps=2)
    plan = kit.plan(30, prompt=(4, 60), max_length=72, rows_per_step=6)
    batch_source = TokenSource(bench.base.device)
    losses = []
    with make(bench, protocol, kinds) as cohort:
        graphs = StepGraphs() if captured else None
        rates_K = torch.full((len(kinds),), 1e-2, dtype=torch.float64, device="cuda")
        for epoch in range(2):
            for step in plan.epoch(5, epoch):
                arguments = (cohort, batch_source, plan, [step] * len(kinds), rates_K, 3, graphs)
                if epoch == 1:  # all is captured by now
                    with never_waiting():
                        total_K, tokens_K = train_step(*arguments)
                else:
                    total_K, tokens_K = train_step(*arguments)
                losses.append(total_K / tokens_K)
        return torch.stack(losses).cpu().numpy()


def test_a_captured_update_is_the_update_and_never_waits(kit: Kit, bench: Bench) -> None:
    plain = curve(kit, bench, captured=False)
    np.testing.assert_allclose(curve(kit, bench, captured=True), plain, rtol=1e-3)


def test_compiled_layers_compute_the_layers(kit: Kit, bench: Bench) -> None:
    plain = curve(kit, bench, captured=False, kinds=COMPILED)
    with compiled_layers(bench.base, 80):
        compiled = curve(kit, bench, captured=True, kinds=COMPILED)
    np.testing.assert_allclose(compiled, plain, rtol=1e-3)


def test_captured_tokens_are_the_tokens(
    kit: Kit, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = kit.rows(11, (3, 40), np.random.default_rng(19))
    options = GenerationOptions(max_new_tokens=20, batch_rows=12)
    with make(bench, None) as cohort:
        captured = generate(cohort, [0, 1, 2], prompts, options)

        def open_form(*arguments: Any, **settings: Any) -> Greedy:
            return Greedy(*arguments, **settings, frozen=False)

        monkeypatch.setattr(generation, "Greedy", open_form)
        assert generate(cohort, [0, 1, 2], prompts, options) == captured


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_flash_kernel_knows_windows(dtype: torch.dtype) -> None:
    """Where it does not, masks take its place: correct, but slower and larger."""
    assert knows_windows(torch.device("cuda"), dtype, 64)

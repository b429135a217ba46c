"""Compiled and recomputed layers compute the layers; one compilation serves them all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.engine.quicken import quickened
from bakeoff.engine.recompute import recomputed_layers
from bakeoff.model.base import Base
from bakeoff.model.compiled import compiled_layers, decoder_layers

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"rank": 3, "target_modules": ("q_proj", "v_proj")}),
    ("soft_prompt", {"prompt_length": 5}),
]
COMPILED = [KINDS[0], ("lora", {"rank": 2, "target_modules": ("q_proj",)})]
MORE_KINDS = [*KINDS, ("prefix", {"prefix_length": 4}), ("lora", {"rank": 2, "dropout": 0.5})]


@pytest.fixture(scope="module", params=["gpt_neo", "llama"])
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param)


def gradients(
    bench: Bench,
    kinds: list[tuple[str, dict[str, Any]]],
    context: Callable[[Base], AbstractContextManager[object]],
    shapes: tuple[tuple[int, int], ...] = ((3, 12),),
) -> tuple[Tensor, Tensor]:
    """(hidden states of the last shape, all gradients) of a cohort with one slot a kind."""
    methods = [bench.method(kind, **options) for kind, options in kinds]
    cohort = Cohort(bench.base, methods, len(methods), ProtocolOptions())
    for slot, method in enumerate(methods):
        drawn = method.initial(torch.Generator().manual_seed(slot))
        generator = torch.Generator().manual_seed(100 + slot)
        tensors = {n: t + 0.1 * torch.randn(t.shape, generator=generator) for n, t in drawn.items()}
        cohort.seat(slot, method, tensors, slot)
    generator = torch.Generator().manual_seed(7)
    with cohort, context(bench.base):
        for rows, tokens in shapes:
            ids = torch.randint(1, 200, (len(kinds), rows, tokens), generator=generator)
            with cohort.training_pass(0, rows):
                hidden, _ = cohort.hidden_states(ids)
                hidden.square().sum().backward()
    assert cohort.optimizer is not None
    return hidden.detach(), cohort.optimizer.grads_Kn.clone()


class Counting:
    """A backend of ``torch.compile`` that runs the graph as it is and counts."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, module: Any, inputs: Any) -> Any:
        self.graphs += 1
        return module.forward


def test_one_compilation_serves_all_layers_and_shapes(bench: Bench) -> None:
    assert len(decoder_layers(bench.base)) >= 2
    torch._dynamo.reset()
    shapes = ((3, 7), (2, 9))
    counting = Counting()
    plain = gradients(bench, COMPILED, lambda base: nullcontext(), shapes)
    compiled = gradients(bench, COMPILED, lambda base: compiled_layers(base, 15, counting), shapes)
    assert counting.graphs == 1
    for ours, expected in zip(compiled, plain, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    assert not bench.base.is_compiled


def test_a_window_narrower_than_the_rows_stays(kit: Kit) -> None:
    bench = kit.bench("gpt_neo")
    torch._dynamo.reset()
    shapes = ((2, 30),)  # beyond the window of 16
    counting = Counting()
    plain = gradients(bench, COMPILED, lambda base: nullcontext(), shapes)
    compiled = gradients(bench, COMPILED, lambda base: compiled_layers(base, 35, counting), shapes)
    assert counting.graphs == 2, "layers with a window are other code than layers without"
    for ours, expected in zip(compiled, plain, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_recomputed_layers_give_the_same_gradients_from_less(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    layer_type = type(decoder_layers(bench.base)[0])
    original = layer_type.forward

    def forward(self: nn.Module, *arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return original(self, *arguments, **named)

    monkeypatch.setattr(layer_type, "forward", forward)
    plain = gradients(bench, MORE_KINDS, lambda base: nullcontext())
    once, calls = calls, 0
    again = gradients(bench, MORE_KINDS, recomputed_layers)
    # What draws the initial tensors runs the base as well, without gradients.
    assert calls == once + len(decoder_layers(bench.base))
    for ours, expected in zip(again, plain, strict=True):
        assert torch.equal(ours, expected)


def test_what_is_kept_for_the_backward_pass_shrinks(bench: Bench) -> None:
    def kept(context: Callable[[Base], AbstractContextManager[object]]) -> int:
        num_bytes = 0

        def pack(tensor: Tensor) -> Tensor:
            nonlocal num_bytes
            num_bytes += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            gradients(bench, KINDS, context, ((4, 14),))
        return num_bytes

    assert kept(recomputed_layers) < 0.5 * kept(lambda base: nullcontext())


def test_only_what_allows_it_is_compiled(bench: Bench) -> None:
    torch._dynamo.reset()
    options = EngineOptions(compile=True, cuda_graph=False)
    for kind, expected in (("lora", True), ("soft_prompt", True), ("ia3", False)):
        cohort = Cohort(bench.base, [bench.method(kind)], 1, ProtocolOptions())
        with cohort, quickened(cohort, 20, options) as graphs:
            assert bench.base.is_compiled == expected
            assert graphs is None
        assert not bench.base.is_compiled

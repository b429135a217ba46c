"""Layers of experts, compiled around each slot's own weights of them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bakeoff.base.compiled import compiled_layers, decoder_layers
from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import Source
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from tests.architectures.checks import lora_on, some_tensors
from tests.architectures.families import model_of

IDS = torch.arange(1, 41).view(2, 2, 10)


class _Counting:
    """A backend of ``torch.compile`` that runs the graph as it is and counts."""

    def __init__(self) -> None:
        self.graphs = self.runs = 0

    def __call__(self, module: Any, inputs: Any) -> Any:
        self.graphs += 1

        def run(*given: Any) -> Any:
            self.runs += 1
            return module.forward(*given)

        return run


def _base(family: str, num_layers: int) -> Base:
    """The family's base, cut to its first layers."""
    model: Any = model_of(family)
    model.model.layers = nn.ModuleList(model.model.layers[:num_layers])
    model.config.num_hidden_layers = num_layers
    source = Source(
        reference=family,
        model=model,
        tokenizer=byte_tokenizer(64),
        fingerprint="",
        description="",
    )
    return Base(source, device=torch.device("cpu"), dtype=torch.float32)


def _gradients(base: Base, context: AbstractContextManager[None]) -> Tensor:
    methods = [lora_on(base, target_experts=True) for _ in range(2)]
    cohort = Cohort(base, methods, 2, ProtocolOptions())
    for slot, method in enumerate(methods):
        cohort.seat(slot, method, some_tensors(method, slot), slot)
    with cohort, context, cohort.training_pass(torch.tensor(0), 2):
        cohort.hidden_states(IDS)[0].square().sum().backward()
    assert cohort.optimizer is not None
    return cohort.optimizer.grads_Kn.clone()


@pytest.mark.parametrize("family", ["mixtral", pytest.param("qwen3_moe", marks=pytest.mark.soak)])
def test_layers_are_compiled_around_experts(family: str) -> None:
    """The parts are for all layers, and what they compute is what layers compute."""
    torch._dynamo.reset()
    counting = _Counting()
    graphs, runs = [], []
    for num_layers in (1, 2):  # the second base compiles nothing that the first has not
        base = _base(family, num_layers)
        assert len(decoder_layers(base)) == num_layers
        plain = _gradients(base, nullcontext())
        compiled = _gradients(base, compiled_layers(base, 10, counting))
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)
        graphs.append(counting.graphs)
        runs.append(counting.runs)
    assert graphs[0] == graphs[1] > 0
    assert runs[1] == 3 * runs[0] > 0, "both layers of the second base run compiled"

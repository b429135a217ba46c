"""Half precision: the base computes in it, what is trained stays float32 and learns the same."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from bakeoff.engine.batch_source import (
    BatchSource,
    HiddenStateSource,
    TokenSource,
    keep_hidden_states,
)
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods.contract import ExecutionPath
from tests.plans import parts_of

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

CPU = torch.device("cpu")
PROTOCOL = ProtocolOptions(epochs=2, micro_batch_size=4, grad_accum_steps=2)
METHODS: list[tuple[str, dict[str, Any], float]] = [
    ("lora", {"rank": 2}, 1e-2),
    ("soft_prompt", {"prompt_length": 3}, 5e-2),
    ("head", {"tied": False}, 3e-3),
    ("head", {"tied": True}, 3e-3),
    ("full", {}, 1e-3),
    ("prefix", {"prefix_length": 4}, 2e-2),
    ("p_tuning", {"prompt_length": 3, "hidden": 8}, 1e-2),
    ("bottleneck", {"size": 4}, 1e-2),
    ("ia3", {}, 2e-2),
    ("bitfit", {"norms": True}, 1e-2),
    ("last_layers", {"num_layers": 1}, 1e-3),
]
IDS = [kind + "-tied" * options.get("tied", False) for kind, options, _ in METHODS]


@pytest.fixture(scope="module")
def benches(kit: Kit) -> dict[torch.dtype, Bench]:
    dtypes = (torch.float32, torch.bfloat16, torch.float16)
    return {dtype: kit.bench("gpt_neo", dtype=dtype) for dtype in dtypes}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("kind", "options", "rate"), METHODS, ids=IDS)
def test_half_precision_follows_float32(
    kit: Kit,
    benches: dict[torch.dtype, Bench],
    dtype: torch.dtype,
    kind: str,
    options: dict[str, Any],
    rate: float,
    tmp_path: Path,
) -> None:
    train, validation = kit.plan(20), kit.plan(6, seed=7)
    curves = []
    for each in (torch.float32, dtype):
        base = benches[each].base
        method = benches[each].method(kind, **options)
        candidate = kit.candidate(method, rate)
        batch_source: BatchSource = TokenSource(CPU)
        if method.execution_path is ExecutionPath.HIDDEN_STATES:
            with ExitStack() as stack:
                empty = stack.enter_context(Cohort(base, [], 1))
                kept = {
                    plan: keep_hidden_states(
                        empty, plan, rows=8, path=str(tmp_path / f"{i}.{each}")
                    )
                    for i, plan in enumerate((train, validation))
                }
                batch_source = HiddenStateSource(kept, CPU)
        kit.run(base, [candidate], 1, train, validation, PROTOCOL, batch_source=batch_source)
        assert candidate.state == "COMPLETE"
        assert candidate.tensors is not None
        assert {tensor.dtype for tensor in candidate.tensors.values()} == {torch.float32}
        curves.append([e.train_nll for e in candidate.epochs] + [candidate.epochs[-1].val_nll])
        with Cohort(base, [method], 1) as cohort:
            cohort.seat(0, method, candidate.tensors)
            prompts = [parts_of(validation, i)[0] for i in range(3)]
            for strategy in ("greedy", "beam"):
                asked = GenerationOptions(strategy=strategy, max_new_tokens=4)
                [texts] = generate(cohort, [0], prompts, asked)
                assert len(texts) == 3 and all(len(row) <= 4 for row in texts)
    assert curves[0] == pytest.approx(curves[1], rel=1e-2)
    assert curves[0][1] < curves[0][0]

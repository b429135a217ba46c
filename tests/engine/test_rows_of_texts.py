"""Texts that are learnt whole, several in a pass: each as if it were alone, with any method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bakeoff.data.batches import BatchPlan
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.score import example_nlls
from bakeoff.methods.contract import Method

if TYPE_CHECKING:
    from tests.engine.conftest import Kit

CPU = torch.device("cpu")
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 2},
    "soft_prompt": {"prompt_length": 5},
    "prefix": {"prefix_length": 4},
    "head": {},
    "full": {},
}


def whole_texts(kit: Kit) -> BatchPlan:
    """Nine of 2 to 40 tokens, all supervised but each's first."""
    tokens = kit.plan(9, prompt=(1, 30), completion=(1, 10)).tokens
    is_target = np.ones(int(tokens.offsets[-1]), dtype=np.bool_)
    is_target[tokens.offsets[:-1]] = False
    return BatchPlan(
        tokens,
        is_target,
        rows_per_step=9,
        max_length=64,
        pad_id=kit.plan(1).pad_id,
        fine_widths=True,
    )


def gradient(cohort: Cohort, plan: BatchPlan) -> Tensor:
    """Of the sum of all texts' NLLs, all in one pass."""
    assert cohort.optimizer is not None
    cohort.optimizer.zero_grad()
    source = TokenSource(CPU)
    batch = plan.rectangle(np.arange(plan.num_rows), num_rows=plan.num_rows, width=max(plan.widths))
    with cohort.training_pass(torch.tensor(0), plan.num_rows):
        nll_K, _ = source.losses(cohort, source.pack(plan, [batch]))
        nll_K.sum().backward()
    return cohort.optimizer.grads_Kn.clone()


@pytest.mark.parametrize("base_kind", ["gpt_neo", "llama"])
@pytest.mark.parametrize("kind", METHODS)
def test_no_text_sees_another(kit: Kit, base_kind: str, kind: str) -> None:
    bench = kit.bench(base_kind)
    method: Method = bench.method(kind, **METHODS[kind])
    plan = whole_texts(kit)
    alone = [plan.of([i], 64) for i in range(plan.num_rows)]
    with Cohort(bench.base, [method], 1, ProtocolOptions()) as cohort:
        cohort.seat(0, method, kit.perturbed(method, seed=3))
        together = example_nlls(cohort, 0, TokenSource(CPU), plan)
        one_by_one = [example_nlls(cohort, 0, TokenSource(CPU), one)[0] for one in alone]
        np.testing.assert_allclose(together, one_by_one, rtol=1e-5)
        expected = torch.stack([gradient(cohort, one) for one in alone]).sum(dim=0)
        found = gradient(cohort, plan)
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))

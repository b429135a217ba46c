"""Each example's NLL against Transformers' own loss of that example alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from bakeoff.data.batches import BatchPlan
from bakeoff.engine.batch_source import (
    BatchSource,
    HiddenStateSource,
    Packed,
    TokenSource,
    keep_hidden_states,
)
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.score import example_nlls, mean_nll
from bakeoff.errors import OutOfMemoryError
from tests.plans import parts_of

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

CPU = torch.device("cpu")


def one_by_one(bench: Bench, plan: BatchPlan) -> np.ndarray:
    """Summed NLLs by the reference model, without any padding."""
    sums = []
    for example in range(plan.num_rows):
        prompt, completion = (part.tolist() for part in parts_of(plan, example))
        ids = torch.tensor([prompt + completion])
        labels = torch.tensor([[-100] * len(prompt) + completion])
        with torch.no_grad():
            mean = bench.pristine(input_ids=ids, labels=labels).loss
        sums.append(mean.item() * len(completion))
    return np.array(sums)


@pytest.mark.parametrize("base_kind", ["gpt_neo", "llama"])
@pytest.mark.parametrize("rows", [1, 4, 64])
def test_example_nlls_are_transformers_losses(kit: Kit, base_kind: str, rows: int) -> None:
    bench = kit.bench(base_kind)
    plan = kit.plan(11, prompt=(3, 50), max_length=64)
    with Cohort(bench.base, [], 1) as cohort:
        sums = example_nlls(cohort, 0, TokenSource(CPU), plan, rows=rows)
    expected = one_by_one(bench, plan)
    np.testing.assert_allclose(sums, expected, rtol=1e-5)
    num_tokens = plan.num_targets
    # Weighted by tokens: not the mean of the examples' means.
    assert mean_nll(sums, plan) == pytest.approx(expected.sum() / num_tokens, rel=1e-5)


@pytest.mark.parametrize("base_kind", ["gpt_neo", "llama"])
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("kept", [False, True], ids=["tokens", "hidden states"])
def test_any_tokens_of_a_row_may_be_supervised(
    kit: Kit, base_kind: str, rows: int, kept: bool
) -> None:
    """As a chat's turns: several stretches in a row, as Transformers' labels have them."""
    bench = kit.bench(base_kind)
    tokens = kit.plan(9, prompt=(3, 30)).tokens
    draw = np.random.default_rng(5)
    masks = [draw.random(len(tokens[i])) < 0.4 for i in range(9)]
    for mask in masks:
        mask[0], mask[1] = False, True
    plan = BatchPlan(
        tokens, np.concatenate(masks), rows_per_step=4, max_length=64, pad_id=kit.plan(1).pad_id
    )
    expected = []
    for i, mask in enumerate(masks):
        labels = np.where(mask, tokens[i], -100).astype(np.int64)
        ids = torch.from_numpy(tokens[i].astype(np.int64))[None]
        with torch.no_grad():
            mean = bench.pristine(input_ids=ids, labels=torch.from_numpy(labels)[None]).loss
        expected.append(mean.item() * int(mask.sum()))
    with Cohort(bench.base, [], 1) as cohort:
        source: BatchSource = TokenSource(CPU)
        if kept:
            source = HiddenStateSource({plan: keep_hidden_states(cohort, plan, rows=rows)}, CPU)
        sums = example_nlls(cohort, 0, source, plan, rows=rows)
    np.testing.assert_allclose(sums, expected, rtol=1e-5)


def test_a_slot_is_evaluated_as_if_it_were_alone(kit: Kit) -> None:
    """To the bit, with a neighbour of another method or with NaN in all its tensors."""
    bench = kit.bench("gpt_neo")
    lora, prompt = bench.method("lora", rank=2), bench.method("soft_prompt", prompt_length=5)
    plan = kit.plan(9)
    outcomes = []
    for neighbour in (None, 1.0, float("nan")):
        with Cohort(bench.base, [lora, prompt], 2) as cohort:
            cohort.seat(1, lora, kit.perturbed(lora, seed=1))
            if neighbour is not None:
                tensors = {n: t * neighbour for n, t in kit.perturbed(prompt, seed=2).items()}
                cohort.seat(0, prompt, tensors)
            outcomes.append(example_nlls(cohort, 1, TokenSource(CPU), plan))
    assert np.array_equal(outcomes[0], outcomes[1])
    assert np.array_equal(outcomes[0], outcomes[2])
    with Cohort(bench.base, [], 1) as untuned:
        base_nlls = example_nlls(untuned, 0, TokenSource(CPU), plan)
    assert not np.allclose(outcomes[0], base_nlls, rtol=1e-3)


class SmallDevice(TokenSource):
    def __init__(self, limit: int) -> None:
        super().__init__(CPU)
        self.limit = limit
        self.rows: list[int] = []

    def losses(
        self, cohort: Cohort, packed: Packed, scale_K: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        assert packed.ids_KBT is not None
        rows = packed.ids_KBT.shape[1]
        self.rows.append(rows)
        if rows > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        return super().losses(cohort, packed, scale_K)


def test_out_of_memory_halves_the_rows(kit: Kit) -> None:
    bench = kit.bench("llama")
    plan = kit.plan(11)
    with Cohort(bench.base, [], 1) as cohort:
        expected = example_nlls(cohort, 0, TokenSource(CPU), plan)
        batch_source = SmallDevice(limit=3)
        sums = example_nlls(cohort, 0, batch_source, plan, rows=8)
        assert batch_source.rows == [8, 4, 2, 2, 2, 2, 2, 1]
        np.testing.assert_allclose(sums, expected, rtol=1e-6)
        with pytest.raises(OutOfMemoryError, match="one row"):
            example_nlls(cohort, 0, SmallDevice(limit=0), plan)


def test_other_errors_pass(kit: Kit) -> None:
    bench = kit.bench("llama")

    class Broken(TokenSource):
        def losses(
            self, cohort: Cohort, packed: Packed, scale_K: Tensor | None = None
        ) -> tuple[Tensor, Tensor]:
            raise RuntimeError("sizes do not match")

    with (
        Cohort(bench.base, [], 1) as cohort,
        pytest.raises(RuntimeError, match="sizes do not match"),
    ):
        example_nlls(cohort, 0, Broken(CPU), kit.plan(3))

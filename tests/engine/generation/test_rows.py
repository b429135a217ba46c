"""Rows that share a pass: each is written as if it were alone, in any batch, from its own draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation import rows
from bakeoff.engine.generation.generate import generate
from bakeoff.errors import OutOfMemoryError
from tests.engine.generation.reference_texts import Prompts, options_of, seated, tuned

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit


@pytest.mark.parametrize("strategy", ["greedy", "beam"])
def test_slots_generate_together_as_each_alone(
    kit: Kit, bench: Bench, prompts: Prompts, strategy: Any
) -> None:
    """Untuned (an empty slot), LoRA twice and two lengths of soft prompts, one of them left out."""
    pairs = [
        tuned(kit, bench, "lora", {"rank": 4, "alpha": 8.0}),
        tuned(kit, bench, "soft_prompt", {"prompt_length": 6}),
        tuned(kit, bench, "soft_prompt", {"prompt_length": 2}),
        tuned(kit, bench, "lora", {"rank": 1, "target_modules": "all-linear"}),
    ]
    options = options_of(strategy=strategy, num_beams=2, batch_rows=9)
    cohort = Cohort(bench.base, [method for method, _ in pairs], 5)
    for slot, (method, tensors) in enumerate(pairs):
        cohort.seat(slot, method, tensors)
    told: list[tuple[int, int]] = []
    with cohort:
        together = generate(
            cohort, [0, 1, 2, 4], prompts, options, lambda done, total: told.append((done, total))
        )
    # Nine rows are two prompts of four slots.
    assert told == [(2, 5), (4, 5), (5, 5)]
    for index, slot in enumerate([0, 1, 2]):
        with seated(bench, pairs[slot]) as solo:
            [alone] = generate(solo, [0], prompts, options)
        assert together[index] == alone, slot
    with Cohort(bench.base, [], 1) as empty:
        [untuned] = generate(empty, [0], prompts, options)
    assert together[3] == untuned
    assert len({str(found) for found in together}) == 4


def test_heads_generate_together_as_each_alone(kit: Kit, bench: Bench, prompts: Prompts) -> None:
    for tied in (False, True):
        method = bench.method("head", tied=tied)
        pairs = [(method, kit.perturbed(method, seed=s, spread=0.1)) for s in range(2)]
        with seated(bench, *pairs) as cohort:
            for strategy in ("greedy", "beam"):
                options = options_of(strategy=strategy)
                together = generate(cohort, [0, 1], prompts, options)
                for slot in range(2):
                    with seated(bench, pairs[slot]) as solo:
                        assert generate(solo, [0], prompts, options) == [together[slot]]
                assert together[0] != together[1]
    assert bench.untouched()


def test_a_prompt_does_not_depend_on_its_batch(kit: Kit, bench: Bench, prompts: Prompts) -> None:
    with Cohort(bench.base, [], 1) as cohort:
        [together] = generate(cohort, [0], prompts, options_of())
        singly = [generate(cohort, [0], [prompt], options_of())[0][0] for prompt in prompts]
        assert together == singly
        assert generate(cohort, [0], [], options_of()) == [[]]


@pytest.mark.parametrize("strategy", ["greedy", "sample"])
def test_what_is_written_is_told_batch_by_batch(
    kit: Kit, bench: Bench, prompts: Prompts, strategy: Any
) -> None:
    pairs = [tuned(kit, bench, "lora", {"rank": r}) for r in (1, 3)]
    told: list[tuple[int, list[int]]] = []
    texts: dict[tuple[int, int], list[int]] = {}

    def written(slot: int, chosen: NDArray[np.int64], ids: list[list[int]]) -> None:
        told.append((slot, chosen.tolist()))
        texts.update({(slot, int(i)): row for i, row in zip(chosen, ids, strict=True)})

    with seated(bench, *pairs) as cohort:
        options = options_of(strategy=strategy, batch_rows=4)
        found = generate(cohort, [0, 1], prompts, options, written=written)
    assert {key: found[key[0]][key[1]] for key in texts} == texts
    assert len(texts) == 2 * len(prompts)
    assert len(told) > 2, "batches, and not all at the end"


@pytest.mark.parametrize("strategy", ["greedy", "beam"])
def test_out_of_memory_halves_the_rows(
    kit: Kit, bench: Bench, prompts: Prompts, monkeypatch: pytest.MonkeyPatch, strategy: Any
) -> None:
    options = options_of(strategy=strategy, batch_rows=4)
    asked: list[int] = []
    limit = 1
    original = Cohort.embed

    def embed(self: Cohort, ids_KBT: Tensor) -> Tensor:
        if ids_KBT.shape[-1] > 1:
            asked.append(ids_KBT.shape[1])
        if ids_KBT.shape[1] > limit:
            raise torch.OutOfMemoryError("out of memory")
        return original(self, ids_KBT)

    with Cohort(bench.base, [], 1) as cohort:
        expected = generate(cohort, [0], prompts, options)
        monkeypatch.setattr(Cohort, "embed", embed)
        assert generate(cohort, [0], prompts, options) == expected
        assert asked == [4, 2, 1, 1, 1, 1, 1]
        limit = 0
        with pytest.raises(OutOfMemoryError, match="one prompt a slot"):
            generate(cohort, [0], prompts, options)


def test_sampling_is_repeatable_and_differs_by_seed(
    kit: Kit, bench: Bench, prompts: Prompts
) -> None:
    with Cohort(bench.base, [], 1) as cohort:

        def draw(seed: int) -> Sequence[object]:
            torch.rand(3)  # the caller's own draws make no difference
            return generate(cohort, [0], prompts, options_of(strategy="sample", seed=seed))

        assert draw(1) == draw(1)
        assert draw(1) != draw(2)


def test_what_is_sampled_does_not_depend_on_how_much_memory_is_free(
    kit: Kit, bench: Bench, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, found = options_of(strategy="sample", max_new_tokens=6), []
    for fitting in (2, 4):
        monkeypatch.setattr(rows, "rows_that_fit", lambda *_, fitting=fitting: fitting)
        with Cohort(bench.base, [], 1) as cohort:
            found.append(generate(cohort, [0], prompts, options))
    assert found[0] == found[1]


def test_what_a_slot_samples_does_not_depend_on_its_neighbours(
    kit: Kit, bench: Bench, prompts: Prompts
) -> None:
    options = options_of(strategy="sample", batch_rows=2)
    pairs = [tuned(kit, bench, "lora", {"rank": r}) for r in (1, 3)]
    with seated(bench, *pairs) as cohort:
        together = generate(cohort, [0, 1], prompts, options)
    for slot in range(2):
        with seated(bench, pairs[slot]) as solo:
            assert generate(solo, [0], prompts, options) == [together[slot]]

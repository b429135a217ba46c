"""The form of a greedy step that a graph captures, run without one, against the open form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff.engine.backends.worker_threads import Lanes
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation import generate as generation
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.generation.greedy import Greedy
from bakeoff.engine.generation.repeats import block_repeats

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

NUM_PROMPTS = 11
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"rank": 3}),
    ("soft_prompt", {"prompt_length": 5}),
    ("prefix", {"prefix_length": 4}),
]


@pytest.fixture(scope="module", params=["gpt_neo", "llama"])
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param)


@pytest.fixture(scope="module")
def prompts(kit: Kit) -> list[NDArray[np.int32]]:
    return kit.rows(NUM_PROMPTS, (3, 40), np.random.default_rng(19))


@pytest.fixture
def cohort(kit: Kit, bench: Bench) -> Cohort:
    methods = [bench.method(kind, **options) for kind, options in KINDS]
    cohort = Cohort(bench.base, methods, len(methods))
    for slot, method in enumerate(methods):
        cohort.seat(slot, method, kit.perturbed(method, seed=23 + slot, spread=0.1))
    return cohort


@pytest.fixture
def no_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "lanes_of", lambda base: Lanes(1))


def ends_early(monkeypatch: pytest.MonkeyPatch, share: int) -> None:
    """Makes some rows end early: their end token is the likeliest whenever it is not blocked."""
    original = Greedy._logits

    def logits(self: Greedy, last_RD: Tensor) -> Tensor:
        found = original(self, last_RD)
        # Follows from the row's own content, so that it does not hang on its place in the batch.
        marks = last_RD[:, 0].float().mul(50).long().remainder(share) == 0
        found[marks, self._end_id] = 1e6
        return found

    monkeypatch.setattr(Greedy, "_logits", logits)


@pytest.mark.usefixtures("no_lanes")
@pytest.mark.parametrize("share", [1_000_000, 6])
@pytest.mark.parametrize("ngram", [0, 2, 3])
def test_the_frozen_step_writes_what_the_open_one_writes(
    cohort: Cohort,
    prompts: list[NDArray[np.int32]],
    monkeypatch: pytest.MonkeyPatch,
    ngram: int,
    share: int,
) -> None:
    ends_early(monkeypatch, share)
    options = GenerationOptions(max_new_tokens=40, no_repeat_ngram=ngram, batch_rows=12)
    slots = list(range(len(KINDS)))
    with cohort:
        expected = generate(cohort, slots, prompts, options)

        def frozen(*arguments: Any, **settings: Any) -> Greedy:
            return Greedy(*arguments, **settings, frozen=True)

        monkeypatch.setattr(generation, "Greedy", frozen)
        assert generate(cohort, slots, prompts, options) == expected
    lengths = {len(row) for texts in expected for row in texts}
    assert len(lengths) > 3 if share == 6 else lengths >= {40}


def test_rows_that_have_ended_leave(
    cohort: Cohort, prompts: list[NDArray[np.int32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_early(monkeypatch, 4)
    monkeypatch.setattr(generation, "lanes_of", lambda base: Lanes(1))
    widths: list[int] = []
    original = Greedy._token

    def token(self: Greedy, rows: Any, step: int) -> None:
        widths.append(len(rows.next_R))
        original(self, rows, step)

    monkeypatch.setattr(Greedy, "_token", token)
    with cohort:
        generate(cohort, [0, 1, 2], prompts, GenerationOptions(max_new_tokens=40, batch_rows=33))
    assert widths[0] == 33
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 33
    assert all(width % 3 == 0 for width in widths)


@pytest.mark.parametrize("num_lanes", [2, 3])
def test_lanes_write_what_one_lane_writes(
    cohort: Cohort,
    prompts: list[NDArray[np.int32]],
    monkeypatch: pytest.MonkeyPatch,
    num_lanes: int,
) -> None:
    options = GenerationOptions(max_new_tokens=12, batch_rows=9)
    found = []
    with cohort:
        for count in (1, num_lanes):
            monkeypatch.setattr(generation, "lanes_of", lambda base, count=count: Lanes(count))
            found.append(generate(cohort, [0, 1, 2], prompts, options))
    assert found[0] == found[1]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5])
def test_blocking_counts_only_what_is_written(size: int) -> None:
    generator = torch.Generator().manual_seed(29)
    generated_RG = torch.randint(4, (6, 12), generator=generator)
    for written in range(12):
        expected = torch.randn(6, 9, generator=generator)
        actual = expected.clone()
        block_repeats(expected, generated_RG[:, :written], size)
        block_repeats(actual, generated_RG, size, torch.tensor([written]))
        assert torch.equal(actual, expected), written

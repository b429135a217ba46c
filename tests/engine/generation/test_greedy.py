"""The form of a greedy step that a graph captures, run without one, against the open form."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bakeoff.engine.backends.worker_threads import WorkerThreads
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation import generate as generation
from bakeoff.engine.generation import greedy as greedy_module
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.generation.greedy import Greedy
from bakeoff.engine.generation.repeats import block_repeats

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

from tests.engine.backends.stub_graphs import Stream, stub_graphs
from tests.engine.generation.reference_texts import ends_early

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
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "worker_threads_of", lambda base: WorkerThreads(1))


@pytest.mark.usefixtures("no_workers")
@pytest.mark.parametrize("share", [1_000_000, 6])
@pytest.mark.parametrize("ngram", [0, 2, 3])
def test_the_frozen_step_writes_what_the_open_one_writes(
    cohort: Cohort,
    prompts: list[NDArray[np.int32]],
    monkeypatch: pytest.MonkeyPatch,
    ngram: int,
    share: int,
) -> None:
    ends_early(monkeypatch, share, Greedy)
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


class Watched(Greedy):
    """A frozen loop that says what it holds.

    Attributes:
        made: all of them. held: bytes of the cache's memory after each step.
        shapes: (rows, positions) of each step's cache.
    """

    made: ClassVar[list[Watched]] = []
    captures_too = False

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings, frozen=True, capture=self.captures_too)
        self._check_every = 4
        self.held: list[int] = []
        self.shapes: list[tuple[int, int]] = []
        self.made.append(self)

    def _captured(self, rows: Any, step: int) -> Any:
        graph = super()._captured(rows, step)
        assert graph is not None or not rows.cache._masks, "memory of a capture that failed"
        return graph

    def _advance(self, rows: Any, step: int) -> None:
        super()._advance(rows, step)
        assert self._storage is not None
        self.held.append(self._storage.cache.nbytes)
        self.shapes.append((len(rows.next_R), rows.cache.capacity))


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    monkeypatch.setattr(generation, "worker_threads_of", lambda base: WorkerThreads(1))
    monkeypatch.setattr(generation, "Greedy", Watched)
    # The bases here have few positions, so that a small step stands for the usual one.
    monkeypatch.setattr(greedy_module, "_ROOM", 8)
    monkeypatch.setattr(Watched, "made", [])
    return Watched


def test_batches_of_all_lengths_take_turns_in_one_memory(
    kit: Kit, bench: Bench, watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_early(monkeypatch, 8, Greedy)
    prompts = kit.rows(45, (3, 60), np.random.default_rng(23))
    with Cohort(bench.base, [], 1) as cohort:
        generate(cohort, [0], prompts, GenerationOptions(max_new_tokens=40, batch_rows=8))
    [loop] = watched.made
    assert len({capacity for _, capacity in loop.shapes}) > 3
    assert len({rows for rows, _ in loop.shapes}) > 1
    # What the largest batch alone needs: keys and values of 8 rows in float32.
    config: Any = bench.base.model.config
    heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
    width = config.hidden_size // config.num_attention_heads
    largest = max(rows * capacity for rows, capacity in loop.shapes)
    assert set(loop.held) == {2 * config.num_hidden_layers * heads * width * largest * 4}
    assert loop._storage is None and not loop._graphs, "nothing outlives the call"


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 11, 12])
def test_rows_are_filled_up_to_powers_of_two_and_no_further_than_asked_for(
    cohort: Cohort,
    prompts: list[NDArray[np.int32]],
    watched: type[Watched],
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
) -> None:
    slots = [0, 1, 2]
    options = GenerationOptions(max_new_tokens=20, batch_rows=3 * rows)
    with cohort:
        found = generate(cohort, slots, prompts, options)
        monkeypatch.setattr(generation, "Greedy", Greedy)
        assert generate(cohort, slots, prompts, options) == found
    by_slot = {total // 3 for total, _ in watched.made[0].shapes}
    assert max(by_slot) <= rows
    assert by_slot <= {1, 2, 4, 8}


def test_captured_tokens_are_the_tokens_and_batches_share_their_graphs(
    cohort: Cohort,
    prompts: list[NDArray[np.int32]],
    watched: type[Watched],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends_early(monkeypatch, 4, Greedy)
    monkeypatch.setattr(Watched, "captures_too", True)
    monkeypatch.setattr(greedy_module, "_ROOM", 128)
    options = GenerationOptions(max_new_tokens=40, batch_rows=12)
    with cohort, stub_graphs() as stub:
        found = generate(cohort, [0, 1, 2], prompts, options)
        assert len(stub.captures) == len(set(watched.made[0].shapes)) > 1
        assert Stream.made == 1
        stub.fails = lambda: torch.OutOfMemoryError("CUDA out of memory")
        before = len(stub.captures)
        assert generate(cohort, [0, 1, 2], prompts, options) == found
        assert len(stub.captures) == 2 * before, "what has no memory for a graph is not tried again"
    monkeypatch.setattr(generation, "Greedy", Greedy)
    with cohort:
        assert generate(cohort, [0, 1, 2], prompts, options) == found


def test_running_out_of_memory_drops_caches_and_graphs(
    cohort: Cohort,
    prompts: list[NDArray[np.int32]],
    watched: type[Watched],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Watched, "captures_too", True)
    options = GenerationOptions(max_new_tokens=12, batch_rows=24)
    seen: list[tuple[object, int]] = []
    monkeypatch.setattr(
        generation,
        "release_memory",
        lambda: seen.append((watched.made[-1]._storage, len(watched.made[-1]._graphs))),
    )
    original = Watched._going

    def going(self: Watched, rows: Any) -> int:
        if len(rows.next_R) > 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, rows)

    with cohort, stub_graphs():
        expected = generate(cohort, [0, 1, 2], prompts, replace(options, batch_rows=12))
        monkeypatch.setattr(Watched, "_going", going)
        assert generate(cohort, [0, 1, 2], prompts, options) == expected
    assert seen == [(None, 0)]


def test_rows_that_have_ended_leave(
    cohort: Cohort, prompts: list[NDArray[np.int32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_early(monkeypatch, 4, Greedy)
    monkeypatch.setattr(generation, "worker_threads_of", lambda base: WorkerThreads(1))
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


@pytest.mark.parametrize("num_workers", [2, 3])
def test_workers_write_what_one_worker_writes(
    cohort: Cohort,
    prompts: list[NDArray[np.int32]],
    monkeypatch: pytest.MonkeyPatch,
    num_workers: int,
) -> None:
    options = GenerationOptions(max_new_tokens=12, batch_rows=9)
    found = []
    with cohort:
        for count in (1, num_workers):
            monkeypatch.setattr(
                generation, "worker_threads_of", lambda base, count=count: WorkerThreads(count)
            )
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

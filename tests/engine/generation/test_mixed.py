"""Text of rows that each name their slot: what each writes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation import mixed
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.generation.greedy import Greedy
from bakeoff.engine.generation.mixed import generate_rows
from bakeoff.errors import OutOfMemoryError
from tests.engine.generation.reference_texts import Prompts, ends_early, options_of, seated, tuned

if TYPE_CHECKING:
    from bakeoff.methods.contract import Method, Tensors
    from tests.engine.conftest import Bench, Kit

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"rank": 4, "target_modules": "all-linear"}),
    ("soft_prompt", {"prompt_length": 6}),
    ("prefix", {"prefix_length": 3}),
    ("p_tuning", {"prompt_length": 2}),
    ("bottleneck", {"size": 4}),
    ("dora", {"rank": 2}),
    ("ia3", {}),
    ("prefix", {"prefix_length": 5, "projection": True}),
    ("bitfit", {"norms": True}),
    ("head", {"tied": True}),
    ("last_layers", {"num_layers": 1}),
]
EMPTY = len(KINDS)
"""The slot of the untuned base."""
NUM_ROWS = 30


@pytest.fixture(scope="module")
def pairs(kit: Kit, bench: Bench) -> list[tuple[Method, Tensors]]:
    return [tuned(kit, bench, kind, options) for kind, options in KINDS]


@pytest.fixture
def cohort(bench: Bench, pairs: list[tuple[Method, Tensors]]) -> Cohort:
    cohort = Cohort(bench.base, [method for method, _ in pairs], len(pairs) + 1)
    for slot, (method, tensors) in enumerate(pairs):
        cohort.seat(slot, method, tensors)
    return cohort


@pytest.fixture(scope="module")
def rows(kit: Kit) -> tuple[list[int], Prompts]:
    """Slots in no order, every one at least once, and prompts."""
    draw = np.random.default_rng(29)
    others = draw.integers(0, EMPTY + 1, size=NUM_ROWS - EMPTY - 1)
    slots = draw.permutation([*range(EMPTY + 1), *others.tolist()]).tolist()
    return slots, kit.rows(NUM_ROWS, (3, 40), draw)


@pytest.mark.parametrize("no_repeat_ngram", [0, 2])
@pytest.mark.parametrize("batch_rows", [NUM_ROWS, 7])
def test_rows_of_all_methods_are_written_as_each_alone(
    bench: Bench,
    pairs: list[tuple[Method, Tensors]],
    cohort: Cohort,
    rows: tuple[list[int], Prompts],
    monkeypatch: pytest.MonkeyPatch,
    no_repeat_ngram: int,
    batch_rows: int,
) -> None:
    ends_early(monkeypatch, 5, Greedy, mixed._GreedyRows)
    slots, prompts = rows
    options = options_of(no_repeat_ngram=no_repeat_ngram, batch_rows=batch_rows)
    told: list[tuple[int, int]] = []
    with cohort:
        found = generate_rows(cohort, slots, prompts, options, lambda *done: told.append(done))
    expected: list[list[int]] = [[] for _ in prompts]
    for slot in range(EMPTY + 1):
        mine = [row for row, named in enumerate(slots) if named == slot]
        with seated(bench, *pairs[slot : slot + 1]) as solo:
            [texts] = generate(solo, [0], [prompts[row] for row in mine], options)
        for row, ids in zip(mine, texts, strict=True):
            expected[row] = ids
    assert found == expected
    assert told[-1] == (NUM_ROWS, NUM_ROWS) and len(told) == -(-NUM_ROWS // batch_rows)
    lengths = {len(row) for row in found}
    assert len(lengths) > 4, "rows end at different steps"
    assert bench.untouched()


def test_rows_that_have_ended_leave(
    cohort: Cohort, rows: tuple[list[int], Prompts], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_early(monkeypatch, 5, Greedy, mixed._GreedyRows)
    widths: list[int] = []
    original = mixed._GreedyRows._embed

    def embed(self: Any, ids_R: Tensor) -> Tensor:
        widths.append(len(ids_R))
        return original(self, ids_R)

    monkeypatch.setattr(mixed._GreedyRows, "_embed", embed)
    with cohort:
        generate_rows(cohort, *rows, options_of(batch_rows=NUM_ROWS))
    assert widths[0] == NUM_ROWS
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < NUM_ROWS / 2


@pytest.mark.parametrize("strategy", ["beam", "sample"])
def test_other_strategies_write_slot_by_slot(
    kit: Kit, bench: Bench, prompts: Prompts, strategy: Any
) -> None:
    lora = [tuned(kit, bench, "lora", {"rank": rank}) for rank in (1, 3)]
    options = options_of(strategy=strategy, num_beams=2, seed=3)
    slots = [1, 0, 1, 1, 0]
    told: list[tuple[int, int]] = []
    with seated(bench, *lora) as cohort:
        found = generate_rows(cohort, slots, prompts, options, lambda *done: told.append(done))
        for slot in range(2):
            mine = [row for row, named in enumerate(slots) if named == slot]
            [texts] = generate(cohort, [slot], [prompts[row] for row in mine], options)
            assert [found[row] for row in mine] == texts
    assert told == [(2, 5), (5, 5)]


def test_nothing_and_too_little_are_asked_for(cohort: Cohort, prompts: Prompts) -> None:
    with cohort:
        assert generate_rows(cohort, [], [], options_of()) == []
        with pytest.raises(ValueError, match="1 slots are named for 5 prompts"):
            generate_rows(cohort, [0], prompts, options_of())


def test_out_of_memory_halves_the_rows(
    cohort: Cohort, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    limit = 1
    original = mixed._GreedyRows.write

    def write(self: Any, prompts: Prompts) -> Tensor:
        asked.append(len(prompts))
        if len(prompts) > limit:
            raise torch.OutOfMemoryError("out of memory")
        return original(self, prompts)

    slots = [3, 0, 2, 3, 1]
    with cohort:
        expected = generate_rows(cohort, slots, prompts, options_of())
        monkeypatch.setattr(mixed._GreedyRows, "write", write)
        assert generate_rows(cohort, slots, prompts, options_of(batch_rows=4)) == expected
        assert asked == [4, 2, 1, 1, 1, 1, 1]
        limit = 0
        with pytest.raises(OutOfMemoryError, match="one prompt; lower"):
            generate_rows(cohort, slots, prompts, options_of())

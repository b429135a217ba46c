"""The likelihood of choices against a plain loop, whatever else is in the batch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.base.weights.sources import load_source
from bakeoff.engine import choice_packing
from bakeoff.engine import choose as choosing
from bakeoff.engine.acceleration import accelerated
from bakeoff.engine.backends.worker_threads import WorkerThreads
from bakeoff.engine.choose import choose, choose_rows
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.errors import DataError, OutOfMemoryError
from bakeoff.methods.contract import Method
from bakeoff.methods.registry import method_type
from tests.engine.reference_choices import (
    METHODS,
    Examples,
    examples_of,
    largest_gap,
    method_id,
    plain_model,
    plain_nlls,
    seated,
)

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

# Transformers warns of a name that PEFT still reads.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

LOOP = 1e-4
"""Against a plain loop, in nats of a whole choice."""
NEIGHBOURS = 1e-5
OWN_WEIGHTS: list[tuple[str, dict[str, Any]]] = [
    ("head", {"tied": False}),
    ("head", {"tied": True}),
    ("last_layers", {"num_layers": 1}),
    ("full", {}),
    ("peft", {"peft_type": "LOHA", "r": 2}),
]
BASES = ["gpt_neo", "llama", "gpt2", "opt", "gpt_neox", "mistral"]


def method_of(bench: Bench, kind: str, options: dict[str, Any]) -> Method:
    """As a study reads it: which options PEFT's methods have depends on the type."""
    chosen = method_type(kind, where="methods.test")
    return chosen(chosen.read_options(options), bench.base, where="methods.test")


@pytest.fixture(scope="module")
def examples(kit: Kit) -> Examples:
    return examples_of(kit)


@pytest.fixture(scope="module", params=["gpt_neo", "llama"])
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param)


@pytest.mark.parametrize("base_kind", BASES)
def test_choices_are_as_likely_as_transformers_says(
    kit: Kit, base_kind: str, examples: Examples
) -> None:
    bench = kit.bench(base_kind)
    expected = plain_nlls(bench.pristine, *examples)
    with Cohort(bench.base, [], 1) as cohort:
        [found] = choose(cohort, [0], *examples)
    assert largest_gap(found, expected) <= LOOP
    assert all((nlls > 0).all() and nlls.dtype == np.float64 for nlls in found)
    assert max(nlls.max() for nlls in expected) > 20, "long choices are among them"
    assert bench.untouched()


@pytest.mark.parametrize("base_kind", ["gpt_neo", "llama", "gpt2"])
@pytest.mark.parametrize(
    "entry", [e for e in METHODS + OWN_WEIGHTS if e[0] != "bottleneck"], ids=method_id
)
def test_choices_of_a_candidate_are_as_likely_as_a_plain_loop_says(
    kit: Kit, base_kind: str, entry: tuple[str, dict[str, Any]], examples: Examples, tmp_path: Path
) -> None:
    """With PEFT's model around Transformers', or with the candidate's weights in it."""
    if (base_kind, entry[0]) == ("gpt2", "peft"):
        entry = ("peft", {"peft_type": "FOURIERFT", "n_frequency": 8})
    bench = kit.bench(base_kind)
    method = method_of(bench, *entry)
    tensors = kit.perturbed(method, seed=5, spread=0.1)
    expected = plain_nlls(plain_model(bench, method, tensors, tmp_path), *examples)
    with seated(bench, [(method, tensors)]) as cohort:
        [found] = choose(cohort, [0], *examples)
    assert largest_gap(found, expected) <= LOOP
    assert largest_gap(found, plain_nlls(bench.pristine, *examples)) > 0.01, "the candidate acts"
    assert bench.untouched()


def test_the_tiny_base_answers_as_a_plain_loop() -> None:
    source = load_source("tiny", root=Path.cwd(), cache_dir=Path.cwd())
    tokenizer: Any = source.tokenizer
    prompts = [
        np.array(tokenizer(text)["input_ids"], dtype=np.int32)
        for text in ("The mayor said on Monday that", "Rain", "A court in the north has ruled " * 9)
    ]
    texts = [[" the", " a new bridge", " yes", " it will open in May"], [" fell"], [" no", " ."]]
    choices = [
        [np.array(tokenizer(text)["input_ids"], dtype=np.int32) for text in of_example]
        for of_example in texts
    ]
    expected = plain_nlls(source.model, prompts, choices)
    base = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    with Cohort(base, [], 1) as cohort:
        [found] = choose(cohort, [0], prompts, choices)
    assert largest_gap(found, expected) <= LOOP
    assert len({len(ids) for of_example in choices for ids in of_example}) > 2


@pytest.mark.parametrize("base_kind", ["gpt_neo", "llama", "mistral"])
def test_slots_of_all_methods_choose_together_as_each_alone(
    kit: Kit, base_kind: str, examples: Examples
) -> None:
    bench = kit.bench(base_kind)
    pairs = []
    for number, (kind, options) in enumerate([*METHODS, *OWN_WEIGHTS[:3:2]]):
        method = bench.method(kind, **options)
        pairs.append((method, kit.perturbed(method, seed=number, spread=0.1)))
    empty = len(pairs)
    alone = []
    for pair in pairs:
        with seated(bench, [pair]) as solo:
            alone += choose(solo, [0], *examples)
    with Cohort(bench.base, [], 1) as untuned:
        alone += choose(untuned, [0], *examples)
    answers = {str(np.concatenate(found).round(2)) for found in alone}
    assert len(answers) == empty + 1, "all answer differently"

    cohort = Cohort(bench.base, [method for method, _ in pairs], empty + 1)
    for slot, (method, tensors) in enumerate(pairs):
        cohort.seat(slot, method, tensors)
    with cohort:
        # Every slot the same examples, in an order of the caller's, one twice.
        slots = [empty, 3, 0, 3, *range(4, empty), 1, 2]
        for slot, found in zip(slots, choose(cohort, slots, *examples), strict=True):
            assert largest_gap(found, alone[slot]) <= NEIGHBOURS, slot
        # Rows of any slots, in any order and number.
        draw = np.random.default_rng(11)
        slot_R = draw.integers(0, empty + 1, size=40)
        example_R = draw.integers(0, len(examples[0]), size=40)
        prompts = [examples[0][example] for example in example_R]
        choices = [examples[1][example] for example in example_R]
        for batch_rows in (40, 7):
            mixed = choose_rows(cohort, slot_R, prompts, choices, batch_rows=batch_rows)
            expected = [alone[s][e] for s, e in zip(slot_R, example_R, strict=True)]
            assert largest_gap(mixed, expected) <= NEIGHBOURS
    assert bench.untouched()


@pytest.mark.parametrize("kind", ["full", "peft"])
def test_a_base_of_ones_own_takes_rows(
    kit: Kit, bench: Bench, examples: Examples, kind: str
) -> None:
    method = method_of(bench, kind, dict(OWN_WEIGHTS)[kind])
    with seated(bench, [(method, kit.perturbed(method, seed=1))]) as cohort:
        [expected] = choose(cohort, [0], *examples)
        found = choose_rows(cohort, [0] * len(examples[0]), *examples, batch_rows=3)
    assert largest_gap(found, expected) <= NEIGHBOURS


def passes_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The [rows, positions] of every pass through a base from now on."""
    seen: list[tuple[int, ...]] = []
    original = Base.hidden_states

    def hidden_states(self: Base, embeds_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        seen.append(tuple(embeds_BTD.shape[:2]))
        return original(self, embeds_BTD, positions_BT)

    monkeypatch.setattr(Base, "hidden_states", hidden_states)
    return seen


def test_a_prompt_is_computed_once_for_all_its_choices(
    kit: Kit, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(1)
    prompts = kit.rows(3, (20, 20), draw)
    single = [kit.rows(4, (1, 1), draw) for _ in prompts]
    longer = [kit.rows(4, (5, 5), draw) for _ in prompts]
    seen = passes_of(monkeypatch)
    with Cohort(bench.base, [], 1) as cohort:
        choose(cohort, [0], prompts, single)
        assert seen == [(3, 20)], "one token needs no pass of its own"
        seen.clear()
        choose(cohort, [0], prompts, longer)
        assert seen == [(3, 20), (3, 4 * 4)], "the last token of a choice is not read"


def test_many_choices_are_read_in_several_passes(
    kit: Kit, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(2)
    prompts = kit.rows(4, (3, 30), draw)
    choices = [kit.rows(number, (1, 9), draw) for number in (1, 30, 7, 19)]
    with Cohort(bench.base, [], 1) as cohort:
        [expected] = choose(cohort, [0], prompts, choices)
        assert largest_gap(expected, plain_nlls(bench.pristine, prompts, choices)) <= LOOP
        monkeypatch.setattr(
            choosing, "pack", lambda of_example: choice_packing.pack(of_example, most=11)
        )
        seen = passes_of(monkeypatch)
        [found] = choose(cohort, [0], prompts, choices)
    assert len(seen) > 8 and max(width for _, width in seen[1:]) <= 11
    assert largest_gap(found, expected) <= NEIGHBOURS


def test_examples_may_share_a_list_of_choices(kit: Kit, bench: Bench) -> None:
    draw = np.random.default_rng(4)
    prompts, labels = kit.rows(5, (3, 30), draw), kit.rows(3, (1, 3), draw)
    with Cohort(bench.base, [], 1) as cohort:
        [shared] = choose(cohort, [0], prompts, [labels] * 5)
        [apart] = choose(cohort, [0], prompts, [[ids.copy() for ids in labels] for _ in prompts])
    assert largest_gap(shared, apart) == 0.0


@pytest.mark.parametrize("batch_rows", [1, 2, 3])
def test_an_example_does_not_depend_on_its_batch(
    bench: Bench, examples: Examples, batch_rows: int
) -> None:
    told: list[tuple[int, int]] = []
    with Cohort(bench.base, [], 1) as cohort:
        [expected] = choose(cohort, [0], *examples)
        [found] = choose(
            cohort, [0], *examples, batch_rows=batch_rows, progress=lambda *d: told.append(d)
        )
        assert choose(cohort, [0], [], []) == [[]]
        assert choose_rows(cohort, [], [], []) == []
    assert largest_gap(found, expected) <= NEIGHBOURS
    number = len(examples[0])
    assert told == [
        (min(done, number), number) for done in range(batch_rows, number + batch_rows, batch_rows)
    ]


def test_workers_find_what_one_worker_finds(
    kit: Kit, bench: Bench, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches side by side hold other slots and numbers of rows, each in a thread of its own."""
    pairs = []
    for number, (kind, options) in enumerate(METHODS):
        method = bench.method(kind, **options)
        pairs.append((method, kit.perturbed(method, seed=number, spread=0.1)))
    slot_R = [number % len(pairs) for number in range(3 * len(examples[0]))]
    prompts, choices = examples[0] * 3, examples[1] * 3
    found = []
    with seated(bench, pairs) as cohort:
        for count in (1, 3):
            monkeypatch.setattr(
                choosing, "worker_threads_of", lambda base, count=count: WorkerThreads(count)
            )
            found.append(choose_rows(cohort, slot_R, prompts, choices, batch_rows=6))
    assert largest_gap(*found) <= NEIGHBOURS


def test_out_of_memory_halves_the_batch(
    bench: Bench, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    limit = 2
    original = Base.hidden_states

    def hidden_states(self: Base, embeds_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        asked.append(len(embeds_BTD))
        if len(embeds_BTD) > limit:
            raise torch.OutOfMemoryError("out of memory")
        return original(self, embeds_BTD, positions_BT)

    single = [[ids[:1] for ids in of_example] for of_example in examples[1]]
    with Cohort(bench.base, [], 1) as cohort:
        [expected] = choose(cohort, [0], examples[0], single)
        monkeypatch.setattr(Base, "hidden_states", hidden_states)
        [found] = choose(cohort, [0], examples[0], single, batch_rows=5)
        assert asked == [5, 2, 1, 2, 2]
        assert largest_gap(found, expected) <= NEIGHBOURS
        limit = 0
        with pytest.raises(OutOfMemoryError, match="one example per slot"):
            choose(cohort, [0], examples[0], single)


def test_bad_examples_are_refused(kit: Kit, bench: Bench) -> None:
    ids, none = np.array([5, 6], dtype=np.int32), np.zeros(0, dtype=np.int32)
    with Cohort(bench.base, [], 1) as cohort:
        for prompts, choices, message in (
            ([ids, none], [[ids], [ids]], "example 1: the prompt has no tokens"),
            ([ids, ids], [[ids], [ids, ids, none]], "example 1: choice 2 has no tokens"),
            ([ids], [[]], "example 0 has no choices"),
        ):
            with pytest.raises(DataError, match=message):
                choose(cohort, [0], prompts, choices)
        with pytest.raises(ValueError, match="2 prompts have 1 lists"):
            choose(cohort, [0], [ids, ids], [[ids]])
        with pytest.raises(ValueError, match="1 slots are named for 2 prompts"):
            choose_rows(cohort, [0], [ids, ids], [[ids], [ids]])
        with pytest.raises(IndexError, match="slots from 0 to 0"):
            choose_rows(cohort, [1], [ids], [[ids]])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(kit: Kit, examples: Examples, dtype: torch.dtype) -> None:
    exact, rounded = kit.bench("llama"), kit.bench("llama", dtype=dtype)
    found = []
    for bench in (exact, rounded):
        pairs = [(m, kit.perturbed(m, seed=2)) for m in [bench.method("prefix", prefix_length=3)]]
        with seated(bench, pairs) as cohort:
            found += choose(cohort, [0], *examples)
    assert largest_gap(*found) <= 0.3


def test_compiled_layers_are_left_for_as_long(kit: Kit, bench: Bench, examples: Examples) -> None:
    """In the middle of training, whose layers compile no form of a batch of choices."""
    method = bench.method("lora", rank=2)
    cohort = Cohort(bench.base, [method], 2, ProtocolOptions())
    for slot in range(2):
        cohort.seat(slot, method, kit.perturbed(method, seed=slot))
    with cohort:
        expected = choose(cohort, [0, 1], *examples)
        # Rows no longer than GPT-Neo's window, so that it is lifted in compiled layers.
        with accelerated(cohort, 12, EngineOptions(compile=True)):
            layers = [m for m in bench.base.model.modules() if m._compiled_call_impl is not None]
            before = [(m._compiled_call_impl, getattr(m, "window", None)) for m in layers]
            found = choose(cohort, [0, 1], *examples)
            assert bench.base.is_compiled and len(layers) == 2
            assert [(m._compiled_call_impl, getattr(m, "window", None)) for m in layers] == before
    for ours, theirs in zip(found, expected, strict=True):
        assert largest_gap(ours, theirs) == 0.0

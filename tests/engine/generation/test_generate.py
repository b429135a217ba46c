"""Generated tokens against Transformers' own ``generate``, over PEFT's models where it has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    PreTrainedModel,
)

from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.generation.repeats import block_repeats
from bakeoff.errors import ConfigError, OutOfMemoryError
from bakeoff.methods.contract import Method, Tensors

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

Prompts = list[NDArray[np.int32]]
NEW_TOKENS = 24
NUM_PROMPTS = 5
PROMPT_LENGTHS = (3, 40)  # up to beyond GPT-Neo's window of 16
BASES = ["gpt_neo", "llama"]
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("none", {}),
    ("lora", {"rank": 4, "alpha": 8.0}),
    ("soft_prompt", {"prompt_length": 5}),
    ("head", {"tied": False}),
    ("head", {"tied": True}),
    ("full", {}),
    ("prefix", {"prefix_length": 5}),
    ("prefix", {"prefix_length": 3, "projection": True}),
    ("p_tuning", {"prompt_length": 5}),
]
KIND_IDS = ["untuned", "lora", "soft_prompt", "head", "head-tied", "full"]
KIND_IDS += ["prefix", "prefix-projection", "p_tuning"]
SOFT_PROMPTS = ("soft_prompt", "p_tuning")


@pytest.fixture(scope="module", params=BASES)
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param)


@pytest.fixture(scope="module")
def prompts(kit: Kit) -> Prompts:
    return kit.rows(NUM_PROMPTS, PROMPT_LENGTHS, np.random.default_rng(17))


def tuned(kit: Kit, bench: Bench, kind: str, options: dict[str, Any]) -> tuple[Method, Tensors]:
    method = bench.method(kind, **options)
    return method, kit.perturbed(method, seed=23, spread=0.1)


def seated(bench: Bench, *pairs: tuple[Method, Tensors]) -> Cohort:
    cohort = Cohort(bench.base, [method for method, _ in pairs], max(1, len(pairs)))
    for slot, (method, tensors) in enumerate(pairs):
        cohort.seat(slot, method, tensors)
    return cohort


def reference_of(bench: Bench, method: Method, tensors: Tensors) -> PreTrainedModel:
    """Transformers' model, or PEFT's, with a candidate's tensors; a soft prompt stays outside."""
    model: Any = bench.reference()
    if method.kind == "lora":
        options: Any = method.options
        targets = sorted({name.rpartition(".")[0] for name in tensors})
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=options.rank,
            lora_alpha=options.alpha,
            target_modules=targets,
            lora_dropout=0.0,
        )
        model = get_peft_model(model, config)
        inner = model.base_model.model
        with torch.no_grad():
            for name, tensor in tensors.items():
                layer, _, part = name.rpartition(".")
                weight = getattr(inner.get_submodule(layer), f"lora_{part[-1].upper()}")
                weight["default"].weight.copy_(tensor.t())
    elif method.kind == "head":
        if not method.options.tied:
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        with torch.no_grad():
            model.lm_head.weight.copy_(tensors["weight"])
    elif method.kind == "prefix":
        options = method.options
        model = get_peft_model(
            model,
            PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=options.prefix_length),
        )
        with torch.no_grad():
            weight = model.prompt_encoder["default"].embedding.weight
            weight.copy_(method.stored(tensors)["prompt_embeddings"])
    elif method.kind == "full":
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(tensors[name])
    chosen: PreTrainedModel = model.eval()
    return chosen


class OverGenerated(LogitsProcessor):
    """Transformers' rule against repeats, over what follows the prompt."""

    def __init__(self, num_prompt: int, size: int) -> None:
        self.num_prompt, self.rule = num_prompt, NoRepeatNGramLogitsProcessor(size)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        return self.rule(input_ids[:, self.num_prompt :], scores)


def expected_tokens(
    model: Any,
    prompts: Prompts,
    end_id: int,
    *,
    soft_prompt: Tensor | None = None,
    as_embeddings: bool = False,
    **settings: Any,
) -> list[list[int]]:
    """Left-pads the prompts and lets Transformers continue them, all rows in one batch."""
    has_prefix = isinstance(model, PeftModel) and model._is_prompt_learning
    if has_prefix and len({len(prompt) for prompt in prompts}) > 1:
        # PEFT puts the prefix before the padding, which then moves it out of a local window.
        return [
            expected_tokens(model, [prompt], end_id, as_embeddings=as_embeddings, **settings)[0]
            for prompt in prompts
        ]
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), end_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.from_numpy(prompt)
        mask[row, longest - len(prompt) :] = 1
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    embedding: Any = model.get_input_embeddings()
    if soft_prompt is not None:
        # Each row: padding, the prompt's vectors, the tokens.
        rows = []
        for prompt in prompts:
            padding = embedding(torch.full((longest - len(prompt),), end_id))
            rows.append(torch.cat([padding, soft_prompt, embedding(torch.from_numpy(prompt))]))
        wide = torch.nn.functional.pad(mask, (len(soft_prompt), 0))
        for row, prompt in enumerate(prompts):
            wide[row, longest - len(prompt) :] = 1
        inputs = {"inputs_embeds": torch.stack(rows), "attention_mask": wide}
    elif as_embeddings and has_prefix:
        # PEFT takes no embeddings beside a prefix, so the rule is told where the prompt ends.
        rule = OverGenerated(longest, settings["no_repeat_ngram_size"])
        own: dict[str, Any] = {"logits_processor": LogitsProcessorList([rule])}
        settings = settings | own | {"no_repeat_ngram_size": 0}
    elif as_embeddings:
        inputs = {"inputs_embeds": embedding(ids), "attention_mask": mask}
    with torch.no_grad():
        output: Any = model.generate(
            **inputs,
            max_new_tokens=NEW_TOKENS,
            pad_token_id=end_id,
            eos_token_id=end_id,
            **settings,
        )
    start = longest if "input_ids" in inputs else 0
    found = output[:, start:].tolist()
    return [row[: row.index(end_id)] if end_id in row else row for row in found]


def options_of(**changes: Any) -> GenerationOptions:
    settings: dict[str, Any] = {"max_new_tokens": NEW_TOKENS, "no_repeat_ngram": 0}
    return GenerationOptions(**(settings | changes))


@pytest.mark.parametrize("no_repeat_ngram", [0, 2])
@pytest.mark.parametrize(("kind", "kind_options"), KINDS, ids=KIND_IDS)
def test_greedy_equals_generate_token_by_token(
    kit: Kit,
    bench: Bench,
    prompts: Prompts,
    kind: str,
    kind_options: dict[str, Any],
    no_repeat_ngram: int,
) -> None:
    pairs = [] if kind == "none" else [tuned(kit, bench, kind, kind_options)]
    model = reference_of(bench, *pairs[0]) if pairs else bench.pristine
    soft_prompt = None
    if kind in SOFT_PROMPTS:
        soft_prompt = pairs[0][0].stored(pairs[0][1])["prompt_embeddings"]
    expected = expected_tokens(
        model,
        prompts,
        bench.base.tokenizer.eos_token_id,
        soft_prompt=soft_prompt,
        # With ids, Transformers would look for repeats in the prompt as well.
        as_embeddings=no_repeat_ngram > 0,
        do_sample=False,
        no_repeat_ngram_size=no_repeat_ngram,
    )
    with seated(bench, *pairs) as cohort:
        [actual] = generate(cohort, [0], prompts, options_of(no_repeat_ngram=no_repeat_ngram))
    assert actual == expected
    assert len({tuple(row) for row in expected}) > 1, "all prompts are continued alike"
    if kind != "full":
        assert bench.untouched()


@pytest.mark.parametrize("strategy", ["beam", "sample"])
@pytest.mark.parametrize(("kind", "kind_options"), KINDS, ids=KIND_IDS)
def test_other_strategies_run_for_every_method_and_leave_the_base_alone(
    kit: Kit,
    bench: Bench,
    prompts: Prompts,
    kind: str,
    kind_options: dict[str, Any],
    strategy: Any,
) -> None:
    pairs = [] if kind == "none" else [tuned(kit, bench, kind, kind_options)]
    model = reference_of(bench, *pairs[0]) if pairs else bench.pristine
    soft_prompt = None
    if kind in SOFT_PROMPTS:
        soft_prompt = pairs[0][0].stored(pairs[0][1])["prompt_embeddings"]
    settings: dict[str, Any] = {"do_sample": False, "num_beams": 3}
    if strategy == "sample":
        settings = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 0}
    longest_first: Prompts = sorted(prompts, key=len, reverse=True)
    if kind == "prefix" and strategy == "sample":
        # One batch, since the draws depend on it, without padding.
        longest_first = [prompt[: len(longest_first[-1])] for prompt in longest_first]
    # The order in which the rows stand in the batch: among equals the last comes first.
    order = np.argsort([len(prompt) for prompt in longest_first], kind="stable")[::-1]
    torch.manual_seed(5)
    expected = expected_tokens(
        model,
        [longest_first[row] for row in order],
        bench.base.tokenizer.eos_token_id,
        soft_prompt=soft_prompt,
        as_embeddings=True,
        no_repeat_ngram_size=3,
        **settings,
    )
    expected = [expected[position] for position in np.argsort(order)]
    options = options_of(
        strategy=strategy, num_beams=3, temperature=0.7, top_p=0.9, seed=5, no_repeat_ngram=3
    )
    with seated(bench, *pairs) as cohort:
        before = generate(cohort, [0], longest_first[:1], options_of())
        weights = {n: p.clone() for n, p in cohort.base.model.state_dict().items()}
        [actual] = generate(cohort, [0], longest_first, options)
        after = cohort.base.model.state_dict()
        assert all(torch.equal(after[name], tensor) for name, tensor in weights.items())
        # The lent head is given back, and our own attention is in place again.
        assert generate(cohort, [0], longest_first[:1], options_of()) == before
        assert cohort.base.head.weight is cohort.base.embedding.weight
    assert actual == expected
    assert bench.untouched()


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


@contextmanager
def ending_with(bench: Bench, token_id: int) -> Iterator[None]:
    """Makes another token the end token."""
    tokenizer: Any = bench.base.tokenizer
    before = tokenizer.eos_token
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(token_id)
    assert tokenizer.eos_token_id == token_id
    yield
    tokenizer.eos_token = before


def test_each_row_ends_at_the_end_token(kit: Kit, bench: Bench, prompts: Prompts) -> None:
    """A token that some rows generate early, others late or never, is made the end token."""
    with Cohort(bench.base, [], 1) as cohort:
        [free] = generate(cohort, [0], prompts, options_of())
    end_id = free[0][2]
    with ending_with(bench, end_id), Cohort(bench.base, [], 1) as cohort:
        [cut] = generate(cohort, [0], prompts, options_of())
        expected = expected_tokens(bench.pristine, prompts, end_id, do_sample=False)
        assert cut == expected
        assert all(end_id not in row for row in cut)
        assert len(cut[0]) <= 2
        for batch_rows in (1, 2):
            assert generate(cohort, [0], prompts, options_of(batch_rows=batch_rows)) == [cut]


def test_a_row_that_ends_at_once_is_empty(kit: Kit, bench: Bench, prompts: Prompts) -> None:
    with Cohort(bench.base, [], 1) as cohort:
        [[[first]]] = generate(cohort, [0], prompts[:1], options_of(max_new_tokens=1))
        with ending_with(bench, first):
            assert generate(cohort, [0], prompts[:1], options_of()) == [[[]]]


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


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4])
def test_block_repeats_is_transformers_processor_over_generated_tokens(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    vocabulary = 6
    blocked = 0
    for num_generated in (*range(8), 30):
        generated = torch.randint(vocabulary, (7, num_generated), generator=generator)
        logits = torch.randn(7, vocabulary, generator=generator)
        expected = logits
        if size:
            processor = NoRepeatNGramLogitsProcessor(size)
            expected = processor(generated, logits.clone())
        actual = logits.clone()
        block_repeats(actual, generated, size)
        assert torch.equal(actual, expected), num_generated
        blocked += int(actual.isinf().sum())
    assert (blocked > 0) == (size > 0)


@pytest.mark.parametrize("strategy", ["greedy", "beam", "sample"])
def test_no_sequence_is_generated_twice(
    kit: Kit, bench: Bench, prompts: Prompts, strategy: Any
) -> None:
    with Cohort(bench.base, [], 1) as cohort:
        [found] = generate(cohort, [0], prompts, options_of(strategy=strategy, no_repeat_ngram=2))
        for row in found:
            pairs = list(pairwise(row))
            assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("strategy", ["greedy", "beam"])
def test_what_stands_in_the_prompt_may_be_copied(
    kit: Kit, bench: Bench, prompts: Prompts, strategy: Any
) -> None:
    """A prompt whose last token and likeliest continuation stand side by side in it already."""
    one = options_of(max_new_tokens=1, strategy=strategy)
    with Cohort(bench.base, [], 1) as cohort:
        [firsts] = generate(cohort, [0], prompts, one)
        copying: Prompts = [
            np.concatenate([np.array([prompt[-1], first], dtype=np.int32), prompt])
            for prompt, [first] in zip(prompts, firsts, strict=True)
        ]
        [free] = generate(cohort, [0], copying, one)
        assert [row[0] == q[1] for row, q in zip(free, copying, strict=True)].count(True) >= 2
        blocking = options_of(max_new_tokens=1, strategy=strategy, no_repeat_ngram=2)
        assert generate(cohort, [0], copying, blocking) == [free]


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


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_new_tokens", 0),
        ("no_repeat_ngram", -1),
        ("num_beams", 0),
        ("batch_rows", 0),
        ("temperature", 0.0),
        ("top_p", 0.0),
        ("top_p", 1.5),
    ],
)
def test_options_out_of_range(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"generation.*{option}.*{value}"):
        GenerationOptions(**{option: value})  # type: ignore[arg-type]

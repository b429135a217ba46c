"""Generated tokens against Transformers' own ``generate``, over PEFT's models where it has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.errors import ConfigError
from tests.engine.generation.reference_texts import (
    Prompts,
    expected_tokens,
    options_of,
    reference_of,
    seated,
    tuned,
)

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

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


@pytest.mark.parametrize("strategy", ["beam", "sample"])
def test_other_strategies_write_without_the_settings_of_the_bases_makers(
    bench: Bench, prompts: Prompts, monkeypatch: pytest.MonkeyPatch, strategy: Any
) -> None:
    """As the greedy one does: a penalty would act on some strategies and some bases alone."""
    options = options_of(strategy=strategy, num_beams=2, no_repeat_ngram=0)
    with Cohort(bench.base, [], 1) as cohort:
        plain = generate(cohort, [0], prompts, options)
        of_makers = GenerationConfig(
            repetition_penalty=5.0, min_p=0.3, suppress_tokens=plain[0][0][:1], min_new_tokens=9
        )
        monkeypatch.setattr(bench.base.model, "generation_config", of_makers)
        assert generate(cohort, [0], prompts, options) == plain
    assert bench.base.model.generation_config is of_makers


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

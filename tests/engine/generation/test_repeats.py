"""No sequence of tokens is generated twice, and what stands in the prompt may be."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import NoRepeatNGramLogitsProcessor

from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.generation.repeats import block_repeats
from tests.engine.generation.reference_texts import Prompts, options_of

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit


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

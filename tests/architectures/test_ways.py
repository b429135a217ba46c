"""Families that compute something of their own, on every way that a pass may take.

Axis letters: ``R`` rows, ``T`` tokens, ``D`` width.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bakeoff.base.attention.interface import decoding
from bakeoff.base.branches import BranchedState
from bakeoff.base.decoder import most_positions
from bakeoff.base.model import Base
from bakeoff.base.prefix import prefix_of_embeddings, prefixed
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation import generate as generation
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.generation.greedy import Greedy
from bakeoff.errors import BaseModelError
from tests.architectures.checks import base_of, lora_on, some_prompts, some_tensors
from tests.architectures.families import config_of

OWN = ("bloom", "falcon alibi", "gemma2", "gpt_oss", "gptj", "lfm2")
PROMPTS = (5, 8)
BRANCHES = ((2, 4), (3, 1))


@pytest.mark.parametrize("family", OWN)
def test_the_step_that_a_graph_captures_writes_the_same(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = base_of(family)
    method = lora_on(base)
    options = GenerationOptions(max_new_tokens=8, no_repeat_ngram=0)
    with Cohort(base, [method], 2) as cohort:
        for slot in range(2):
            cohort.seat(slot, method, some_tensors(method, slot))
        expected = generate(cohort, [0, 1], some_prompts(), options)

        def frozen(*arguments: Any, **settings: Any) -> Greedy:
            return Greedy(*arguments, **settings, frozen=True, capture=False)

        monkeypatch.setattr(generation, "Greedy", frozen)
        assert generate(cohort, [0, 1], some_prompts(), options) == expected


@pytest.mark.parametrize("family", OWN)
def test_choices_behind_a_shared_prompt_are_as_each_alone(family: str) -> None:
    base = base_of(family)
    draw = torch.Generator().manual_seed(11)
    prompts = [torch.randint(1, 120, (n,), generator=draw) for n in PROMPTS]
    branches = [
        [torch.randint(1, 120, (n,), generator=draw) for n in counts] for counts in BRANCHES
    ]
    longest, widest = max(PROMPTS), max(map(sum, BRANCHES))
    state = BranchedState(len(PROMPTS), longest + widest, None, base.device)
    with torch.no_grad():
        ids_RT = torch.stack([_padded(prompt, longest) for prompt in prompts])
        with decoding(state):
            _hidden(base, ids_RT, torch.arange(longest).expand(len(PROMPTS), -1))
        state.end_prompts(torch.tensor(PROMPTS), longest)
        joined = torch.stack([_padded(torch.cat(own), widest) for own in branches])
        number_RQ, token_RQ = torch.full((2, widest), -1), torch.zeros(2, widest, dtype=torch.long)
        for row, counts in enumerate(BRANCHES):
            total = sum(counts)
            number_RQ[row, :total] = torch.arange(2).repeat_interleave(torch.tensor(counts))
            places = torch.cat([torch.arange(count) for count in counts])
            token_RQ[row, :total] = PROMPTS[row] + places
        state.branch(number_RQ, token_RQ)
        with decoding(state):
            found_RQD = _hidden(base, joined, token_RQ)
        for row, own in enumerate(branches):
            for place, branch in enumerate(own):
                whole = torch.cat([prompts[row], branch])[None]
                expected_TD = _hidden(base, whole, torch.arange(whole.shape[1])[None])[0]
                mine_QD = found_RQD[row][number_RQ[row] == place]
                torch.testing.assert_close(
                    mine_QD, expected_TD[PROMPTS[row] :], atol=1e-5, rtol=1e-4
                )


@pytest.mark.parametrize("family", ["bloom", "falcon alibi", "gemma2", "gpt_oss", "gptj"])
def test_a_prefix_acts_as_the_tokens_that_it_is_made_of(family: str) -> None:
    base = base_of(family)
    ids = torch.arange(1, 13)
    with torch.no_grad():
        whole_TD = _hidden(base, ids[None], torch.arange(12)[None])[0]
        prefix = prefix_of_embeddings(base, base.embedding(ids[:4]))
        with prefixed(prefix):
            found_TD = _hidden(base, ids[None, 4:], torch.arange(4, 12)[None])[0]
    torch.testing.assert_close(found_TD, whole_TD[4:], atol=1e-5, rtol=1e-4)


def test_a_convolution_takes_no_prefix() -> None:
    base = base_of("lfm2")
    prefix = prefix_of_embeddings(base, base.embedding(torch.arange(1, 5)))
    with (
        prefixed(prefix),
        torch.no_grad(),
        pytest.raises(BaseModelError, match="Lfm2ShortConv is a convolution"),
    ):
        _hidden(base, torch.arange(5, 9)[None], torch.arange(4, 8)[None])


def test_llama_4_is_held_to_one_chunk() -> None:
    assert base_of("llama4_text").max_positions == 64
    assert base_of("llama").max_positions == 128


def test_long_rope_is_held_to_the_positions_of_its_first_angles() -> None:
    """A longer row would change the angles of the whole batch, and of keys that are kept."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    long_rope = {"rope_type": "longrope", "rope_theta": 1e4, **factors}
    config: Any = config_of("phi3")
    config.original_max_position_embeddings = 16
    config.rope_parameters = long_rope
    config.standardize_rope_params()
    assert (config.max_position_embeddings, most_positions(config)) == (128, 16)
    plain = {"rope_type": "default", "rope_theta": 1e4}
    config.rope_parameters = {
        "full_attention": {**long_rope, "original_max_position_embeddings": 32},
        "sliding_attention": plain,
    }
    assert most_positions(config) == 32
    config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    assert most_positions(config) == 128


def _padded(ids_T: Tensor, length: int) -> Tensor:
    return torch.cat([ids_T, torch.zeros(length - len(ids_T), dtype=torch.long)])


def _hidden(base: Base, ids_RT: Tensor, positions_RT: Tensor) -> Tensor:
    return base.hidden_states(base.embedding(ids_RT), positions_RT)

"""Prefix tuning's own rules; PEFT as the oracle of its files stands in test_peft.py."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, MistralConfig, PreTrainedModel

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.prefix import prefix_of_embeddings
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import Source
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import Method
from bakeoff.methods.prompts.prefix import flat

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
ARCHITECTURES = ("gpt_neo", "llama", "gpt2", "gpt_neox")
FOLDED = "prompt_embeddings"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_soft_prompt_is_the_prefix_that_the_base_makes_of_it(
    architecture: str,
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[[Method], dict[str, Tensor]],
    ids_BT: Tensor,
    solo_logits: Callable[..., Tensor],
) -> None:
    """Li & Liang 2021, section 4.2: a prefix can say all that a soft prompt can."""
    base = base_of(architecture)
    prompt = build("soft_prompt", base, prompt_length=4)
    vectors = perturbed(prompt)[FOLDED]
    prefix = build("prefix", base, prefix_length=4)
    tensors = {FOLDED: flat(prefix_of_embeddings(base, vectors))}
    expected = solo_logits(prompt, {FOLDED: vectors}, ids_BT)
    assert (solo_logits(prefix, tensors, ids_BT) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_prefix_from_text_acts_as_the_text_does(
    architecture: str,
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    ids_BT: Tensor,
    solo_logits: Callable[..., Tensor],
    untuned_logits: Callable[..., Tensor],
) -> None:
    base = base_of(architecture)
    method = build("prefix", base, prefix_length=6, init="abc")
    ids = torch.tensor(base.tokenizer("abcabc")["input_ids"]).expand(len(ids_BT), -1)
    expected = untuned_logits(base, torch.cat([ids, ids_BT], dim=1))[:, 6:]
    # Also while other candidates' hooks are installed.
    with Cohort(base, [build("lora", base)], 3):
        tensors = method.initial(torch.Generator())
    assert (solo_logits(method, tensors, ids_BT) - expected).abs().max() <= 1e-5


def test_slots_may_train_keys_themselves_or_through_networks(
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[..., dict[str, Tensor]],
    ids_BT: Tensor,
    token_logits: Callable[..., Tensor],
    solo_logits: Callable[..., Tensor],
    untuned_logits: Callable[..., Tensor],
) -> None:
    base = base_of("gpt_neo")
    methods = [
        build("prefix", base, prefix_length=3),
        build("prefix", base, prefix_length=7, projection=True, hidden=5),
        build("prefix", base, prefix_length=2, projection=True, hidden=9),
        build("lora", base, rank=2),
    ]
    seats = [(method, perturbed(method, seed)) for seed, method in enumerate(methods)]
    with Cohort(base, methods, 6) as cohort, torch.no_grad():
        for slot, seat in enumerate(seats):
            cohort.seat(slot, *seat)
        # What an adapter holds, where others are trained through networks.
        stored = methods[1].stored(seats[1][1])
        cohort.seat(4, methods[1], stored)
        assert torch.equal(cohort.take(4)[FOLDED], stored[FOLDED])
        together = token_logits(cohort, ids_BT.expand(6, -1, -1))
        cohort.seat(4, *seats[2])
        reseated = token_logits(cohort, ids_BT.expand(6, -1, -1))
    for slot, seat in enumerate(seats):
        assert (together[slot] - solo_logits(*seat, ids_BT)).abs().max() <= 1e-5, slot
    assert (together[4] - together[1]).abs().max() <= 1e-5
    assert (together[5] - untuned_logits(base, ids_BT)).abs().max() <= 1e-5
    assert (reseated[4] - together[2]).abs().max() <= 1e-5


@pytest.mark.parametrize("window", [4, 9])
def test_a_sliding_window_moves_on_beyond_the_prefix_as_transformers_does(
    window: int, build: Callable[..., Method], ids_BT: Tensor, solo_logits: Callable[..., Tensor]
) -> None:
    """The prefix is in the cache, so that windows count its positions."""
    config = MistralConfig(
        vocab_size=257,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=40,
        sliding_window=window,
        bos_token_id=256,
        eos_token_id=256,
    )
    auto: Any = AutoModelForCausalLM
    with silence_libraries():
        torch.manual_seed(3)
        model: PreTrainedModel = auto.from_config(config, dtype=torch.float32).eval()
        torch.manual_seed(3)
        twin: Any = auto.from_config(copy.deepcopy(config), dtype=torch.float32).eval()
    source = Source(
        reference="m", model=model, tokenizer=byte_tokenizer(40), fingerprint="", description=""
    )
    base = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    method = build("prefix", base, prefix_length=3, init="random")
    tensors = method.initial(torch.Generator().manual_seed(1))
    theirs: Any = peft.get_peft_model(
        twin, peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    ).eval()
    with torch.no_grad():
        theirs.prompt_encoder["default"].embedding.weight.copy_(tensors[FOLDED])
        expected = theirs(input_ids=ids_BT, attention_mask=torch.ones_like(ids_BT)).logits
    assert (solo_logits(method, tensors, ids_BT) - expected).abs().max() <= 1e-5


def test_what_lies_beyond_a_slots_length_gathers_no_gradient(
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[..., dict[str, Tensor]],
    ids_BT: Tensor,
    next_token_nll: Callable[..., Tensor],
) -> None:
    base = base_of("llama")
    short, long = build("prefix", base, prefix_length=2), build("prefix", base, prefix_length=5)
    with Cohort(base, [short, long], 3, ProtocolOptions()) as cohort:
        cohort.seat(0, short, perturbed(short))
        cohort.seat(1, long, perturbed(long))
        lengths = torch.tensor([[12, 9, 4]]).expand(3, -1)
        next_token_nll(cohort, ids_BT.expand(3, -1, -1), lengths).sum().backward()
        gradient = cohort.stacks["prefix"].tensors[FOLDED].grad
        assert gradient is not None
        assert gradient[0, :2].any() and not gradient[0, 2:].any()
        assert gradient[1, 4].any() and not gradient[2].any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prefix_length": 0}, r"^methods\.x\.prefix_length: 0 is below 1"),
        ({"prefix_length": 40}, r"^methods\.x\.prefix_length: 40 positions fill all 40"),
        (
            {"prefix_length": 4, "hidden": 8},
            r"^methods\.x\.hidden: 8 has no effect without projection",
        ),
        (
            {"prefix_length": 4, "hidden": 0, "projection": True},
            r"^methods\.x\.hidden: 0 is below 1",
        ),
        (
            {"prefix_length": 4, "init": "abc", "projection": True},
            r"^methods\.x\.init: 'abc' cannot be the start",
        ),
        ({"prefix_length": 4, "init": ""}, r"^methods\.x\.init: '' has no tokens"),
    ],
)
def test_a_prefix_that_cannot_be_is_refused(
    build: Callable[..., Method],
    base_of: Callable[[str], Base],
    options: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises(ConfigError, match=words):
        build("prefix", base_of("llama"), **options)

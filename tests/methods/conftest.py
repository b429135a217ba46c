"""Four small random bases, and what one pass through a cohort gives.

Axis letters: ``K`` slots, ``B`` rows, ``T`` tokens, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import Source
from bakeoff.engine.cohort import Cohort
from bakeoff.methods.contract import Method
from bakeoff.methods.registry import method_type

WEIGHTS_SEED = 11
_IDS: dict[str, Any] = {"vocab_size": 257, "bos_token_id": 256, "eos_token_id": 256}


def _config(architecture: str) -> PreTrainedConfig:
    if architecture == "gpt_neo":
        return GPTNeoConfig(
            **_IDS,
            max_position_embeddings=40,
            hidden_size=16,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            window_size=5,
        )
    if architecture == "llama":
        return LlamaConfig(
            **_IDS,
            max_position_embeddings=40,
            hidden_size=16,
            intermediate_size=28,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=False,
        )
    if architecture == "gpt2":
        return GPT2Config(**_IDS, n_positions=40, n_embd=16, n_layer=2, n_head=4)
    return GPTNeoXConfig(
        **_IDS,
        max_position_embeddings=40,
        hidden_size=16,
        intermediate_size=28,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=False,
    )


def fresh_model(architecture: str) -> PreTrainedModel:
    """A model as Transformers makes it, all weights redrawn; the same at every call."""
    auto: Any = AutoModelForCausalLM
    with silence_libraries():
        model: PreTrainedModel = auto.from_config(_config(architecture), dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(WEIGHTS_SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.1, generator=generator)
            if parameter.dim() == 1 and name.endswith("weight"):
                parameter.add_(1.0)  # a norm's
    return model


@cache
def _base(architecture: str) -> Base:
    source = Source(
        reference=f"scratch:{architecture}",
        model=fresh_model(architecture),
        tokenizer=byte_tokenizer(40),
        fingerprint=architecture,
        description=architecture,
    )
    return Base(source, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tensors of this size are slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def fresh() -> Callable[[str], PreTrainedModel]:
    return fresh_model


@pytest.fixture(scope="session")
def base_of() -> Callable[[str], Base]:
    """A prepared base by architecture, shared by all tests: no test may change it."""
    return _base


@pytest.fixture(scope="session")
def build() -> Callable[..., Method]:
    """Makes a method from its kind, a base and the options by name."""

    def call(kind: str, base: Base, **options: Any) -> Method:
        method = method_type(kind, where="methods.x.kind")
        return method(method.read_options(options, path="methods.x"), base, where="methods.x")

    return call


@pytest.fixture(scope="session")
def perturbed() -> Callable[..., dict[str, Tensor]]:
    """A method's initial tensors, each moved by noise: as after some training."""

    def call(method: Method, seed: int = 5) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        initial = method.initial(generator)
        return {
            name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in initial.items()
        }

    return call


def _token_logits(cohort: Cohort, ids_KBT: Tensor) -> Tensor:
    hidden_KBTD, moved_K = cohort.hidden_states(ids_KBT)
    num_tokens = ids_KBT.shape[-1]
    if moved_K is not None:
        start = moved_K.tolist()
        hidden_KBTD = torch.stack(
            [h[:, s : s + num_tokens] for h, s in zip(hidden_KBTD, start, strict=True)]
        )
    weight, bias = cohort.head()
    weight_KDV = (weight if weight.dim() == 3 else weight[None]).transpose(1, 2)
    logits_KBTV = torch.einsum(
        "kbtd,kdv->kbtv", hidden_KBTD, weight_KDV.expand(len(hidden_KBTD), -1, -1)
    )
    return logits_KBTV if bias is None else logits_KBTV + bias


@pytest.fixture(scope="session")
def token_logits() -> Callable[[Cohort, Tensor], Tensor]:
    """[K, B, T, V] logits at the tokens (not at soft prompts) of [K, B, T] rows."""
    return _token_logits


@pytest.fixture(scope="session")
def solo_logits() -> Callable[[Method, dict[str, Tensor], Tensor], Tensor]:
    """[B, T, V] logits of [B, T] rows under one candidate with these tensors."""

    def call(method: Method, tensors: dict[str, Tensor], ids_BT: Tensor) -> Tensor:
        with Cohort(method.base, [method], 1) as cohort, torch.no_grad():
            cohort.seat(0, method, tensors)
            return _token_logits(cohort, ids_BT[None])[0]

    return call


@pytest.fixture(scope="session")
def untuned_logits() -> Callable[[Base, Tensor], Tensor]:
    """[B, T, V] logits of [B, T] rows under the base itself."""

    def call(base: Base, ids_BT: Tensor) -> Tensor:
        with torch.no_grad():
            positions = torch.arange(ids_BT.shape[1])[None].expand(ids_BT.shape)
            logits: Tensor = base.head(base.hidden_states(base.embedding(ids_BT), positions))
        return logits

    return call


@pytest.fixture(scope="session")
def next_token_nll() -> Callable[[Cohort, Tensor, Tensor], Tensor]:
    """[K] mean NLL of all real next tokens of right-padded rows, differentiable."""

    def call(cohort: Cohort, ids_KBT: Tensor, lengths_KB: Tensor) -> Tensor:
        num_slots, rows, num_tokens = ids_KBT.shape
        position = torch.arange(num_tokens - 1)
        source = (torch.arange(rows)[:, None] * num_tokens + position).flatten()
        mask_KN = (position + 1 < lengths_KB[..., None]).flatten(1)
        sums_K, _ = cohort.losses(
            ids_KBT, source.expand(num_slots, -1), ids_KBT[:, :, 1:].flatten(1), mask_KN
        )
        return sums_K / mask_KN.sum(dim=1)

    return call


@pytest.fixture(name="ids_BT")
def _ids() -> Tensor:
    """[3, 12] token ids, longer than GPT-Neo's window here."""
    return torch.randint(256, (3, 12), generator=torch.Generator().manual_seed(2))

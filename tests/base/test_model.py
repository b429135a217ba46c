"""The base against Transformers' own logits, on every architecture that is promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AttentionMaskInterface,
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from bakeoff.base.attention.decoding import DecodingState
from bakeoff.base.attention.interface import ATTENTION_NAME, decoding
from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import Source

WEIGHTS_SEED = 31
TOLERANCE = 1e-4

IDS: dict[str, Any] = {
    "vocab_size": 257,
    "bos_token_id": 256,
    "eos_token_id": 256,
    "pad_token_id": 256,
}
SIZES: dict[str, Any] = {
    **IDS,
    "max_position_embeddings": 64,
    "hidden_size": 16,
    "intermediate_size": 28,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
GROUPED: dict[str, Any] = {**SIZES, "num_key_value_heads": 2}


def gpt_neo(window: int, positions: int) -> GPTNeoConfig:
    return GPTNeoConfig(
        **IDS,
        max_position_embeddings=positions,
        hidden_size=16,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=window,
    )


CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**GROUPED),
    "qwen2": lambda: Qwen2Config(**GROUPED),
    # Full attention below, a window above.
    "qwen2-mixed": lambda: Qwen2Config(
        **GROUPED, use_sliding_window=True, sliding_window=4, max_window_layers=1
    ),
    "qwen3": lambda: Qwen3Config(**GROUPED, head_dim=6, tie_word_embeddings=False),
    "mistral": lambda: MistralConfig(**GROUPED, sliding_window=5),
    "gemma3": lambda: Gemma3TextConfig(**GROUPED, head_dim=6, sliding_window=5),
    "gpt2": lambda: GPT2Config(
        **IDS, n_positions=64, n_embd=16, n_layer=2, n_head=4, scale_attn_by_inverse_layer_idx=True
    ),
    "gpt_neox": lambda: GPTNeoXConfig(**SIZES),
    "opt": lambda: OPTConfig(
        **IDS,
        max_position_embeddings=64,
        hidden_size=16,
        word_embed_proj_dim=12,
        ffn_dim=28,
        num_hidden_layers=2,
        num_attention_heads=4,
    ),
    "gpt_neo": lambda: gpt_neo(window=5, positions=64),
    "gpt_neo-256": lambda: gpt_neo(window=256, positions=600),
}
WINDOWED = ("qwen2-mixed", "mistral", "gemma3", "gpt_neo", "gpt_neo-256")


def redrawn(config: PreTrainedConfig) -> Any:
    """A float32 model as Transformers makes it, every weight redrawn; the same at every call."""
    auto: Any = AutoModelForCausalLM
    with silence_libraries():
        model = auto.from_config(config, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(WEIGHTS_SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.1, generator=generator)
            if parameter.dim() == 1 and name.endswith("weight"):
                parameter.add_(1.0)  # a norm's
    return model


def source_of(config: PreTrainedConfig, name: str = "redrawn") -> Source:
    return Source(
        reference=name,
        model=redrawn(config),
        tokenizer=byte_tokenizer(64),
        fingerprint=name,
        description=name,
    )


def prepared(source: Source, dtype: torch.dtype = torch.float32) -> Base:
    return Base(source, device=torch.device("cpu"), dtype=dtype)


@cache
def reference_and_base(name: str) -> tuple[Any, Base]:
    """Transformers' model, and the same weights prepared; no test may change either."""
    return redrawn(CONFIGS[name]()), prepared(source_of(CONFIGS[name](), name))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Tensors of this size are slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=list(CONFIGS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ragged(name: str) -> tuple[Tensor, Tensor]:
    """([B, T] ids, [B] lengths), beyond every window."""
    num_tokens = 300 if name == "gpt_neo-256" else 14
    lengths_B = torch.tensor([num_tokens, num_tokens - 5, 3])
    generator = torch.Generator().manual_seed(7)
    return torch.randint(256, (3, num_tokens), generator=generator), lengths_B


def left_padded(name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """([B, T] ids, [B] padding, [B, T] mask, [B, T] positions) of the same rows."""
    ids_BT, lengths_B = ragged(name)
    num_tokens = ids_BT.shape[1]
    padding_B = num_tokens - lengths_B
    column = torch.arange(num_tokens)
    mask_BT = (column >= padding_B[:, None]).long()
    return ids_BT, padding_B, mask_BT, (column - padding_B[:, None]).clamp(min=0)


def logits_of(base: Base, ids_BT: Tensor, positions_BT: Tensor | None = None) -> Tensor:
    if positions_BT is None:
        positions_BT = torch.arange(ids_BT.shape[1]).expand(ids_BT.shape)
    logits: Tensor = base.head(base.hidden_states(base.embedding(ids_BT), positions_BT))
    return logits


def gap_where(mask_BT: Tensor, found_BTV: Tensor, expected_BTV: Tensor) -> float:
    assert expected_BTV.abs().max() > 0.3, "the comparison must be able to fail"
    return (found_BTV - expected_BTV)[mask_BT.bool()].abs().max().item()


# Logits


@torch.no_grad()
def test_right_padded_rows_in_one_pass(name: str) -> None:
    model, base = reference_and_base(name)
    ids_BT, lengths_B = ragged(name)
    mask_BT = (torch.arange(ids_BT.shape[1]) < lengths_B[:, None]).long()
    expected = model(input_ids=ids_BT, attention_mask=mask_BT).logits
    found = logits_of(base, ids_BT.where(mask_BT.bool(), 256))
    assert gap_where(mask_BT, found, expected) <= TOLERANCE


@torch.no_grad()
def test_left_padded_rows_token_by_token(name: str) -> None:
    model, base = reference_and_base(name)
    ids_BT, padding_B, mask_BT, positions_BT = left_padded(name)
    expected = model(input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT).logits
    num_tokens = ids_BT.shape[1]
    prefill = num_tokens - 5
    parts = []
    with decoding(DecodingState(padding_B, num_tokens)) as state:
        for start, stop in [(0, prefill), *((t, t + 1) for t in range(prefill, num_tokens))]:
            parts.append(logits_of(base, ids_BT[:, start:stop], positions_BT[:, start:stop]))
            state.advance(stop - start)
    assert gap_where(mask_BT, torch.cat(parts, dim=1), expected) <= TOLERANCE


def test_gradients_of_the_embedded_tokens(name: str) -> None:
    model, base = reference_and_base(name)
    ids_BT, lengths_B = ragged(name)
    mask_BT = (torch.arange(ids_BT.shape[1]) < lengths_B[:, None]).long()
    weights = torch.randn(*ids_BT.shape, 257) * mask_BT[..., None]
    ours = base.embedding(ids_BT).detach().requires_grad_()
    theirs = model.get_input_embeddings()(ids_BT).detach().requires_grad_()
    positions = torch.arange(ids_BT.shape[1]).expand(ids_BT.shape)
    found = base.head(base.hidden_states(ours, positions))
    expected = model(inputs_embeds=theirs, attention_mask=mask_BT).logits
    (mine,) = torch.autograd.grad((found * weights).sum(), ours)
    (reference,) = torch.autograd.grad((expected * weights).sum(), theirs)
    gap = (mine - reference)[mask_BT.bool()].norm()
    assert gap <= 1e-4 * reference[mask_BT.bool()].norm()


@pytest.mark.parametrize("name", WINDOWED)
@torch.no_grad()
def test_the_window_is_felt(name: str) -> None:
    """Else the tests above would not tell whether the window is there."""
    config = CONFIGS[name]()
    _, base = reference_and_base(name)
    ids_BT, _ = ragged(name)
    key = "window_size" if name.startswith("gpt_neo") else "sliding_window"
    setattr(config, key, 500)
    wide = prepared(source_of(config))
    gap_T = (logits_of(wide, ids_BT) - logits_of(base, ids_BT))[0].abs().amax(dim=-1)
    window = {"gpt_neo-256": 256, "qwen2-mixed": 4}.get(name, 5)
    assert gap_T[:window].max() <= TOLERANCE
    assert gap_T[window:].max() > 10 * TOLERANCE


@torch.no_grad()
def test_transformers_builds_no_mask(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class MaskBuiltError(Exception):
        pass

    def build(*args: object, **options: object) -> None:
        raise MaskBuiltError

    masks = AttentionMaskInterface()
    assert ATTENTION_NAME not in masks
    model, base = reference_and_base(name)
    for implementation in list(masks):
        monkeypatch.setitem(AttentionMaskInterface._global_mapping, implementation, build)
    ids_BT, padding_B, mask_BT, positions_BT = left_padded(name)
    with pytest.raises(MaskBuiltError):
        model(input_ids=ids_BT, attention_mask=mask_BT)
    logits_of(base, ids_BT)
    with decoding(DecodingState(padding_B, ids_BT.shape[1])):
        logits_of(base, ids_BT, positions_BT)


# Transformers' own generation over a prepared base


@torch.no_grad()
def test_transformers_may_drive_the_prepared_model(name: str) -> None:
    model, base = reference_and_base(name)
    ids_BT, _, mask_BT, positions_BT = left_padded(name)
    options: dict[str, Any] = {
        "input_ids": ids_BT,
        "attention_mask": mask_BT,
        "max_new_tokens": 6,
        "do_sample": False,
    }
    with base.transformers_attention() as lent:
        driven: Any = lent
        whole = driven(input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT)
        generated = driven.generate(**options)
    expected = model(input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT)
    assert gap_where(mask_BT, whole.logits, expected.logits) <= TOLERANCE
    assert torch.equal(generated, model.generate(**options))
    assert base.model.config._attn_implementation == ATTENTION_NAME


def test_our_attention_is_back_after_an_error() -> None:
    _, base = reference_and_base("llama")
    with pytest.raises(ZeroDivisionError), base.transformers_attention():
        _ = 1 / 0
    assert base.model.config._attn_implementation == ATTENTION_NAME


# What a base knows of itself, and its copies


def test_sizes_are_read_from_the_weights(name: str) -> None:
    model, base = reference_and_base(name)
    assert base.vocabulary == 257
    assert base.width == base.embedding_width == (12 if name == "opt" else 16)
    assert base.max_positions == (600 if name == "gpt_neo-256" else 64)
    assert base.model_type == model.config.model_type
    assert base.is_tied == model.config.tie_word_embeddings
    expected = dict(model.named_parameters())
    found = dict(base.model.named_parameters())
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[n], expected[n]) for n in expected)
    assert not any(p.requires_grad for p in found.values())
    assert not base.model.training


@torch.no_grad()
def test_a_source_may_be_prepared_twice(name: str) -> None:
    _, base = reference_and_base(name)
    again = prepared(base.source)
    ids_BT, _ = ragged(name)
    assert torch.equal(logits_of(again, ids_BT), logits_of(base, ids_BT))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_a_lower_precision_is_a_copy(name: str, dtype: torch.dtype) -> None:
    model, exact = reference_and_base(name)
    source = source_of(CONFIGS[name]())
    base = prepared(source, dtype)
    assert base.compute_dtype == dtype
    assert {p.dtype for p in base.model.parameters()} == {dtype}
    assert {p.dtype for p in source.model.parameters()} == {torch.float32}
    assert base.source_head.dtype == base.source_embedding.dtype == torch.float32
    assert base.model.config._attn_implementation == ATTENTION_NAME
    assert base.is_tied == model.config.tie_word_embeddings
    ids_BT, _ = ragged(name)
    expected = logits_of(exact, ids_BT)
    found = logits_of(base, ids_BT)
    assert found.dtype == dtype
    assert (found.float() - expected).abs().max() <= 0.06 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_a_private_copy_is_exact_and_its_own(name: str, dtype: torch.dtype) -> None:
    model, _ = reference_and_base(name)
    base = prepared(source_of(CONFIGS[name]()), dtype)
    twin, _ = base.private_copy()
    assert {p.dtype for p in twin.model.parameters()} == {torch.float32}
    assert twin.is_tied == base.is_tied
    assert twin.model.config._attn_implementation == ATTENTION_NAME
    ids_BT, _ = ragged(name)
    expected = model(input_ids=ids_BT).logits
    before = logits_of(base, ids_BT)
    assert (logits_of(twin, ids_BT) - expected).abs().max() <= TOLERANCE
    for parameter in twin.model.parameters():
        parameter.zero_()
    assert not logits_of(twin, ids_BT).any()
    assert torch.equal(logits_of(base, ids_BT), before)

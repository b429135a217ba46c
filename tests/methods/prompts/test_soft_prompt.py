"""Soft prompts' own rules; what all methods share stands in test_contract.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, Gemma3TextConfig

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import Source
from bakeoff.config import from_mapping
from bakeoff.errors import CheckpointError, ConfigError
from bakeoff.methods.contract import Method
from bakeoff.methods.specs.soft_prompt import FromAdapter, FromLabels, SoftPromptOptions


@pytest.fixture
def base(base_of: Callable[[str], Base]) -> Base:
    return base_of("llama")


@pytest.fixture
def start(build: Callable[..., Method], base: Base) -> Callable[..., Tensor]:
    """[P, D] a prompt's initial vectors by the options' names."""

    def call(seed: int = 0, **options: Any) -> Tensor:
        method = build("soft_prompt", base, **options)
        return method.initial(torch.Generator().manual_seed(seed))["prompt_embeddings"]

    return call


def rows_of(base: Base, vectors_PD: Tensor) -> list[int]:
    """Which rows of the embedding the vectors are."""
    equal_PV = (vectors_PD[:, None] == base.embedding.weight.float()[None]).all(dim=-1)
    assert (equal_PV.sum(dim=1) == 1).all()
    return [int(row.nonzero()) for row in equal_PV]


def test_a_short_text_is_repeated_and_a_long_one_cut(
    base: Base, start: Callable[..., Tensor]
) -> None:
    ids = base.tokenizer("abc")["input_ids"]
    assert rows_of(base, start(prompt_length=7, init="abc")) == [*ids, *ids, ids[0]]
    assert rows_of(base, start(prompt_length=2, init="abc")) == ids[:2]
    assert rows_of(base, start(prompt_length=3, init="abc")) == ids


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("soft_prompt", {"prompt_length": 39, "init": "vocabulary"}),
        ("soft_prompt", {"prompt_length": 39, "init": {"labels": ["a"]}}),
        ("prefix", {"prefix_length": 39, "init": "vocabulary"}),
    ],
)
def test_tokens_without_an_embedding_are_not_drawn(
    build: Callable[..., Method],
    base: Base,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    options: dict[str, Any],
) -> None:
    method = build(kind, base, **options)
    expected = method.initial(torch.Generator().manual_seed(0))
    monkeypatch.setattr(type(base.tokenizer), "__len__", lambda _: 100_000)
    found = method.initial(torch.Generator().manual_seed(0))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_vocabulary_takes_embeddings_of_drawn_tokens(
    base: Base, start: Callable[..., Tensor]
) -> None:
    first = rows_of(base, start(prompt_length=30, init="vocabulary"))
    assert len(set(first)) > 20
    assert max(first) > 128
    assert rows_of(base, start(seed=1, prompt_length=30, init="vocabulary")) != first


def test_random_has_the_embeddings_spread(base: Base, start: Callable[..., Tensor]) -> None:
    drawn = start(prompt_length=39, init="random")
    assert drawn.std() == pytest.approx(base.embedding.weight.std().item(), rel=0.1)
    assert not torch.equal(drawn, start(seed=1, prompt_length=39, init="random"))


def test_what_is_drawn_is_a_copy(base: Base, start: Callable[..., Tensor]) -> None:
    before = base.embedding.weight.clone()
    start(prompt_length=3, init="abc").zero_()
    assert torch.equal(base.embedding.weight, before)


def test_an_embedding_that_scales_its_rows_starts_as_its_tokens_do(
    build: Callable[..., Method],
) -> None:
    config = Gemma3TextConfig(
        vocab_size=257,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        bos_token_id=256,
        eos_token_id=256,
        pad_token_id=256,
    )
    auto: Any = AutoModelForCausalLM
    with silence_libraries():
        model = auto.from_config(config, dtype=torch.float32)
    source = Source(
        reference="gemma", model=model, tokenizer=byte_tokenizer(64), fingerprint="", description=""
    )
    base = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    ids = torch.tensor(base.tokenizer("abcd")["input_ids"])
    expected = base.embedding(ids)
    assert not torch.equal(expected, base.embedding.weight[ids])
    text = build("soft_prompt", base, prompt_length=4, init="abcd")
    assert torch.equal(text.initial(torch.Generator())["prompt_embeddings"], expected)
    drawn = build("soft_prompt", base, prompt_length=100, init="random")
    spread = drawn.initial(torch.Generator().manual_seed(0))["prompt_embeddings"].std()
    assert spread == pytest.approx(base.embedding(torch.arange(257)).std().item(), rel=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"init": ""}, r"^methods\.x\.init: '' has no tokens"),
        ({"prompt_length": 0}, r"^methods\.x\.prompt_length: 0 is below 1"),
        ({"prompt_length": 40}, r"^methods\.x\.prompt_length: 40 .* all 40 positions"),
        ({"prompt_length": 99}, r"^methods\.x\.prompt_length: 99 .* all 40 positions"),
    ],
)
def test_a_prompt_that_cannot_be_is_refused(
    build: Callable[..., Method], base: Base, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        build("soft_prompt", base, **options)


def test_the_longest_prompt_leaves_one_position(build: Callable[..., Method], base: Base) -> None:
    assert build("soft_prompt", base, prompt_length=39).extra_positions == 39


def test_an_adapter_of_another_method_is_refused(
    build: Callable[..., Method], base: Base, tmp_path: Path
) -> None:
    method = build("soft_prompt", base, prompt_length=4)
    method.save(method.initial(torch.Generator()), tmp_path)
    path = tmp_path / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"peft_type": "PREFIX_TUNING"}))
    with pytest.raises(CheckpointError, match="peft_type is 'PREFIX_TUNING'"):
        method.load(tmp_path)


@pytest.mark.parametrize("length", [2, 4, 11])
def test_a_prompt_starts_from_another_adapter_cut_or_repeated(
    length: int, build: Callable[..., Method], base: Base, tmp_path: Path
) -> None:
    earlier = build("soft_prompt", base, prompt_length=4)
    vectors = torch.randn(4, base.embedding_width, generator=torch.Generator().manual_seed(1))
    earlier.save({"prompt_embeddings": vectors}, tmp_path)
    method = build("soft_prompt", base, prompt_length=length, init=FromAdapter(adapter=tmp_path))
    start = method.initial(torch.Generator())["prompt_embeddings"]
    assert torch.equal(start, torch.cat([vectors] * 3)[:length])


@pytest.mark.parametrize("length", [2, 3, 8])
def test_a_prompt_starts_from_the_means_of_labels_and_goes_on_from_the_vocabulary(
    length: int, build: Callable[..., Method], base: Base
) -> None:
    labels = ("world", " sports news", "science")
    method = build("soft_prompt", base, prompt_length=length, init=FromLabels(labels=labels))
    start = method.initial(torch.Generator().manual_seed(4))["prompt_embeddings"]
    table = base.source_embedding
    for row, label in zip(start, labels, strict=False):
        ids = base.tokenizer(label, add_special_tokens=False)["input_ids"]
        assert len(ids) > 1
        torch.testing.assert_close(row, table[ids].mean(dim=0))
    ids = torch.randint(
        len(base.tokenizer), (max(0, length - 3),), generator=torch.Generator().manual_seed(4)
    )
    assert torch.equal(start[3:], table[ids])


def test_labels_are_given_as_a_mapping_and_each_must_have_tokens(
    build: Callable[..., Method], base: Base
) -> None:
    options = from_mapping(SoftPromptOptions, {"init": {"labels": ["a", "b"]}}, path="methods.x")
    assert options.init == FromLabels(labels=("a", "b"))
    with pytest.raises(ConfigError, match=r"^methods\.x\.init\.labels: '' has no tokens"):
        build("soft_prompt", base, init=FromLabels(labels=("a", "")))
    with pytest.raises(ConfigError, match=r"^methods\.x\.init\.labels: holds no label"):
        build("soft_prompt", base, init=FromLabels(labels=()))


def test_the_other_adapter_is_given_as_a_mapping(tmp_path: Path) -> None:
    options = from_mapping(
        SoftPromptOptions, {"init": {"adapter": str(tmp_path)}}, path="methods.x"
    )
    assert options.init == FromAdapter(adapter=tmp_path)
    with pytest.raises(ConfigError, match=r"^methods\.x\.init\.adaptr: unknown key|adaptr"):
        from_mapping(SoftPromptOptions, {"init": {"adaptr": "a"}}, path="methods.x")


def test_an_adapter_that_cannot_be_the_start_is_refused(
    build: Callable[..., Method], base: Base, base_of: Callable[[str], Base], tmp_path: Path
) -> None:
    def refused(words: str) -> None:
        with pytest.raises(ConfigError, match=rf"^methods\.x\.init\.adapter: .*{words}"):
            build("soft_prompt", base, init=FromAdapter(adapter=tmp_path / "a"))

    refused("has no file adapter_config.json")
    good = build("soft_prompt", base, prompt_length=4)
    good.save(good.initial(torch.Generator()), tmp_path / "a")
    weights = tmp_path / "a" / "adapter_model.safetensors"
    weights.rename(tmp_path / "elsewhere.safetensors")
    weights.symlink_to(tmp_path / "elsewhere.safetensors")
    refused("has no file adapter_model.safetensors of its own")
    weights.unlink()
    weights.write_bytes(b"torn")
    refused("not a whole safetensors file")
    save_file({"other": torch.zeros(2)}, weights)
    refused("holds no tensor 'prompt_embeddings' but other")
    save_file({"prompt_embeddings": torch.zeros(4, 3)}, weights)
    refused(r"vectors of shape \(4, 3\), but the base's embedding has a width of 16")
    lora = build("lora", base)
    lora.save(lora.initial(torch.Generator()), tmp_path / "a")
    refused("peft_type is 'LORA'")

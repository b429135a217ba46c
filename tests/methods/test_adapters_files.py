"""Bottleneck adapters against what the library ``adapters`` computed and saved.

The golden files' generator is ``tools/golden_adapters.py``: the library cannot be installed beside
the Transformers that bakeoff needs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import Source
from bakeoff.errors import CheckpointError
from bakeoff.methods.contract import Method

GOLDEN = Path(__file__).parent / "golden" / "adapters"
VOCABULARY, WIDTH = 31, 12
IDS = torch.arange(14).remainder(VOCABULARY).view(2, 7)
CASES: dict[str, dict[str, Any]] = {
    "houlsby": {"variant": "houlsby", "reduction_factor": 4.0, "activation": "silu"},
    "pfeiffer": {"reduction_factor": 3.0, "layers": (1,)},
    "parallel": {"placement": "parallel", "reduction_factor": 2.0, "scale": 4.0},
}


@cache
def golden_base(architecture: str) -> Base:
    """The generator's model: its weights follow from their names' order alone."""
    common: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0}
    config: Any
    if architecture == "gpt2":
        config = GPT2Config(n_positions=16, n_embd=WIDTH, n_layer=2, n_head=3, **common)
    else:
        config = LlamaConfig(
            hidden_size=WIDTH,
            intermediate_size=20,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=1,
            max_position_embeddings=16,
            tie_word_embeddings=False,
            **common,
        )
    auto: Any = AutoModelForCausalLM
    with silence_libraries():
        model = auto.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for index, (name, parameter) in enumerate(sorted(model.named_parameters())):
            wave = torch.sin(torch.arange(parameter.numel()) * 0.7 + index).view(parameter.shape)
            is_norm = parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(0.3 * wave + float(is_norm))
    source = Source(
        reference=architecture,
        model=model,
        tokenizer=byte_tokenizer(16),
        fingerprint="",
        description="",
    )
    return Base(source, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(params=[(a, c) for a in ("gpt2", "llama") for c in CASES], ids="-".join)
def case(request: pytest.FixtureRequest, build: Callable[..., Method]) -> tuple[Path, Method]:
    architecture, name = request.param
    method = build("bottleneck", golden_base(architecture), **CASES[name])
    return GOLDEN / f"{architecture}-{name}", method


def test_the_librarys_adapter_gives_its_logits_here(
    case: tuple[Path, Method],
    solo_logits: Callable[..., Tensor],
    untuned_logits: Callable[..., Tensor],
) -> None:
    folder, method = case
    logits = solo_logits(method, method.load(folder), IDS)
    expected = load_file(folder / "logits.safetensors")["logits"]
    assert (logits - expected).abs().max() <= 1e-5
    assert (untuned_logits(method.base, IDS) - expected).abs().max() > 1e-2


def test_what_is_written_is_what_the_library_writes(
    case: tuple[Path, Method], tmp_path: Path
) -> None:
    folder, method = case
    method.save(method.load(folder), tmp_path)
    ours, theirs = (
        load_file(tmp_path / "adapter.safetensors"),
        load_file(folder / "adapter.safetensors"),
    )
    renamed = {name.replace(".golden.", ".bakeoff."): tensor for name, tensor in theirs.items()}
    assert set(ours) == set(renamed)
    assert all(torch.equal(ours[name], tensor) for name, tensor in renamed.items())
    settings, expected = (
        json.loads((path / "adapter_config.json").read_text()) for path in (tmp_path, folder)
    )
    # How the weights were drawn is the trainer's affair.
    free = {"init_weights": "mam_adapter"}
    assert settings["config"] | free == expected["config"] | free
    for key in ("hidden_size", "model_class", "model_type", "version"):
        assert settings[key] == expected[key]


@pytest.mark.parametrize(
    ("key", "value"), [("is_parallel", True), ("ln_after", True), ("scaling", 2.0)]
)
def test_another_arrangement_is_refused(
    key: str, value: Any, build: Callable[..., Method], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(GOLDEN / "gpt2-houlsby", tmp_path / "adapter"))
    method = build("bottleneck", golden_base("gpt2"), **CASES["houlsby"])
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text())
    settings["config"][key] = value
    path.write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=f"{key} is {value!r}"):
        method.load(folder)
    path.write_text(json.dumps(settings | {"config": 3}))
    with pytest.raises(CheckpointError, match="no configuration of a bottleneck adapter"):
        method.load(folder)


def test_a_tensor_too_many_is_refused(build: Callable[..., Method], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "gpt2-houlsby", tmp_path / "adapter"))
    method = build("bottleneck", golden_base("gpt2"), **CASES["houlsby"])
    weights = folder / "adapter.safetensors"
    stored = {name: tensor.clone() for name, tensor in load_file(weights).items()}
    save_file(stored | {"surplus": torch.zeros(1)}, weights)
    with pytest.raises(CheckpointError, match="surplus"):
        method.load(folder)

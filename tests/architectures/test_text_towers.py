"""Text towers of multimodal checkpoints: loaded from a folder, trained and saved as decoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.base.checkpoint import write_checkpoint
from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.weights.folder import auto_class
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import load_source
from bakeoff.methods.full import Full
from bakeoff.methods.specs.full import FullOptions
from bakeoff.testing.passes import logits_of
from tests.architectures.checks import lora_on, some_tensors
from tests.architectures.families import config_of, model_of

FAMILIES = ("gemma3", "mistral3", "qwen2_vl")
IDS = torch.arange(1, 21).view(2, 10)


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with silence_libraries():
        model_of(request.param).save_pretrained(tmp_path / "base")
        byte_tokenizer(64).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def test_a_folder_trains_and_saves_as_a_decoder(folder: Path, tmp_path: Path) -> None:
    source = load_source(str(folder), root=tmp_path, cache_dir=tmp_path / "cache")
    base = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    names = [*base.linear_layers(), *base.norm_layers()]
    assert names and all("language_model" in name for name in names)

    method = lora_on(base)
    tensors = some_tensors(method, 1)
    method.save(tensors, tmp_path / "adapter")
    with silence_libraries():
        model: Any = auto_class(source.model.config).from_pretrained(folder)
        model.load_adapter(str(tmp_path / "adapter"))
        with torch.no_grad():
            found = model.eval()(input_ids=IDS).logits
    torch.testing.assert_close(found, logits_of(method, tensors, IDS), atol=1e-4, rtol=1e-4)


def test_full_tuning_leaves_what_belongs_to_images(folder: Path, tmp_path: Path) -> None:
    source = load_source(str(folder), root=tmp_path, cache_dir=tmp_path / "cache")
    base = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    method = Full(FullOptions(), base, where="methods.full")
    assert method.shapes
    assert not any("vision" in name or "visual" in name for name in method.shapes)
    tensors = method.initial(torch.Generator())
    method.save({n: t + 0.01 for n, t in tensors.items()}, tmp_path / "tuned")
    with silence_libraries():
        tuned: Any = auto_class(source.model.config).from_pretrained(tmp_path / "tuned")
    for name, parameter in tuned.named_parameters():
        own = 0.01 if name in tensors else 0.0
        before = source.model.get_parameter(name)
        torch.testing.assert_close(parameter, before + own, atol=1e-6, rtol=1e-6)
    assert method.load(tmp_path / "tuned").keys() == tensors.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tuned_head_of_a_tied_tower_loads_again(family: str, tmp_path: Path) -> None:
    with silence_libraries():
        config = config_of(family).to_dict() | {"tie_word_embeddings": True}
        config["text_config"]["tie_word_embeddings"] = True
        config_type = type(config_of(family))
        tied = auto_class(config_of(family)).from_config(config_type.from_dict(config))
        tied.save_pretrained(tmp_path / "base")
        byte_tokenizer(64).save_pretrained(tmp_path / "base")

    def base_in(folder: str) -> Base:
        source = load_source(folder, root=tmp_path, cache_dir=tmp_path / "cache")
        return Base(source, device=torch.device("cpu"), dtype=torch.float32)

    base = base_in("base")
    assert base.is_tied
    new = base.source_head + 1.0
    write_checkpoint(base, {f"{base.head_name}.weight": new}, tmp_path / "tuned")
    tuned = base_in("tuned")
    assert not tuned.is_tied
    torch.testing.assert_close(tuned.source_head, new)
    torch.testing.assert_close(tuned.source_embedding, base.source_embedding)

"""Weights that are held as they come: equal to the whole model, whatever they are held in."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from bakeoff.base.model import Base
from bakeoff.base.weights.lean import RandomWeights
from bakeoff.base.weights.sources import Source
from bakeoff.base.weights.stored import StoredTensor, stored_tensors
from bakeoff.errors import BaseModelError, CheckpointError

CPU = torch.device("cpu")
Load = Callable[..., Source]


def held(source: Source, dtype: torch.dtype = torch.float32, **options: Any) -> Base:
    return Base(source, device=CPU, dtype=dtype, **options)


def logits(base: Base) -> Tensor:
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        hidden = base.hidden_states(base.embedding(ids), torch.arange(20)[None])
        found: Tensor = base.head(hidden)
    return found.float()


def sharded(folder: Path) -> Path:
    auto: Any = AutoModelForCausalLM
    model = auto.from_pretrained(folder, dtype=torch.bfloat16)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    return folder


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_a_base_that_memory_does_not_hold_is_not_torn(
    folder: Path, load: Load, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The command line, and the driver of workers, say then that there is no room."""

    def read(stored: StoredTensor, index: object) -> Tensor:
        raise error

    monkeypatch.setattr(StoredTensor, "__getitem__", read)
    with pytest.raises(type(error)):
        held(load("base", lean=True), torch.bfloat16)


@pytest.mark.parametrize("reference", ["base", "scratch:tiny-gpt-neo"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("quantization", ["none", "int8", "nf4"])
def test_it_is_the_whole_model(
    folder: Path, load: Load, reference: str, dtype: torch.dtype, quantization: Any
) -> None:
    if quantization != "none":
        pytest.importorskip("bitsandbytes")
    lean = held(load(reference, lean=True), dtype, quantization=quantization)
    whole = held(load(reference), dtype, quantization=quantization)
    assert {p.device.type for p in lean.source.model.parameters()} == {"meta"}
    assert torch.equal(logits(lean), logits(whole))
    assert lean.quantization == quantization and lean.held_bytes == whole.held_bytes
    for (name, ours), (other, expected) in zip(
        lean.source_parameters(), whole.source_parameters(), strict=True
    ):
        assert name == other and ours.dtype == torch.float32
        assert torch.equal(ours, expected)
    twin, _ = lean.private_copy()
    assert torch.equal(logits(twin), logits(whole.private_copy()[0]))
    assert lean.source.fingerprint == whole.source.fingerprint


def test_shards_in_half_precision_are_held_as_they_are(folder: Path, load: Load) -> None:
    sharded(folder)
    lean, whole = held(load("base", lean=True), torch.bfloat16), held(load("base"), torch.bfloat16)
    assert torch.equal(logits(lean), logits(whole))
    weights = lean.source.weights
    assert weights is not None and weights.is_exact_in(torch.bfloat16)
    assert not weights.is_exact_in(torch.float16)
    # What is stored is all that there is, so nothing is read a second time.
    weights.read = None  # type: ignore[assignment,method-assign]
    assert torch.equal(lean.source_head, whole.source_head)


def test_rotary_angles_stay_in_float32(folder: Path, load: Load) -> None:
    for source in (load("base", lean=True), load("base")):
        base = held(source, torch.bfloat16)
        angles = [b for name, b in base.model.named_buffers() if name.endswith("inv_freq")]
        assert angles and {b.dtype for b in angles} == {torch.float32}


def test_a_tensor_is_read_when_it_is_asked_for(folder: Path) -> None:
    file = folder / "model.safetensors"
    expected = load_file(file)
    found = stored_tensors([file], mapped_in=None)
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert isinstance(tensor, StoredTensor)
        assert tensor.get_shape() == list(expected[name].shape)
        assert torch.equal(tensor[...], expected[name])
        assert torch.equal(tensor[1:], expected[name][1:])
    assert not any(
        isinstance(tensor, StoredTensor)
        for tensor in stored_tensors([file], mapped_in=torch.float32).values()
    )


def test_an_original_is_read_once(load: Load) -> None:
    draws = 0
    source = load("scratch:tiny-llama", lean=True)
    weights = source.weights
    assert isinstance(weights, RandomWeights)
    draw = weights._draw

    def counted() -> Any:
        nonlocal draws
        draws += 1
        return draw()

    weights._draw = counted
    base = held(source, torch.bfloat16)
    assert draws == 1
    assert len(list(base.source_parameters())) > 1 and base.source_head.dtype == torch.float32
    assert draws == 2


def test_a_checkpoint_of_bitsandbytes_loads_as_it_is(
    folder: Path, load: Load, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    auto: Any = AutoModelForCausalLM
    quantizing = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )
    model = auto.from_pretrained(folder, dtype=torch.float32, quantization_config=quantizing)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder)
    ids = torch.arange(3, 23)[None]
    # In evaluation the library rounds to bfloat16 on processors that multiply it.
    model.train()
    expected = model(ids).logits.detach()
    base = held(load("base", lean=True))
    assert base.quantization == "nf4"
    torch.testing.assert_close(logits(base), expected, atol=1e-4, rtol=1e-4)
    assert held(load("base", lean=True), quantization="nf4").quantization == "nf4"
    with pytest.raises(BaseModelError, match=r"stored in nf4 already.*int8"):
        held(load("base", lean=True), quantization="int8")
    with pytest.raises(BaseModelError, match="name the unquantised one"):
        load("base")


@pytest.mark.parametrize("lean", [False, True])
def test_shards_that_are_not_what_their_index_says(folder: Path, load: Load, lean: bool) -> None:
    sharded(folder)
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    names = sorted(content["weight_map"])
    first, second = sorted(set(content["weight_map"].values()))[:2]

    def refused(changed: dict[str, Any]) -> str:
        index.write_text(json.dumps(changed))
        with pytest.raises(CheckpointError) as caught:
            load("base", lean=lean)
        return str(caught.value)

    moved = copy.deepcopy(content)
    name = next(n for n in names if content["weight_map"][n] == first)
    moved["weight_map"][name] = second
    assert f"says that {name} is in {second}, but {first} has it" in refused(moved)
    lacking = copy.deepcopy(content)
    del lacking["weight_map"][name]
    assert f"does not name {name}, which is in {first}" in refused(lacking)
    made_up = copy.deepcopy(content)
    made_up["weight_map"]["made.up"] = first
    assert f"says that made.up is in {first}, but no shard has it" in refused(made_up)
    index.write_text(json.dumps(content))
    file = folder / second
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    assert f"{second}: torn" in refused(content)
    file.unlink()
    assert f"{second}: missing" in refused(content)


def test_a_weight_that_the_files_lack_is_named(folder: Path, load: Load) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.norm.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lack model\.norm\.weight"):
        held(load("base", lean=True))

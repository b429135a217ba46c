"""Full tuning's own rules; what all methods share stands in test_contract.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from bakeoff.base.attention.interface import ATTENTION_NAME
from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.weights.sources import load_source
from bakeoff.engine.cohort import Cohort
from bakeoff.methods.contract import ExecutionPath, Method
from bakeoff.methods.full import FullStack

ARCHITECTURES = ("gpt_neo", "llama", "gpt2", "gpt_neox")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_export_is_a_transformers_checkpoint(
    architecture: str,
    build: Callable[..., Method],
    base_of: Callable[[str], Base],
    perturbed: Callable[[Method], dict[str, Tensor]],
    ids_BT: Tensor,
    solo_logits: Callable[..., Tensor],
    tmp_path: Path,
) -> None:
    base = base_of(architecture)
    method = build("full", base)
    tensors = perturbed(method)
    folder = tmp_path / "export"
    method.save(tensors, folder)
    auto: Any = AutoModelForCausalLM
    with silence_libraries():
        model, report = auto.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    expected = solo_logits(method, tensors, ids_BT)
    with torch.no_grad():
        gap = model.eval()(input_ids=ids_BT).logits - expected
    assert gap.abs().max() <= 1e-5
    assert ATTENTION_NAME not in (folder / "config.json").read_text()
    assert json.loads((folder / "config.json").read_text())["architectures"] == [
        type(base.model).__name__
    ]
    text = "Prices rose, it said."
    make: Any = AutoTokenizer
    tokenizer = make.from_pretrained(folder)
    assert tokenizer(text)["input_ids"] == base.tokenizer(text)["input_ids"]
    assert tokenizer.eos_token_id == base.tokenizer.eos_token_id

    # And it is a base of its own.
    again = load_source(str(folder), root=tmp_path, cache_dir=tmp_path / "cache")
    second = Base(again, device=torch.device("cpu"), dtype=torch.float32)
    method = build("full", second)
    logits = solo_logits(method, method.initial(torch.Generator()), ids_BT)
    assert (logits - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_parameters_are_trained_and_tied_ones_once(
    architecture: str,
    build: Callable[..., Method],
    base_of: Callable[[str], Base],
    fresh: Callable[[str], PreTrainedModel],
) -> None:
    method = build("full", base_of(architecture))
    expected = {n: tuple(p.shape) for n, p in fresh(architecture).named_parameters()}
    assert dict(sorted(method.shapes.items())) == dict(sorted(expected.items()))
    assert method.execution_path is ExecutionPath.OWN_BASE


def test_it_trains_alone(build: Callable[..., Method], base_of: Callable[[str], Base]) -> None:
    base = base_of("gpt_neo")
    method = build("full", base)
    with pytest.raises(ValueError, match="one slot"):
        Cohort(base, [method], 2)
    stack = Cohort(base, [method], 1).stacks["full"]
    assert isinstance(stack, FullStack)
    assert stack.own_base.model is not base.model
    assert stack.own_base.is_tied


def test_it_starts_from_float32_even_where_the_base_computes_in_less(
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
) -> None:
    from dataclasses import replace

    source = replace(base_of("llama").source, model=fresh("llama"))
    low = Base(source, device=torch.device("cpu"), dtype=torch.bfloat16)
    for kind in ("full", "head"):
        exact = build(kind, base_of("llama")).initial(torch.Generator())
        rounded = build(kind, low).initial(torch.Generator())
        for name, tensor in exact.items():
            assert torch.equal(rounded[name], tensor), name

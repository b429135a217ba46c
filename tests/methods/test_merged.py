"""Merged equals unmerged, on disk and in the base's own weights, and comes out to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from bakeoff.base.checkpoint import write_checkpoint
from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import Method
from bakeoff.methods.registry import METHODS
from bakeoff.methods.switcher import Switcher

ARCHITECTURES = ("gpt_neo", "llama", "gpt2", "gpt_neox")
MERGEABLE: list[tuple[str, dict[str, Any]]] = [
    # Llama has no biases to fit.
    (kind, {"norms": True} if kind == "bitfit" else {})
    for kind, spec in METHODS.items()
    if spec.mergeable and spec.family_option is None
]
MERGEABLE += [
    ("head", {"tied": True}),
    ("lora", {"init": "pissa", "rank": 3, "target_modules": "all-linear"}),
    ("lora", {"target_modules": "all-linear", "alpha": 3.0, "rank_stabilised": True}),
    ("dora", {"target_modules": "all-linear", "alphas": {".*": 20.0}}),
    ("peft", {"peft_type": "VERA", "r": 8}),
]
CASES = [
    (architecture, kind, options)
    for architecture in ARCHITECTURES
    for kind, options in MERGEABLE
    if not (options.get("tied") and architecture in ("llama", "gpt_neox"))
]
Perturbed = Callable[..., dict[str, Tensor]]


@pytest.fixture(params=CASES, ids=lambda c: "-".join([c[0], c[1], *c[2]]))
def method(
    request: pytest.FixtureRequest, base_of: Callable[[str], Base], build: Callable[..., Method]
) -> Method:
    architecture, kind, options = request.param
    return build(kind, base_of(architecture), **options)


def bits(base: Base) -> dict[str, Tensor]:
    state = base.model.named_parameters(remove_duplicate=False)
    return {name: parameter.detach().clone() for name, parameter in state}


def test_a_merged_checkpoint_is_an_ordinary_one_with_the_same_logits(
    method: Method,
    tmp_path: Path,
    ids_BT: Tensor,
    perturbed: Perturbed,
    solo_logits: Callable[..., Tensor],
) -> None:
    tensors = perturbed(method)
    base, weights = method.base, method.merged_weights(tensors)
    write_checkpoint(base, weights, tmp_path)
    with silence_libraries(), torch.no_grad():
        auto: Any = AutoModelForCausalLM
        model, info = auto.from_pretrained(str(tmp_path), output_loading_info=True)
        found = model.eval()(input_ids=ids_BT).logits
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    assert (found - solo_logits(method, tensors, ids_BT)).abs().max() <= 1e-5
    is_shared = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    names = (f"{base.head_name}.weight", f"{base.embedding_name}.weight")
    unties = names[0] in weights and names[1] not in weights
    assert is_shared == (base.is_tied and not unties)
    assert (tmp_path / "tokenizer_config.json").exists()


def test_merged_into_the_base_it_computes_the_same_and_leaves_no_trace(
    method: Method,
    ids_BT: Tensor,
    perturbed: Perturbed,
    solo_logits: Callable[..., Tensor],
    untuned_logits: Callable[..., Tensor],
) -> None:
    base, tensors = method.base, perturbed(method)
    expected, before = solo_logits(method, tensors, ids_BT), bits(base)
    head = base.head.weight
    switcher = Switcher(base)
    with switcher.merged(method, tensors):
        assert (untuned_logits(base, ids_BT) - expected).abs().max() <= 1e-5
        with pytest.raises(RuntimeError, match="merged already"):
            switcher.merge(method, tensors)
    after = bits(base)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert base.head.weight is head
    assert not any(p.requires_grad for p in base.model.parameters())


def test_switching_a_thousand_times_in_bfloat16_leaves_every_bit(
    base_of: Callable[[str], Base], build: Callable[..., Method], perturbed: Perturbed
) -> None:
    source = base_of("gpt2").source
    base = Base(source, device=torch.device("cpu"), dtype=torch.bfloat16, probe=False)
    methods = [
        build("lora", base, rank=2),
        build("dora", base, rank=2),
        build("head", base),
    ]
    tensors = [perturbed(method, seed) for seed, method in enumerate(methods)]
    # What each merge has to give whatever came before it.
    merged = []
    for method, found in zip(methods, tensors, strict=True):
        with Switcher(base).merged(method, found):
            merged.append(bits(base))
    original, switcher = bits(base), Switcher(base)
    for turn in range(1000):
        switcher.switch(methods[turn % 3], tensors[turn % 3])
        if turn % 100 == turn // 100:
            found = bits(base)
            assert all(torch.equal(found[n], t) for n, t in merged[turn % 3].items()), turn
    switcher.unmerge()
    assert not switcher.is_merged
    found = bits(base)
    assert all(torch.equal(found[name], tensor) for name, tensor in original.items())


def test_by_subtraction_the_bits_would_be_lost() -> None:
    """Why the weights are kept: the reference of the test above must be able to fail."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(32, 32, generator=generator).bfloat16()
    drifting = weight.clone()
    for _ in range(100):
        update = (0.1 * torch.randn(32, 32, generator=generator)).bfloat16()
        drifting += update
        drifting -= update
    assert not torch.equal(drifting, weight)


def test_what_changes_no_weights_is_refused_and_nothing_is_changed(
    base_of: Callable[[str], Base], build: Callable[..., Method]
) -> None:
    base = base_of("llama")
    prompt = build("soft_prompt", base)
    assert not type(prompt).is_mergeable()
    switcher, before = Switcher(base), bits(base)
    with pytest.raises(ConfigError, match=r"^methods\.x: soft_prompt changes no weights"):
        switcher.merge(prompt, prompt.initial(torch.Generator()))
    assert not switcher.is_merged
    assert all(torch.equal(t, bits(base)[n]) for n, t in before.items())


def test_the_head_is_a_parameter_again_after_each_merge(
    base_of: Callable[[str], Base], build: Callable[..., Method], perturbed: Perturbed
) -> None:
    base = base_of("gpt_neo")
    untied, tied = build("head", base), build("head", base, tied=True)
    switcher = Switcher(base)
    switcher.merge(untied, perturbed(untied))
    assert isinstance(base.head.weight, nn.Parameter)
    assert base.head.weight is not base.embedding.weight
    switcher.switch(tied, perturbed(tied))
    assert base.head.weight is base.embedding.weight
    switcher.unmerge()

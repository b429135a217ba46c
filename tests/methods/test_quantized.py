"""Methods over a base in 8 and 4 bits; PEFT over bitsandbytes' own layers is the oracle."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from bakeoff.base.model import Base
from bakeoff.base.quantized.library import use_bitsandbytes
from bakeoff.base.quantized.linear import QuantizedLinear
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import Source
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods.contract import Method
from bakeoff.methods.low_rank.lora import LoraStack
from bakeoff.methods.low_rank.updates import peft_name
from bakeoff.methods.registry import METHODS
from bakeoff.methods.switcher import Switcher
from bakeoff.types import Quantization

pytest.importorskip("bitsandbytes")
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

NEAR = 1e-3
ARCHITECTURES = ("llama", "gpt2")
OPTIONS: dict[str, dict[str, Any]] = {"bitfit": {"norms": True}, "prefix": {"prefix_length": 4}}
KINDS: list[tuple[str, dict[str, Any]]] = [
    (kind, OPTIONS.get(kind, {}))
    for kind, spec in METHODS.items()
    if not spec.whole_base and spec.family_option is None
]
KINDS += [("peft", {"peft_type": "VERA", "r": 8}), ("peft", {"peft_type": "LOHA", "r": 2})]
MERGEABLE = [(kind, options) for kind, options in KINDS if METHODS[kind].mergeable]


@pytest.fixture(scope="module")
def packed_base(fresh: Callable[[str], PreTrainedModel]) -> Callable[..., Base]:
    @cache
    def call(architecture: str, kind: Quantization = "nf4") -> Base:
        source = Source(
            reference=f"scratch:{architecture}",
            model=fresh(architecture),
            tokenizer=byte_tokenizer(40),
            fingerprint=architecture,
            description=architecture,
        )
        cpu = torch.device("cpu")
        return Base(source, device=cpu, dtype=torch.float32, quantization=kind)

    return call


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("kind", "options"), [("lora", {}), ("dora", {}), ("ia3", {})])
def test_outputs_and_gradients_are_those_of_peft_over_bitsandbytes(
    architecture: str,
    kind: str,
    options: dict[str, Any],
    packed_base: Callable[..., Base],
    build: Callable[..., Method],
    perturbed: Callable[..., dict[str, Tensor]],
    fresh: Callable[[str], PreTrainedModel],
    ids_BT: Tensor,
    solo_logits: Callable[..., Tensor],
    next_token_nll: Any,
    tmp_path: Path,
) -> None:
    method = build(kind, packed_base(architecture), **options)
    tensors = perturbed(method)
    method.write(tensors, tmp_path)
    theirs = fresh(architecture)
    use_bitsandbytes(theirs, "nf4")
    for module in theirs.modules():
        # Its own way for processors that multiply bfloat16 rounds, and refuses these sizes.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            vars(module)["support_avx512bf16_for_cpu"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the key that PEFT does not know
        tuned = peft.PeftModel.from_pretrained(theirs, str(tmp_path), is_trainable=True).eval()
    logits_BTV = tuned(input_ids=ids_BT).logits
    assert (solo_logits(method, tensors, ids_BT) - logits_BTV).abs().max() <= NEAR
    if kind != "lora":
        return
    lengths_B = torch.full((ids_BT.shape[0],), ids_BT.shape[1])
    F.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten()).backward()
    wanted = {n.replace(".default", ""): p.grad for n, p in tuned.named_parameters()}
    with Cohort(method.base, [method], 1, ProtocolOptions()) as cohort:
        cohort.seat(0, method, tensors)
        assert cohort.optimizer is not None
        cohort.optimizer.zero_grad()
        next_token_nll(cohort, ids_BT[None], lengths_B[None]).sum().backward()
        stack = cohort.stacks[kind]
        assert isinstance(stack, LoraStack)
        for name, tensor in stack.tensors.items():
            expected = wanted[peft_name(name)]
            assert expected is not None and tensor.grad is not None
            scale = max(1.0, float(expected.abs().max()))
            assert (tensor.grad[0].t() - expected).abs().max() <= NEAR * scale


@pytest.mark.parametrize("kind", ["nf4", "int8"])
@pytest.mark.parametrize(("name", "options"), KINDS, ids=lambda v: str(v))
def test_every_method_trains_over_a_quantised_base(
    kind: Quantization,
    name: str,
    options: dict[str, Any],
    packed_base: Callable[..., Base],
    build: Callable[..., Method],
    ids_BT: Tensor,
    next_token_nll: Any,
) -> None:
    base = packed_base("llama", kind)
    before = [t.clone() for t in base.model.buffers()]
    method = build(name, base, **options)
    lengths_B = torch.full((1, ids_BT.shape[0]), ids_BT.shape[1])
    with Cohort(base, [method], 1, ProtocolOptions()) as cohort:
        assert any(isinstance(m, QuantizedLinear) for m in cohort.base.model.modules())
        cohort.seat(0, method, method.initial(torch.Generator().manual_seed(0)))
        assert cohort.optimizer is not None
        cohort.optimizer.zero_grad()
        next_token_nll(cohort, ids_BT[None], lengths_B).sum().backward()
        assert cohort.optimizer.grads_Kn.abs().max() > 0
    assert all(torch.equal(a, b) for a, b in zip(before, base.model.buffers(), strict=True))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("kind", "options"), MERGEABLE, ids=lambda v: str(v))
def test_merged_equals_unmerged_and_comes_out_again(
    architecture: str,
    kind: str,
    options: dict[str, Any],
    packed_base: Callable[..., Base],
    build: Callable[..., Method],
    perturbed: Callable[..., dict[str, Tensor]],
    ids_BT: Tensor,
    solo_logits: Callable[..., Tensor],
    untuned_logits: Callable[..., Tensor],
) -> None:
    base = packed_base(architecture)
    if kind == "peft" and architecture == "gpt2":
        pytest.skip("PEFT has no such adapter for GPT-2's own layers, into which it would merge")
    method = build(kind, base, **options)
    tensors = perturbed(method)
    expected, untuned = solo_logits(method, tensors, ids_BT), untuned_logits(base, ids_BT)
    with Switcher(base).merged(method, tensors):
        assert (untuned_logits(base, ids_BT) - expected).abs().max() <= NEAR
    assert torch.equal(untuned_logits(base, ids_BT), untuned)
    assert base.quantization == "nf4"

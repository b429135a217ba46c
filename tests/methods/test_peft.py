"""PEFT as the oracle, both ways: our adapters in PEFT, PEFT's adapters here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods import Method
from bakeoff.methods.ia3 import Ia3
from bakeoff.methods.lora import Lora
from bakeoff.model.base import Base

# Transformers warns of a name that PEFT still reads.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

LOGITS = 1e-5
GRADIENTS = 1e-4
LENGTHS_B = torch.tensor([12, 9, 4])
ARCHITECTURES = ("gpt_neo", "llama", "gpt2", "gpt_neox")

LORA: list[tuple[str, dict[str, Any]]] = [
    ("gpt_neo", {}),
    ("gpt_neo", {"rank": 3, "alpha": 12.0, "target_modules": "all-linear"}),
    ("gpt_neo", {"rank": 2, "alpha": 1.0, "target_modules": ("out_proj", "mlp.c_fc")}),
    ("gpt_neo", {"rank": 2, "target_modules": r".*h\.1\.(attn|mlp)\..*proj"}),
    ("llama", {}),
    ("llama", {"rank": 4, "alpha": 7.0, "target_modules": "all-linear"}),
    ("llama", {"rank": 4, "target_modules": ("model.layers.1.mlp.down_proj", "k_proj")}),
    ("gpt2", {"alpha": 16.0}),
    ("gpt2", {"rank": 3, "target_modules": "all-linear"}),
    ("gpt2", {"rank": 3, "alpha": 2.0, "target_modules": ("attn.c_proj",)}),
    ("gpt_neox", {"alpha": 4.0}),
    ("gpt_neox", {"rank": 5, "target_modules": "all-linear"}),
]
IA3: list[tuple[str, dict[str, Any]]] = [
    *((a, {}) for a in ARCHITECTURES),
    ("gpt_neo", {"target_modules": "all-linear", "feedforward_modules": ()}),
    ("llama", {"target_modules": ("k_proj", "layers.1.mlp.up_proj"), "feedforward_modules": ()}),
    ("llama", {"target_modules": ("q_proj", "o_proj"), "feedforward_modules": ("o_proj",)}),
    ("gpt2", {"target_modules": ("c_attn", "mlp.c_fc"), "feedforward_modules": ("mlp.c_fc",)}),
    ("llama", {"target_modules": ("k_proj", "up_proj")}),
    ("gpt_neox", {"target_modules": r".*\.1\.mlp\..*h.*", "feedforward_modules": r".*4h_to_h"}),
]
ORACLE = [(a, "lora", o) for a, o in LORA]
ORACLE += [(a, "ia3", o) for a, o in IA3]
ORACLE += [(a, "soft_prompt", {"prompt_length": 7}) for a in ARCHITECTURES]
ORACLE += [(a, "prefix", {"prefix_length": 4}) for a in ARCHITECTURES]


def case_id(case: tuple[str, str, dict[str, Any]]) -> str:
    targets = case[2].get("target_modules", "default")
    return f"{case[0]}-{case[1]}-{targets if isinstance(targets, str) else targets[0]}"


@pytest.fixture(params=ORACLE, ids=case_id)
def case(
    request: pytest.FixtureRequest, base_of: Callable[[str], Base], build: Callable[..., Method]
) -> tuple[str, Method]:
    architecture, kind, options = request.param
    return architecture, build(kind, base_of(architecture), **options)


def attention_mask(lengths_B: Tensor, num_tokens: int) -> Tensor:
    return (torch.arange(num_tokens) < lengths_B[:, None]).long()


def peft_logits(model: Any, ids_BT: Tensor) -> Tensor:
    """[B, T, V] at the tokens, right-padded rows."""
    mask = attention_mask(LENGTHS_B, ids_BT.shape[1])
    logits: Tensor = model(input_ids=ids_BT, attention_mask=mask).logits
    return logits[:, -ids_BT.shape[1] :]


def mean_nll(logits_BTV: Tensor, ids_BT: Tensor) -> Tensor:
    targets = ids_BT[:, 1:].masked_fill(
        attention_mask(LENGTHS_B, ids_BT.shape[1])[:, 1:] == 0, -100
    )
    return F.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), targets.flatten())


def largest_gap(a_BTV: Tensor, b_BTV: Tensor) -> float:
    return max(
        (a_BTV[row, :length] - b_BTV[row, :length]).abs().max().item()
        for row, length in enumerate(LENGTHS_B.tolist())
    )


def peft_gradient(model: Any, name: str) -> Tensor:
    """The gradient in PEFT's model of our tensor ``name``, in our orientation."""
    parameters = dict(model.named_parameters())
    if name == "prompt_embeddings":
        gradient = parameters["prompt_encoder.default.embedding.weight"].grad
    elif name.endswith("put_factors"):
        gradient = parameters[f"base_model.model.{name.rpartition('.')[0]}.ia3_l.default"].grad
        gradient = gradient.flatten()
    else:
        layer, part = name.rsplit(".", 1)
        key = f"base_model.model.{layer}.lora_{part[-1].upper()}.default.weight"
        gradient = parameters[key].grad.t()
    assert isinstance(gradient, Tensor)
    return gradient


def test_an_exported_adapter_gives_the_same_logits_and_gradients_in_peft(
    case: tuple[str, Method],
    tmp_path: Path,
    ids_BT: Tensor,
    fresh: Callable[[str], PreTrainedModel],
    perturbed: Callable[[Method], dict[str, Tensor]],
    solo_logits: Callable[..., Tensor],
    next_token_nll: Callable[..., Tensor],
) -> None:
    architecture, method = case
    tensors = perturbed(method)
    method.save(tensors, tmp_path)
    # PEFT mends a wrong value with a warning, so the file is looked at.
    config = peft.PeftConfig.from_pretrained(str(tmp_path))
    assert getattr(config, "fan_in_fan_out", architecture == "gpt2") == (architecture == "gpt2")
    theirs: Any = peft.PeftModel.from_pretrained(fresh(architecture), str(tmp_path)).eval()
    # PEFT refuses to load a prompt for training, so its parameters are chosen here.
    marks = ("lora_", "ia3_", "prompt_encoder")
    trained = [p for n, p in theirs.named_parameters() if any(mark in n for mark in marks)]
    for parameter in trained:
        parameter.requires_grad_(True)
    assert sum(parameter.numel() for parameter in trained) == method.num_trainable
    expected = peft_logits(theirs, ids_BT)
    assert largest_gap(solo_logits(method, tensors, ids_BT), expected.detach()) <= LOGITS

    mean_nll(expected, ids_BT).backward()
    with Cohort(method.base, [method], 1, ProtocolOptions()) as cohort:
        assert cohort.optimizer is not None
        cohort.seat(0, method, tensors)
        cohort.optimizer.zero_grad()
        next_token_nll(cohort, ids_BT[None], LENGTHS_B[None]).sum().backward()
        stack = cohort.stacks[method.kind]
        for name in method.shapes:
            ours = stack.tensors[name].grad
            assert ours is not None
            reference = peft_gradient(theirs, name)
            scale = reference.norm()
            assert scale > 0
            assert (ours[0] - reference).norm() <= GRADIENTS * scale, name


def test_an_adapter_made_by_peft_gives_the_same_logits_here(
    case: tuple[str, Method],
    tmp_path: Path,
    ids_BT: Tensor,
    fresh: Callable[[str], PreTrainedModel],
    solo_logits: Callable[..., Tensor],
) -> None:
    architecture, method = case
    config: Any
    if method.kind == "lora":
        assert isinstance(method, Lora)
        targets = method.options.target_modules
        config = peft.LoraConfig(
            task_type="CAUSAL_LM",
            r=method.options.rank,
            lora_alpha=method.alpha,  # type: ignore[arg-type]
            target_modules=list(targets) if isinstance(targets, tuple) else targets,
            fan_in_fan_out=architecture == "gpt2",
            init_lora_weights=False,
        )
    elif method.kind == "ia3":
        assert isinstance(method, Ia3)
        given = {k: v for k, v in vars(method.options).items() if v is not None}
        options: dict[str, Any] = {k: list(v) if type(v) is tuple else v for k, v in given.items()}
        config = peft.IA3Config(
            task_type="CAUSAL_LM",
            fan_in_fan_out=architecture == "gpt2",
            init_ia3_weights=False,
            **options,
        )
    elif method.kind == "prefix":
        config = peft.PrefixTuningConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=method.extra_positions
        )
    else:
        config = peft.PromptTuningConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=method.extra_positions
        )
    theirs: Any = peft.get_peft_model(fresh(architecture), config).eval()
    theirs.save_pretrained(str(tmp_path))
    tensors = method.load(tmp_path)
    with torch.no_grad():
        expected = peft_logits(theirs, ids_BT)
    assert largest_gap(solo_logits(method, tensors, ids_BT), expected) <= LOGITS


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("targets", [None, "all-linear"])
def test_the_target_layers_are_those_that_peft_takes(
    architecture: str,
    targets: str | None,
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
) -> None:
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", target_modules=targets, fan_in_fan_out=architecture == "gpt2"
    )
    model = peft.get_peft_model(fresh(architecture), config)
    theirs = [
        name.removeprefix("base_model.model.")
        for name, module in model.named_modules()
        if isinstance(module, peft.tuners.lora.LoraLayer)
    ]
    ours = build("lora", base_of(architecture), target_modules=targets)
    assert isinstance(ours, Lora)
    assert sorted(ours.targets) == sorted(theirs)


@pytest.mark.parametrize(
    "text",
    ["Summarize: ", "A text of more bytes than the prompt has vectors"],
    ids=["cycle", "cut"],
)
@pytest.mark.parametrize("architecture", ["gpt_neo", "llama"])
def test_a_prompt_from_text_starts_as_pefts(
    architecture: str,
    text: str,
    tmp_path: Path,
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
) -> None:
    base = base_of(architecture)
    base.tokenizer.save_pretrained(str(tmp_path))
    config = peft.PromptTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=25,
        prompt_tuning_init="TEXT",
        prompt_tuning_init_text=text,
        tokenizer_name_or_path=str(tmp_path),
    )
    model: Any = peft.get_peft_model(fresh(architecture), config)
    ours = build("soft_prompt", base, prompt_length=25, init=text).initial(torch.Generator())
    assert torch.equal(ours["prompt_embeddings"], model.prompt_encoder.default.embedding.weight)

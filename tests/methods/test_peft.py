"""PEFT as the oracle, both ways: our adapters in PEFT, PEFT's adapters here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.optimizers import create_loraplus_optimizer
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from bakeoff.base.model import Base
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods.contract import Method
from bakeoff.methods.ia3 import Ia3
from bakeoff.methods.low_rank.lora import Lora, LoraStack
from bakeoff.methods.low_rank.updates import peft_name

# Transformers warns of a name that PEFT still reads.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

LOGITS = 3e-5
"""Processors add up in other orders: 1.2e-5 was seen."""
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
    ("gpt_neo", {"rank": 4, "ranks": {"h.1.attn.*": 6, "q_proj": 2}, "rank_stabilised": True}),
    ("llama", {"target_modules": "all-linear", "alphas": {"down_proj": 3.5}, "dropout": 0.25}),
    ("gpt2", {"rank": 2, "alpha": 6.0, "ranks": {"c_attn": 3}, "alphas": {"c_attn": 1.0}}),
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
ORACLE += [(a, "dora", {"rank": 3, "alpha": 5.0}) for a in ARCHITECTURES]
ORACLE += [(a, "dora", {"target_modules": "all-linear"}) for a in ARCHITECTURES]
ORACLE += [("llama", "dora", {"ranks": {"q_proj": 2}, "rank_stabilised": True})]
ORACLE += [(a, "ia3", o) for a, o in IA3]
ORACLE += [(a, "soft_prompt", {"prompt_length": 7}) for a in ARCHITECTURES]
ORACLE += [(a, "prefix", {"prefix_length": 4}) for a in ARCHITECTURES]


def case_id(case: tuple[str, str, dict[str, Any]]) -> str:
    targets = case[2].get("target_modules", "default")
    others = [key for key in case[2] if key not in ("target_modules", "rank", "alpha")]
    first = targets if isinstance(targets, str) else targets[0]
    return "-".join([case[0], case[1], first, *others])


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
        key = peft_name(name)
        # The adapter's name stands before what is stored of a layer of its own.
        stem, dot, leaf = key.partition(".weight")
        key = f"{stem}.default{dot}{leaf}" if dot else f"{key}.default.weight"
        gradient = parameters[key].grad.t()
    assert isinstance(gradient, Tensor)
    return gradient


def peft_parameters(model: Any, method: Method) -> dict[str, Any]:
    """PEFT's parameters by the names of ours."""
    parameters = dict(model.named_parameters())
    found = {}
    for name in method.shapes:
        stem = peft_name(name).removesuffix(".weight")
        found[name] = parameters[f"{stem}.default.weight"]
    return found


def peft_config(architecture: str, method: Method) -> Any:
    """PEFT's configuration of a method's options."""
    if isinstance(method, Ia3):
        given = {k: v for k, v in vars(method.options).items() if v is not None}
        told: dict[str, Any] = {k: list(v) if type(v) is tuple else v for k, v in given.items()}
        return peft.IA3Config(
            task_type="CAUSAL_LM",
            fan_in_fan_out=architecture == "gpt2",
            init_ia3_weights=False,
            **told,
        )
    if not isinstance(method, Lora):
        prompts = {"prefix": peft.PrefixTuningConfig, "soft_prompt": peft.PromptTuningConfig}
        return prompts[method.kind](
            task_type="CAUSAL_LM", num_virtual_tokens=method.extra_positions
        )
    options = method.options
    targets, alpha = options.target_modules, options.alpha
    alphas = dict(options.alphas or {})
    if alpha is None:
        # Ours is a layer's own rank then.
        alpha = options.rank
        alphas |= {name: rank for name, rank in (options.ranks or {}).items() if name not in alphas}
    return peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=options.rank,
        lora_alpha=alpha,
        rank_pattern=dict(options.ranks or {}),
        alpha_pattern=alphas,
        lora_dropout=options.dropout,
        use_rslora=options.rank_stabilised,
        use_dora=method.kind == "dora",
        target_modules=list(targets) if isinstance(targets, tuple) else targets,
        fan_in_fan_out=architecture == "gpt2",
        init_lora_weights=False,
    )


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
    config = peft_config(architecture, method)
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


@pytest.mark.parametrize("stabilised", [False, True])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_pissa_starts_and_is_converted_as_by_peft(
    architecture: str,
    stabilised: bool,
    tmp_path: Path,
    ids_BT: Tensor,
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[[Method], dict[str, Tensor]],
    solo_logits: Callable[..., Tensor],
) -> None:
    options = {"rank": 4, "alpha": 6.0, "rank_stabilised": stabilised}
    method = build("lora", base_of(architecture), init="pissa", **options)
    assert isinstance(method, Lora)
    config = peft_config(architecture, build("lora", base_of(architecture), **options))
    config.init_lora_weights = "pissa"
    theirs: Any = peft.get_peft_model(fresh(architecture), config).eval()
    parameters = dict(theirs.named_parameters())
    initial = method.initial(torch.Generator())
    for name in method.targets:
        a_RD, b_ER = (
            parameters[f"base_model.model.{name}.lora_{part}.default.weight"] for part in "AB"
        )
        # Singular vectors have no sign, so their products are compared.
        expected = b_ER @ a_RD
        ours = (initial[f"{name}.lora_a"] @ initial[f"{name}.lora_b"]).t()
        assert (ours - expected).abs().max() <= 1e-4 * expected.abs().max()
    theirs.save_pretrained(str(tmp_path / "initial"))
    tensors = perturbed(method)
    with torch.no_grad():
        for name, tensor in tensors.items():
            layer, _, part = name.rpartition(".")
            key = f"base_model.model.{layer}.lora_{part[-1].upper()}.default.weight"
            parameters[key].copy_(tensor.t())
        expected = peft_logits(theirs, ids_BT)
    assert largest_gap(solo_logits(method, tensors, ids_BT), expected) <= 2 * LOGITS

    method.save(tensors, tmp_path / "ours")
    plain: Any = peft.PeftModel.from_pretrained(fresh(architecture), str(tmp_path / "ours")).eval()
    with torch.no_grad():
        # The converted file has both the trained and the first vectors, so it rounds twice.
        assert largest_gap(peft_logits(plain, ids_BT), expected) <= 2 * LOGITS


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_loraplus_has_the_rates_that_pefts_optimizer_gives(
    kind: str,
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[[Method], dict[str, Tensor]],
) -> None:
    options = {"rank": 3, "target_modules": "all-linear"}
    plus = build(kind, base_of("llama"), **options, loraplus_lr_ratio=4.0)
    plain = build(kind, base_of("llama"), **options)
    theirs: Any = peft.get_peft_model(fresh("llama"), peft_config("llama", plus))
    tensors, rates = perturbed(plus), [3e-2, 1e-2, 2e-3]
    protocol = ProtocolOptions(max_grad_norm=None, weight_decay=0.1)
    with Cohort(plus.base, [plus, plain], 2, protocol) as cohort:
        optimizer, stack = cohort.optimizer, cohort.stacks[kind]
        assert optimizer is not None
        for slot, (method, ratio) in enumerate([(plus, 4.0), (plain, 1.0)]):
            cohort.seat(slot, method, tensors)
            parameters = peft_parameters(theirs, method)
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.copy_(tensors[name].t())
            reference = create_loraplus_optimizer(
                theirs,
                torch.optim.AdamW,
                lr=rates[0],
                loraplus_lr_ratio=ratio,
                loraplus_weight_decay=0.1,
                foreach=False,
            )
            first = [group["lr"] for group in reference.param_groups]
            for update, rate in enumerate(rates):
                for group, begun in zip(reference.param_groups, first, strict=True):
                    group["lr"] = begun * rate / rates[0]
                optimizer.zero_grad()
                for number, (name, parameter) in enumerate(parameters.items()):
                    generator = torch.Generator().manual_seed(100 * update + number)
                    drawn = torch.randn(tensors[name].shape, generator=generator)
                    parameter.grad = drawn.t().contiguous()
                    grad = stack.tensors[name].grad
                    assert grad is not None
                    grad[slot] = drawn
                optimizer.step(torch.full((2,), rate, dtype=torch.float64), torch.zeros(2))
                reference.step()
            for name, parameter in parameters.items():
                torch.testing.assert_close(stack.tensors[name][slot].t(), parameter.detach())
            cohort.vacate(slot)


def test_dropout_acts_where_pefts_does(
    ids_BT: Tensor,
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[[Method], dict[str, Tensor]],
    token_logits: Callable[..., Tensor],
    tmp_path: Path,
) -> None:
    for kind, architecture in (("lora", "llama"), ("dora", "llama"), ("dora", "gpt2")):
        base = base_of(architecture)
        method = build(kind, base, rank=2, target_modules="all-linear", dropout=0.5)
        assert isinstance(method, Lora)
        tensors = perturbed(method)
        method.save(tensors, tmp_path / kind / architecture)
        theirs: Any = peft.PeftModel.from_pretrained(
            fresh(architecture), str(tmp_path / kind / architecture), is_trainable=True
        )
        # GPT-2 has dropout of its own, so only the adapted layers are set to train.
        theirs.eval()
        with Cohort(base, [method], 1, ProtocolOptions()) as cohort, torch.no_grad():
            cohort.seat(0, method, tensors, seed=9)
            stack = cohort.stacks[kind]
            assert isinstance(stack, LoraStack)
            with cohort.training_pass(torch.tensor(0), len(ids_BT)):
                found = token_logits(cohort, ids_BT[None])[0]
                for name in method.targets:
                    layer = theirs.get_submodule(f"base_model.model.{name}")
                    layer.lora_dropout["default"] = _OurDropout(stack, name)
                    layer.training = True
                expected = theirs(input_ids=ids_BT).logits
            evaluated = token_logits(cohort, ids_BT[None])[0]
        theirs.eval()
        with torch.no_grad():
            assert largest_gap(evaluated, peft_logits(theirs, ids_BT)) <= LOGITS
        assert (found - expected).abs().max() <= LOGITS
        assert (found - evaluated).abs().max() > 1e-2


class _OurDropout(torch.nn.Module):
    """Our masks in PEFT's place for them."""

    def __init__(self, stack: LoraStack, layer: str) -> None:
        super().__init__()
        self.stack, self.layer = stack, layer

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_1ND = x_BTD.flatten(0, -2)[None]
        return self.stack._dropped(self.layer, range(1), x_1ND)[0].view(x_BTD.shape)

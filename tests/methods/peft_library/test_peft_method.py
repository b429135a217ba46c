"""PEFT's own methods: their files, their merging, their refusals, AdaLoRA's budget."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from bakeoff.base.model import Base
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import Method
from bakeoff.methods.peft_library.method import PeftMethod
from bakeoff.methods.peft_library.stack import PeftStack
from bakeoff.methods.specs.peft import options_of, peft_types, read_peft_options
from bakeoff.methods.switcher import Switcher

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

ADALORA = {"peft_type": "ADALORA", "total_step": 8, "tinit": 1, "tfinal": 2, "init_r": 6}
TYPES: list[dict[str, Any]] = [
    {"peft_type": "LOHA", "r": 2},
    {"peft_type": "LOKR", "r": 2},
    {"peft_type": "OFT", "oft_block_size": 8},
    {"peft_type": "VERA", "r": 4},
    {"peft_type": "IA3"},
    {"peft_type": "LN_TUNING"},
    {"peft_type": "HRA", "r": 4},
    {"peft_type": "FOURIERFT", "n_frequency": 20},
    ADALORA,
]


@pytest.fixture(params=TYPES, ids=lambda options: options["peft_type"])
def method(
    request: pytest.FixtureRequest, base_of: Callable[[str], Base], build: Callable[..., Method]
) -> PeftMethod:
    built = build("peft", base_of("llama"), **request.param)
    assert isinstance(built, PeftMethod)
    return built


def test_peft_loads_what_is_saved_with_the_same_logits_and_gradients(
    method: PeftMethod,
    tmp_path: Path,
    ids_BT: Tensor,
    fresh: Callable[[str], PreTrainedModel],
    perturbed: Callable[[Method], dict[str, Tensor]],
    solo_logits: Callable[..., Tensor],
    next_token_nll: Callable[..., Tensor],
) -> None:
    tensors = perturbed(method)
    method.save(tensors, tmp_path)
    theirs: Any = peft.PeftModel.from_pretrained(
        fresh("llama"), str(tmp_path), is_trainable=True
    ).eval()
    outcome = theirs.base_model.model(input_ids=ids_BT, labels=ids_BT)
    gap = solo_logits(method, tensors, ids_BT) - outcome.logits
    assert gap.abs().max() <= 1e-5
    outcome.loss.backward()
    trained = {n: p for n, p in theirs.named_parameters() if p.requires_grad}
    assert set(trained) == set(method.shapes)
    with Cohort(method.base, [method], 1, ProtocolOptions()) as cohort:
        assert cohort.optimizer is not None
        cohort.seat(0, method, tensors)
        cohort.optimizer.zero_grad()
        next_token_nll(cohort, ids_BT[None], torch.full((1, 3), 12)).sum().backward()
        for name, parameter in trained.items():
            ours = cohort.stacks["peft"].tensors[name].grad
            assert ours is not None and parameter.grad is not None, name
            assert (ours - parameter.grad).norm() <= 1e-4 * parameter.grad.norm() + 1e-8, name


def test_merged_by_peft_equals_unmerged(
    method: PeftMethod,
    ids_BT: Tensor,
    perturbed: Callable[[Method], dict[str, Tensor]],
    solo_logits: Callable[..., Tensor],
    untuned_logits: Callable[..., Tensor],
) -> None:
    tensors = perturbed(method)
    expected = solo_logits(method, tensors, ids_BT)
    with Switcher(method.base).merged(method, tensors) as base:
        assert (untuned_logits(base, ids_BT) - expected).abs().max() <= 1e-5


def test_adalora_moves_its_budget_as_in_pefts_own_loop(
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    ids_BT: Tensor,
    next_token_nll: Callable[..., Tensor],
    fresh: Callable[[str], PreTrainedModel],
) -> None:
    method = build("peft", base_of("llama"), **ADALORA, target_r=2, deltaT=1, lora_alpha=6)
    assert isinstance(method, PeftMethod)
    initial = method.initial(torch.Generator().manual_seed(3))
    protocol = ProtocolOptions(weight_decay=0.01, max_grad_norm=None)
    theirs = method.wrap(fresh("llama"))
    parameters = {n: p for n, p in theirs.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(initial[name])
    adamw = torch.optim.AdamW(parameters.values(), lr=1e-2, weight_decay=0.01)
    with Cohort(method.base, [method], 1, protocol) as cohort:
        assert cohort.optimizer is not None
        cohort.seat(0, method, initial)
        for step in range(1, 9):
            cohort.optimizer.zero_grad()
            nll_K = next_token_nll(cohort, ids_BT[None], torch.full((1, 3), 12))
            penalty_K = cohort.penalty()
            assert penalty_K is not None
            loss_K = nll_K + penalty_K
            loss_K.sum().backward()
            cohort.optimizer.step(torch.tensor([1e-2], dtype=torch.float64), loss_K.detach())
            cohort.after_update()
            adamw.zero_grad()
            loss = theirs.base_model(input_ids=ids_BT, labels=ids_BT).loss
            assert loss.item() == pytest.approx(loss_K.item(), rel=1e-5)
            loss.backward()
            adamw.step()
            theirs.base_model.update_and_allocate(step)
            # A slot's memory is all that going on needs.
            stack = cohort.stacks["peft"]
            assert isinstance(stack, PeftStack)
            remembered, tensors = stack.memory(0), cohort.take(0)
            stack.place(0, method, tensors)
            stack.recall(0, remembered)
        found = cohort.take(0)
    for name, parameter in parameters.items():
        torch.testing.assert_close(found[name], parameter.detach(), rtol=1e-3, atol=1e-5)
    ranks = [int((t != 0).sum()) for n, t in found.items() if "lora_E" in n]
    assert sum(ranks) == 2 * len(ranks) < 6 * len(ranks)


def test_the_types_are_those_of_the_installed_peft_that_act_in_layers() -> None:
    assert {"LORA", "ADALORA", "LOHA", "OFT", "BOFT", "VERA", "HRA", "LN_TUNING"} <= set(
        peft_types()
    )
    assert not {"PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "CPT"} & set(peft_types())
    for name in peft_types():
        assert options_of(name)().peft_type is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"peft_type": "LOHAA"},
            r"methods.x.peft_type: 'LOHAA' is not a method .*did you mean LOHA\?",
        ),
        ({}, r"methods.x.peft_type: None is not a method of the installed PEFT"),
        ({"peft_type": "PREFIX_TUNING"}, "puts trained vectors before the tokens"),
        ({"peft_type": "LOHA", "rnk": 4}, r"methods.x.rnk = 4: unknown key; .*Known keys: .*r, "),
        ({"peft_type": "LOHA", "r": "4"}, r"methods.x.r = .*must be a whole number"),
    ],
)
def test_wrong_options_are_told_by_place(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_peft_options(options, path="methods.x")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"peft_type": "LOHA", "rank_dropout": 0.1}, "methods.x.rank_dropout: 0.1 has no effect"),
        ({"peft_type": "LOHA", "target_modules": ["nope"]}, "PEFT refuses LOHA .*nope"),
        ({"peft_type": "POLY"}, "POLY does not work in a study's loop"),
        ({"peft_type": "TRAINABLE_TOKENS", "token_indices": [1]}, "replaces the embedding"),
    ],
)
def test_what_does_not_work_on_a_base_says_why(
    options: dict[str, Any],
    words: str,
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
) -> None:
    before = torch.get_rng_state()
    with pytest.raises(ConfigError, match=words):
        build("peft", base_of("llama"), **options)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_adapter_loads_over_the_same_base_by_another_path(
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[[Method], dict[str, Tensor]],
    tmp_path: Path,
) -> None:
    method = build("peft", base_of("llama"), peft_type="LOHA", r=2)
    tensors = perturbed(method)
    method.save(tensors, tmp_path)
    file = tmp_path / "adapter_config.json"
    given = json.loads(file.read_text(encoding="utf-8"))
    assert given["base_model_name_or_path"]
    given |= {"base_model_name_or_path": "/elsewhere", "task_type": None}
    file.write_text(json.dumps(given), encoding="utf-8")
    found = method.load(tmp_path)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())

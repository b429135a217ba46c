"""Twenty updates of a cohort against a plain PyTorch loop over Transformers' and PEFT's models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from bakeoff.data.batches import BatchPlan, Step
from bakeoff.engine.batch_source import (
    BatchSource,
    HiddenStateSource,
    TokenSource,
    keep_hidden_states,
)
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.step import train_step
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from tests.plans import parts_of

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

NUM_UPDATES = 20
SEED = 5
PROTOCOL = ProtocolOptions(
    micro_batch_size=3, grad_accum_steps=2, max_grad_norm=0.5, weight_decay=0.05
)
LORA_TARGETS = {
    "gpt_neo": ("q_proj", "v_proj", "c_fc"),
    "llama": ("q_proj", "v_proj", "down_proj"),
}


@dataclass(frozen=True)
class Plain:
    """The reference: a model, and which of its parameters stand for which trained tensor."""

    model: nn.Module
    trained: dict[str, nn.Parameter]
    transposed: bool = False
    num_prompt: int = 0

    def named(self, tensors: dict[str, Tensor]) -> Tensors:
        return {n: t.detach().t() if self.transposed else t.detach() for n, t in tensors.items()}


def plain_lora(model: PreTrainedModel, method: Any, initial: Tensors) -> Plain:
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=method.options.rank,
        lora_alpha=method.options.alpha,
        target_modules=list(method.options.target_modules),
        lora_dropout=0.0,
    )
    peft: Any = get_peft_model(model, config)
    trained = {}
    for name in initial:
        layer, _, part = name.rpartition(".")
        module = peft.base_model.model.get_submodule(layer)
        trained[name] = getattr(module, f"lora_{part[-1].upper()}")["default"].weight
    assert sum(p.requires_grad for p in peft.parameters()) == len(trained)
    return Plain(peft, trained, transposed=True)


def plain_soft_prompt(model: PreTrainedModel, method: Any, initial: Tensors) -> Plain:
    length = method.options.prompt_length
    config = PromptTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=length, prompt_tuning_init="RANDOM"
    )
    peft: Any = get_peft_model(model, config)
    weight = peft.prompt_encoder["default"].embedding.weight
    return Plain(peft, {"prompt_embeddings": weight}, num_prompt=length)


def plain_head(model: PreTrainedModel, method: Any, initial: Tensors) -> Plain:
    model.requires_grad_(False)
    head: Any = model.get_output_embeddings()
    if not method.options.tied:
        head.weight = nn.Parameter(head.weight.detach().clone())
    head.weight.requires_grad_(True)
    assert (model.get_input_embeddings().weight is head.weight) == method.options.tied
    return Plain(model, {"weight": head.weight})


def plain_full(model: PreTrainedModel, method: Any, initial: Tensors) -> Plain:
    return Plain(model.requires_grad_(True), dict(model.named_parameters()))


def run_plain(plain: Plain, plan: BatchPlan, rate: float) -> Iterator[tuple[float, Tensors]]:
    """The textbook loop; yields each update's loss and gradients before the clip."""
    parameters = list(plain.trained.values())
    decay = PROTOCOL.decay_of(0.0)
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    plain.model.train()
    for step in steps_of(plan):
        lengths = [len(parts_of(plan, int(e))[1]) for e in step.examples]
        total = 0.0
        optimizer.zero_grad()
        for start in range(0, len(step.examples), PROTOCOL.micro_batch_size):
            examples = step.examples[start : start + PROTOCOL.micro_batch_size]
            ids, mask, labels = right_padded(plan, examples.tolist())
            logits = plain.model(input_ids=ids, attention_mask=mask).logits
            logits = logits[:, plain.num_prompt :]
            summed = F.cross_entropy(
                logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
            )
            loss = summed / sum(lengths)
            loss.backward()
            total += loss.item()
        grads = plain.named(
            {n: p.grad.clone() for n, p in plain.trained.items() if p.grad is not None}
        )
        clip_grad_norm_(parameters, PROTOCOL.max_grad_norm or 0.0)
        optimizer.step()
        yield total, grads


def right_padded(plan: BatchPlan, examples: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    pairs = [parts_of(plan, int(e)) for e in examples]
    rows = [(prompt.tolist(), completion.tolist()) for prompt, completion in pairs]
    width = max(len(prompt) + len(completion) for prompt, completion in rows)
    ids = torch.full((len(rows), width), plan.pad_id)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, (prompt, completion) in enumerate(rows):
        end = len(prompt) + len(completion)
        ids[row, :end] = torch.tensor(prompt + completion)
        mask[row, :end] = 1
        labels[row, len(prompt) : end] = torch.tensor(completion)
    return ids, mask, labels


def steps_of(plan: BatchPlan) -> list[Step]:
    steps = [step for epoch in range(NUM_UPDATES) for step in plan.epoch(SEED, epoch)]
    return steps[:NUM_UPDATES]


def run_ours(
    cohort: Cohort,
    batch_source: BatchSource,
    plan: BatchPlan,
    rate: float,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[float, Tensors]]:
    """The same from a cohort of one."""
    optimizer = cohort.optimizer
    assert optimizer is not None
    seen: list[Tensors] = []
    original = optimizer.step

    def spy(rates_K: Tensor, loss_K: Tensor) -> Tensor:
        [stack] = cohort.stacks.values()
        parts = {n: t.grad for n, t in stack.tensors.items() if t.grad is not None}
        # Full tuning has no slot axis: its tensors are the copy's own parameters.
        of_slot = {n: g if cohort.trains_base else g[0] for n, g in parts.items()}
        seen.append({n: g.clone() for n, g in of_slot.items()})
        return original(rates_K, loss_K)

    monkeypatch.setattr(optimizer, "step", spy)
    rates_K = torch.tensor([rate], dtype=torch.float64)
    for step in steps_of(plan):
        total_K, tokens_K = train_step(
            cohort, batch_source, plan, [step], rates_K, PROTOCOL.micro_batch_size
        )
        yield (total_K / tokens_K).item(), seen[-1]


def batch_source_of(bench: Bench, method: Method, plan: BatchPlan) -> BatchSource:
    if method.execution_path is not ExecutionPath.HIDDEN_STATES:
        return TokenSource(bench.base.device)
    with Cohort(bench.base, [], 1) as empty:
        return HiddenStateSource(
            {plan: keep_hidden_states(empty, plan, rows=16)}, bench.base.device
        )


CASES: list[tuple[str, dict[str, Any], bool, float, Callable[..., Plain]]] = [
    ("lora", {"rank": 4, "alpha": 12.0}, False, 2e-2, plain_lora),
    ("soft_prompt", {"prompt_length": 5}, False, 5e-2, plain_soft_prompt),
    ("head", {"tied": False}, False, 1e-2, plain_head),
    ("head", {"tied": True}, True, 1e-2, plain_head),
    ("full", {}, False, 5e-3, plain_full),
    ("full", {}, True, 5e-3, plain_full),
]


@pytest.mark.parametrize("base_kind", ["gpt_neo", "llama"])
@pytest.mark.parametrize(
    ("kind", "options", "tied_base", "rate", "make_plain"),
    CASES,
    ids=["lora", "soft_prompt", "head", "head-tied", "full", "full-tied"],
)
def test_a_cohort_trains_as_a_plain_loop_does(
    kit: Kit,
    base_kind: str,
    kind: str,
    options: dict[str, Any],
    tied_base: bool,
    rate: float,
    make_plain: Callable[..., Plain],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = kit.bench(base_kind, tied=tied_base)
    if kind == "lora":
        options = options | {"target_modules": LORA_TARGETS[base_kind]}
    method = bench.method(kind, **options)
    # Rows longer than GPT-Neo's local window; 26 examples leave a short last step.
    plan = kit.plan(26, rows_per_step=PROTOCOL.rows_per_step, max_length=40)
    initial = method.initial(torch.Generator().manual_seed(SEED))
    plain = make_plain(bench.reference(), method, initial)
    with torch.no_grad():
        for name, parameter in plain.trained.items():
            parameter.copy_(initial[name].t() if plain.transposed else initial[name])

    batch_source = batch_source_of(bench, method, plan)
    losses = []
    with Cohort(bench.base, [method], 1, PROTOCOL) as cohort:
        cohort.seat(0, method, initial)
        pairs = zip(
            run_plain(plain, plan, rate),
            run_ours(cohort, batch_source, plan, rate, monkeypatch),
            strict=True,
        )
        for update, ((expected, theirs), (actual, ours)) in enumerate(pairs):
            assert actual == pytest.approx(expected, rel=1e-4), update
            losses.append(actual)
            if update == 0:
                assert ours.keys() == theirs.keys()
                for name, grad in theirs.items():
                    assert kit.gap(ours[name], grad) <= 1e-4, name
        final = cohort.take(0)
    assert len(losses) == NUM_UPDATES
    assert min(losses[-4:]) < losses[0] - 0.05, "twenty updates taught nothing"

    expected_final = plain.named(dict(plain.trained))
    assert final.keys() == expected_final.keys()
    for name, tensor in expected_final.items():
        moved = (tensor - initial[name]).norm()
        assert moved > 0, name
        assert (final[name] - tensor).norm() <= 1e-3 * moved, name
    assert bench.untouched()

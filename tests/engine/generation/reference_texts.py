"""Candidates for generation, and what Transformers' ``generate`` writes for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    PreTrainedModel,
)

from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import GenerationOptions
from bakeoff.methods.contract import Method, Tensors

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

Prompts = list[NDArray[np.int32]]
NEW_TOKENS = 24


def tuned(kit: Kit, bench: Bench, kind: str, options: dict[str, Any]) -> tuple[Method, Tensors]:
    method = bench.method(kind, **options)
    return method, kit.perturbed(method, seed=23, spread=0.1)


def seated(bench: Bench, *pairs: tuple[Method, Tensors]) -> Cohort:
    cohort = Cohort(bench.base, [method for method, _ in pairs], max(1, len(pairs)))
    for slot, (method, tensors) in enumerate(pairs):
        cohort.seat(slot, method, tensors)
    return cohort


def reference_of(bench: Bench, method: Method, tensors: Tensors) -> PreTrainedModel:
    """Transformers' model, or PEFT's, with a candidate's tensors; a soft prompt stays outside."""
    model: Any = bench.reference()
    if method.kind == "lora":
        options: Any = method.options
        targets = sorted({name.rpartition(".")[0] for name in tensors})
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=options.rank,
            lora_alpha=options.alpha,
            target_modules=targets,
            lora_dropout=0.0,
        )
        model = get_peft_model(model, config)
        inner = model.base_model.model
        with torch.no_grad():
            for name, tensor in tensors.items():
                layer, _, part = name.rpartition(".")
                weight = getattr(inner.get_submodule(layer), f"lora_{part[-1].upper()}")
                weight["default"].weight.copy_(tensor.t())
    elif method.kind == "head":
        if not method.options.tied:
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        with torch.no_grad():
            model.lm_head.weight.copy_(tensors["weight"])
    elif method.kind == "prefix":
        options = method.options
        model = get_peft_model(
            model,
            PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=options.prefix_length),
        )
        with torch.no_grad():
            weight = model.prompt_encoder["default"].embedding.weight
            weight.copy_(method.stored(tensors)["prompt_embeddings"])
    elif method.kind == "full":
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(tensors[name])
    chosen: PreTrainedModel = model.eval()
    return chosen


class OverGenerated(LogitsProcessor):
    """Transformers' rule against repeats, over what follows the prompt."""

    def __init__(self, num_prompt: int, size: int) -> None:
        self.num_prompt, self.rule = num_prompt, NoRepeatNGramLogitsProcessor(size)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        return self.rule(input_ids[:, self.num_prompt :], scores)


def expected_tokens(
    model: Any,
    prompts: Prompts,
    end_id: int,
    *,
    soft_prompt: Tensor | None = None,
    as_embeddings: bool = False,
    **settings: Any,
) -> list[list[int]]:
    """Left-pads the prompts and lets Transformers continue them, all rows in one batch."""
    has_prefix = isinstance(model, PeftModel) and model._is_prompt_learning
    if has_prefix and len({len(prompt) for prompt in prompts}) > 1:
        # PEFT puts the prefix before the padding, which then moves it out of a local window.
        return [
            expected_tokens(model, [prompt], end_id, as_embeddings=as_embeddings, **settings)[0]
            for prompt in prompts
        ]
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), end_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.from_numpy(prompt)
        mask[row, longest - len(prompt) :] = 1
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    embedding: Any = model.get_input_embeddings()
    if soft_prompt is not None:
        # Each row: padding, the prompt's vectors, the tokens.
        rows = []
        for prompt in prompts:
            padding = embedding(torch.full((longest - len(prompt),), end_id))
            rows.append(torch.cat([padding, soft_prompt, embedding(torch.from_numpy(prompt))]))
        wide = torch.nn.functional.pad(mask, (len(soft_prompt), 0))
        for row, prompt in enumerate(prompts):
            wide[row, longest - len(prompt) :] = 1
        inputs = {"inputs_embeds": torch.stack(rows), "attention_mask": wide}
    elif as_embeddings and has_prefix:
        # PEFT takes no embeddings beside a prefix, so the rule is told where the prompt ends.
        rule = OverGenerated(longest, settings["no_repeat_ngram_size"])
        own: dict[str, Any] = {"logits_processor": LogitsProcessorList([rule])}
        settings = settings | own | {"no_repeat_ngram_size": 0}
    elif as_embeddings:
        inputs = {"inputs_embeds": embedding(ids), "attention_mask": mask}
    with torch.no_grad():
        output: Any = model.generate(
            **inputs,
            max_new_tokens=NEW_TOKENS,
            pad_token_id=end_id,
            eos_token_id=end_id,
            **settings,
        )
    start = longest if "input_ids" in inputs else 0
    found = output[:, start:].tolist()
    return [row[: row.index(end_id)] if end_id in row else row for row in found]


def options_of(**changes: Any) -> GenerationOptions:
    settings: dict[str, Any] = {"max_new_tokens": NEW_TOKENS, "no_repeat_ngram": 0}
    return GenerationOptions(**(settings | changes))


def ends_early(monkeypatch: pytest.MonkeyPatch, share: int, *loops: type[Any]) -> None:
    """Makes some rows end early: their end token is the likeliest whenever it is not blocked.

    Which rows follows from the token that each would write, so that it hangs neither on a row's
    place in the batch nor on how a processor rounds.
    """
    for loop in loops:
        original = loop._logits

        def logits(self: Any, last_RD: Tensor, original: Any = original) -> Tensor:
            found: Tensor = original(self, last_RD)
            marks = found.argmax(-1).remainder(share) == 0
            found[marks, self._end_id] = 1e6
            return found

        monkeypatch.setattr(loop, "_logits", logits)

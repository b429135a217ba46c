"""One family against Transformers and PEFT: logits, gradients of LoRA, greedy continuations.

Two candidates are in one pass, each beside rows of the other; PEFT's model has one after the other.

Axis letters: ``K`` slots, ``B`` rows of a slot, ``T`` tokens, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn import functional as F

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import Source
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods.low_rank.experts import from_peft, peft_expert_name, to_peft
from bakeoff.methods.low_rank.lora import Lora
from bakeoff.methods.low_rank.updates import peft_name
from bakeoff.methods.specs.lora import LoraOptions
from bakeoff.testing.passes import token_logits
from tests.architectures.families import END_ID, model_of

SLOTS: Final = 2
RANK: Final = 2
LENGTHS: Final = ((14, 9), (11, 14))
"""Tokens of each slot's rows, beyond every window."""
PROMPTS: Final = (9, 4, 7)
NEW_TOKENS: Final = 6
TOLERANCE: Final = 1e-4
"""Of the largest value of what is compared."""

Tensors = Mapping[str, Tensor]


@cache
def base_of(family: str) -> Base:
    """A family's base; no test may change it."""
    source = Source(
        reference=family,
        model=model_of(family),
        tokenizer=byte_tokenizer(64),
        fingerprint="",
        description="",
    )
    return Base(source, device=torch.device("cpu"), dtype=torch.float32)


def lora_on(base: Base, **options: Any) -> Lora:
    """LoRA on all linear layers unless the options say otherwise."""
    return Lora(LoraOptions(rank=RANK, alpha=float(RANK), **options), base, where="methods.lora")


@dataclass(frozen=True)
class Gaps:
    """How far apart the two are, each as a share of the largest value."""

    logits: float
    gradients: float
    texts: tuple[list[list[int]], list[list[int]]]
    """Ours and Transformers' continuations."""


def compare(family: str, **options: Any) -> Gaps:
    """Trains and generates with both."""
    base = base_of(family)
    method = lora_on(base, **options)
    drawn = [some_tensors(method, seed) for seed in range(SLOTS)]
    ids_KBT, counts_KBT = _rows()
    prompts = some_prompts()
    ours = _ours(base, method, drawn, ids_KBT, counts_KBT, prompts)
    theirs = _theirs(family, method, drawn, ids_KBT, counts_KBT, prompts)
    counted = counts_KBT[..., None]
    return Gaps(
        logits=_gap(ours[0] * counted, theirs[0] * counted),
        gradients=max(
            _gap(mine[name], other[name])
            for mine, other in zip(ours[1], theirs[1], strict=True)
            for name in mine
        ),
        texts=(ours[2], theirs[2]),
    )


def _gap(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0, "nothing to compare"
    return float((ours - theirs).abs().max() / theirs.abs().max())


def some_tensors(method: Lora, seed: int) -> dict[str, Tensor]:
    """A candidate's tensors, none of them zero."""
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn(s, generator=generator) * 0.3 for n, s in method.shapes.items()}


def _rows() -> tuple[Tensor, Tensor]:
    """([K, B, T] ids, [K, B, T] which are tokens and no padding)."""
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(1, 120, (SLOTS, 2, 14), generator=generator)
    return ids, torch.arange(14) < torch.tensor(LENGTHS)[..., None]


def some_prompts() -> list[Any]:
    """Token ids of different lengths."""
    draw = np.random.default_rng(3)
    return [draw.integers(1, 120, size=length).astype(np.int32) for length in PROMPTS]


Outcome = tuple[Tensor, list[Tensors], list[list[int]]]


def _ours(
    base: Base,
    method: Lora,
    drawn: list[dict[str, Tensor]],
    ids_KBT: Tensor,
    counts_KBT: Tensor,
    prompts: list[Any],
) -> Outcome:
    num_tokens = ids_KBT.shape[-1]
    source = torch.arange(2 * num_tokens).view(2, num_tokens)[:, :-1].reshape(1, -1)
    source_KN = source.expand(SLOTS, -1)
    with Cohort(base, [method], SLOTS, ProtocolOptions()) as cohort:
        for slot, tensors in enumerate(drawn):
            cohort.seat(slot, method, tensors)
        with torch.no_grad():
            logits_KBTV = token_logits(cohort, ids_KBT)
        targets_KN, mask_KN = (t[..., 1:].flatten(1) for t in (ids_KBT, counts_KBT))
        sums_K, _ = cohort.losses(ids_KBT, source_KN, targets_KN, mask_KN)
        sums_K.sum().backward()
        [stack] = cohort.stacks.values()
        grads: list[Tensors] = [
            {n: t.grad[slot].clone() for n, t in stack.tensors.items() if t.grad is not None}
            for slot in range(SLOTS)
        ]
        assert all(found.keys() == method.shapes.keys() for found in grads)
        options = GenerationOptions(max_new_tokens=NEW_TOKENS, no_repeat_ngram=0)
        texts = generate(cohort, list(range(SLOTS)), prompts, options)
    return logits_KBTV, grads, [list(map(int, row)) for rows in texts for row in rows]


def _theirs(
    family: str,
    method: Lora,
    drawn: list[dict[str, Tensor]],
    ids_KBT: Tensor,
    counts_KBT: Tensor,
    prompts: list[Any],
) -> Outcome:
    with silence_libraries():
        peft, trained = wrapped(family, method)
        logits, texts = [], []
        grads: list[Mapping[str, Tensor]] = []
        for slot, tensors in enumerate(drawn):
            with torch.no_grad():
                for name, factor in trained.items():
                    factor.parameter.copy_(factor.to_peft(tensors[name]))
                    factor.parameter.grad = None
            ids, counts = ids_KBT[slot], counts_KBT[slot]
            found = peft(input_ids=ids, attention_mask=counts.long(), use_cache=False).logits
            labels = ids.masked_fill(~counts, -100)[:, 1:].flatten()
            F.cross_entropy(found[:, :-1].flatten(0, 1), labels, reduction="sum").backward()
            logits.append(found.detach())
            grads.append({n: f.from_peft(f.parameter.grad).clone() for n, f in trained.items()})
            texts += continued(peft, prompts)
    return torch.stack(logits), grads, texts


@dataclass(frozen=True)
class Factor:
    """PEFT's parameter for one of our tensors, and the way from the one to the other and back."""

    parameter: Any
    to_peft: Callable[[Tensor], Tensor]
    from_peft: Callable[[Tensor], Tensor]


def wrapped(family: str, method: Lora) -> tuple[Any, dict[str, Factor]]:
    """PEFT's model, and for each of our tensors its parameter."""
    model = model_of(family)
    # PEFT takes layers beside the experts for weights of the experts, by the names that they had in
    # an earlier Transformers.
    given: Any = model.config
    given.model_type = "any"
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=RANK,
        lora_alpha=RANK,
        target_modules=list(method.targets),
        lora_dropout=0.0,
        target_parameters=list(method.expert_weights) or None,
    )
    peft: Any = get_peft_model(model, config)
    by_name = dict(peft.named_parameters())
    trained = {}
    for name in method.shapes:
        layer, _, part = name.rpartition(".")
        weight = method.expert_weights.get(layer)
        named = peft_name(name) if weight is None else peft_expert_name(weight, part)
        parameter = by_name[named.removesuffix("weight") + "default.weight"]
        if weight is None:
            trained[name] = Factor(parameter, Tensor.t, Tensor.t)
        else:
            trained[name] = Factor(
                parameter, partial(to_peft, part), partial(from_peft, weight, part)
            )
    assert sum(p.requires_grad for p in peft.parameters()) == len(trained)
    return peft.eval(), trained


def continued(model: Any, prompts: list[Any]) -> list[list[int]]:
    """Transformers' greedy continuations of left-padded prompts."""
    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.int64)
    counts = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.from_numpy(prompt)
        counts[row, longest - len(prompt) :] = 1
    settings = model.generation_config
    settings.eos_token_id, settings.pad_token_id = None, 0
    with torch.no_grad():
        found = model.generate(
            input_ids=ids, attention_mask=counts, do_sample=False, max_new_tokens=NEW_TOKENS
        )
    texts: list[list[int]] = found[:, longest:].tolist()
    return [text[: text.index(END_ID)] if END_ID in text else text for text in texts]


def is_equal(gaps: Gaps) -> bool:
    """Whether nothing differs beyond rounding."""
    return (
        gaps.logits <= TOLERANCE and gaps.gradients <= TOLERANCE and gaps.texts[0] == gaps.texts[1]
    )

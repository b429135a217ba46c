"""What a careful user would write by hand: Transformers, PEFT, a loop. And the batches for all.

Axis letters: ``B`` rows, ``T`` tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from bakeoff.data.batches import BatchPlan
from bakeoff.data.ragged import Ragged

SEED = 0
LEARNING_RATE = 1e-3


def random_plan(
    *, steps: int, rows_per_step: int, max_length: int, supervised: int, vocabulary: int
) -> BatchPlan:
    """Examples of random tokens, all ``max_length`` long, the last ``supervised`` to be learnt."""
    draw = np.random.default_rng(SEED)
    count = steps * rows_per_step

    def rows(length: int) -> Ragged:
        tokens = draw.integers(1, vocabulary - 1, (count, length)).astype(np.int32)
        return Ragged.from_rows(list(tokens))

    return BatchPlan(
        rows(max_length - supervised),
        rows(supervised),
        rows_per_step=rows_per_step,
        max_length=max_length,
        pad_id=0,
    )


class PlainLoop:
    """Transformers with PEFT: logits of all positions, the model's own loss, one row of candidates.

    Args:
        model: the base, copied. method: ``lora``, ``lora-all``, ``soft_prompt``, ``head`` or
            ``full``.
        device: where. dtype: of autocast; float32 means none.
        compiled: whether ``torch.compile`` wraps the model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        method: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        compiled: bool = False,
    ) -> None:
        self.device, self.dtype = device, dtype
        twin = copy.deepcopy(model)
        twin.requires_grad_(method == "full")
        self.model: nn.Module = _adapted(twin, method)
        nn.Module.to(self.model, device)
        self.model.train()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.01)
        self.trained = trained
        self._forward: Any = torch.compile(self.model) if compiled else self.model

    def step(self, micro_batches: list[tuple[Tensor, Tensor]]) -> float:
        """One update; returns the mean NLL of the step's supervised tokens."""
        total = 0.0
        for ids_BT, labels_BT in micro_batches:
            with self._autocast():
                loss = self._forward(
                    input_ids=ids_BT, attention_mask=torch.ones_like(ids_BT), labels=labels_BT
                ).loss / len(micro_batches)
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        enabled = self.dtype != torch.float32
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=enabled):
            yield


def _adapted(model: PreTrainedModel, method: str) -> nn.Module:
    if method == "lora":
        return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=8))
    if method == "lora-all":
        config = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=8, target_modules="all-linear")
        return get_peft_model(model, config)
    if method == "soft_prompt":
        return get_peft_model(
            model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=12)
        )
    if method == "head":
        head: Any = model.get_output_embeddings()
        head.weight = nn.Parameter(head.weight.detach().clone())
    return model


def plain_micro_batches(
    plan: BatchPlan, step: int, rows: int, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """The same rectangles as the engine's, as ids and labels."""
    batches = []
    for batch in plan.micro_batches(plan.epoch(SEED, 0)[step], rows):
        ids_BT = torch.from_numpy(batch.input_ids)
        labels_BT = torch.full_like(ids_BT, -100)
        labels_BT.view(-1)[torch.from_numpy(batch.source) + 1] = torch.from_numpy(batch.targets)
        batches.append((ids_BT.to(device), labels_BT.to(device)))
    return batches

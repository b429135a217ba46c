"""The rival of generation: Transformers' ``generate``, in batches.

Axis letters: ``B`` rows, ``T`` tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from bakeoff.data.batches import BatchPlan
from bakeoff.methods.contract import Method, Tensors
from engines.measuring import Engine
from engines.ours import Prompts, Rows
from engines.rivals import adopt, tuned_copy
from engines.workload import in_batches


def cast_copy(
    model: PreTrainedModel,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    tuned: tuple[Method, Tensors] | None,
) -> nn.Module:
    """A copy of the base with one method's tensors, all of it in the format it computes in.

    Weights in that format are quicker than autocast, which converts them at every token.

    Args:
        model: the base. name: of the method, or ``none``.
        device: where. dtype: the format.
        tuned: the method on the engine's base, and its tensors; None for the untuned base.
    """
    twin = tuned_copy(model, name, device)
    if tuned is not None:
        adopt(twin, *tuned)
    return twin.to(dtype).eval().requires_grad_(False)


class PlainWriter(Engine):
    """Greedy continuations by ``generate``, prompts padded on the left.

    Args:
        model: see ``cast_copy``; it is not copied again.
        prompts: what is continued. end_id: the token that ends a row, and pads.
        new_tokens: of each row, at most. rows: of a batch.
        cache: Transformers' name of the cache.
    """

    def __init__(
        self,
        model: Any,
        device: torch.device,
        prompts: Prompts,
        end_id: int,
        *,
        new_tokens: int,
        rows: int,
        cache: str = "dynamic",
    ) -> None:
        super().__init__(device)
        self.model, self.prompts, self.end_id, self.rows = model, prompts, end_id, rows
        self._settings: dict[str, Any] = {
            "max_new_tokens": new_tokens,
            "do_sample": False,
            "pad_token_id": end_id,
            "eos_token_id": end_id,
        }
        if cache != "dynamic":
            self._settings["cache_implementation"] = cache

    @torch.no_grad()
    def step(self, index: int) -> Rows:
        """The rows without end tokens, of all prompts; step 0 writes the first batch alone."""
        written: Rows = []
        for start in range(0, len(self.prompts) if index else self.rows, self.rows):
            ids, mask = self._padded(self.prompts[start : start + self.rows])
            ids_BT, mask_BT = (torch.from_numpy(x).to(self.device) for x in (ids, mask))
            output = self.model.generate(input_ids=ids_BT, attention_mask=mask_BT, **self._settings)
            written += [self._cut(row) for row in output[:, ids.shape[1] :].tolist()]
        return written

    @torch.no_grad()
    def nll(self, plan: BatchPlan) -> float:
        """Mean NLL of a plan's completions."""
        total, count = 0.0, 0
        for batch in in_batches(plan, self.rows, self.device):
            loss = self.model(
                input_ids=batch.ids_BT, attention_mask=batch.mask_BT, labels=batch.labels_BT
            ).loss
            total += float(loss) * batch.num_supervised
            count += batch.num_supervised
        return total / count

    def _padded(self, prompts: Prompts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        longest = max(len(prompt) for prompt in prompts)
        ids_BT = np.full((len(prompts), longest), self.end_id, dtype=np.int64)
        mask_BT = np.zeros_like(ids_BT)
        for row, prompt in enumerate(prompts):
            ids_BT[row, longest - len(prompt) :] = prompt
            mask_BT[row, longest - len(prompt) :] = 1
        return ids_BT, mask_BT

    def _cut(self, row: list[int]) -> list[int]:
        return row[: row.index(self.end_id)] if self.end_id in row else row

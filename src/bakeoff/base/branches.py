"""Several continuations of one prompt, which share its keys and values.

The continuations of a row, its branches, stand one after the other as further tokens of that row:
each token sees the prompt and what is before it in its own branch. So a prompt is in memory once
however many branches follow it, no key is copied for a branch, and a short branch takes no room for
the longest one's padding.

Axis letters: ``R`` rows, ``H`` key heads, ``T`` prompt positions, ``Q`` positions of the branches,
``P`` prefix positions, ``S`` = P + T + Q, ``C`` head width.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from bakeoff.base.attention.decoding import DecodingState
from bakeoff.base.prefix import Layer, Prefix


class BranchedState(DecodingState):
    """Keys and values of right-padded prompts, and of the branches behind them.

    The prompts' pass comes first. It attends as a pass over whole rows does, under ``prefixed``
    where there is a prefix, and only leaves its keys and values here. Passes over branches follow,
    as many as wanted: each begins where the prompts end, and takes the place of the one before.
    """

    def __init__(self, num_rows: int, capacity: int, prefix: Prefix | None, device: torch.device):
        """Starts empty.

        Args:
            num_rows: R.
            capacity: T and the largest Q together.
            prefix: what the rows have before their tokens.
            device: where.
        """
        super().__init__(torch.zeros(num_rows, dtype=torch.int64, device=device), capacity)
        self._prefix = prefix
        self.before = 0 if prefix is None else prefix.num_positions
        self._lengths_R: Tensor | None = None

    def end_prompts(self, lengths_R: Tensor, num_positions: int) -> None:
        """The prompts have been read; branches follow.

        Args:
            lengths_R: [R] tokens of each prompt, soft prompts counted; the rest is padding.
            num_positions: T.
        """
        self._lengths_R = lengths_R
        self.length = num_positions

    def branch(self, branch_RQ: Tensor, token_RQ: Tensor) -> None:
        """Says what the next pass is over.

        Args:
            branch_RQ: [R, Q] which branch of its row each position is of; padding is a branch too.
            token_RQ: [R, Q] the number of each token in its row, as if its branch alone followed
                the prompt; a prefix is not counted.
        """
        self._branch_RQ, self._token_RQ = branch_RQ, token_RQ
        self._masks.clear()

    def _room(self, module: nn.Module, key: Tensor, value: Tensor) -> Layer:
        """Room that begins with the prefix; no position is looked at before it is written."""
        positions = self.before + self.capacity
        keys, values = (
            self._memory(module, part, tensor, positions)
            for part, tensor in enumerate((key, value))
        )
        if self._prefix is not None:
            first = self._prefix.of_rows(module, key, value)
            for room, prefix in zip((keys, values), first, strict=True):
                room[:, :, : self.before] = prefix
        return keys, values

    def mask(self, num_queries: int, window: int | None) -> Tensor | None:
        """Boolean ``[R, 1, Q, S]``; None in the prompts' pass."""
        return None if self._lengths_R is None else super().mask(num_queries, window)

    def _mask(self, num_queries: int, window: int | None) -> Tensor:
        assert self._lengths_R is not None
        branch_RQ, token_RQ = self._branch_RQ, self._token_RQ
        rows = len(branch_RQ)
        key_T = torch.arange(self.length, device=token_RQ.device)
        prompt_RQT = (key_T < self._lengths_R[:, None, None]).expand(rows, num_queries, -1)
        ahead_RQQ = token_RQ[:, :, None] - token_RQ[:, None]
        own_RQQ = (branch_RQ[:, :, None] == branch_RQ[:, None]) & (ahead_RQQ >= 0)
        if window is not None:
            prompt_RQT = prompt_RQT & (token_RQ[..., None] - key_T < window)
            own_RQQ = own_RQQ & (ahead_RQQ < window)
        parts = [prompt_RQT, own_RQQ]
        prefix = self._prefix
        if prefix is not None:
            by_row = replace(prefix, lengths_K=prefix.by_row(prefix.lengths_K, rows), slot_R=None)
            parts.insert(0, by_row.visible(token_RQ, window))
        return torch.cat(parts, dim=2)[:, None]

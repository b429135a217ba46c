"""Solved examples before a prompt: what the untuned base does with a few of the training rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from bakeoff.data.taskdata import SplitData
from bakeoff.errors import DataError
from bakeoff.tasks.contract import Task
from bakeoff.tasks.preparation.known import source_of
from bakeoff.tasks.preparation.prepare import Preparation
from bakeoff.types import Split


class ShotData:
    """The held-out sets with training rows before each prompt.

    Args:
        task: with what its rows decided. tokenizer: the base's. tokenizer_id: for messages.
        root: the folder that relative paths start from.
        positions: the base has, at most, for a prompt and what is written behind it.
        zero: the held-out sets without shots.
    """

    def __init__(
        self,
        task: Task,
        tokenizer: PreTrainedTokenizerBase,
        *,
        tokenizer_id: str,
        root: Path,
        positions: int | None,
        zero: dict[Split, SplitData],
    ) -> None:
        self._task, self._zero = task, zero
        self._tokenizer, self._tokenizer_id = tokenizer, tokenizer_id
        self._root, self._positions = root, positions

    def max_length(self, shots: int) -> int:
        """Tokens of a row with so many shots, each of which has as many as a row."""
        wanted: int = self._task.max_length * (shots + 1)
        return wanted if self._positions is None else min(wanted, self._positions)

    def of(self, shots: int, seed: int) -> dict[Split, SplitData] | None:
        """Validation and test with training rows before each prompt.

        The same rows stand before all prompts, in the order in which they were drawn; rows that
        are too long to be trained on whole are not drawn.

        Args:
            shots: how many. seed: of the draw.

        Returns:
            None where they do not fit: where rows would give way that do not without them, or
            where there are too few training rows.
        """
        options = dataclasses.replace(self._task.options, max_length=self.max_length(shots))
        task = type(self._task)(options)
        task.from_rows, task.chat = self._task.from_rows, self._task.chat
        made = Preparation(
            task, source_of(task, self._root), self._tokenizer, self._tokenizer_id, None
        )
        drawn = made.drawn(shots, seed, most=self._task.max_length)
        if drawn is None:
            return None
        found: dict[Split, SplitData] = {}
        for split, zero in self._zero.items():
            try:
                part = made.split(split, drawn)
            except DataError:
                return None  # not one row is short enough
            if part.rows_cut > zero.rows_cut or not np.array_equal(part.rows, zero.rows):
                return None
            found[split] = part
        return found

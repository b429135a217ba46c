"""A split's rows as other trainers read them: tokens with labels, and the same as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from transformers import PreTrainedTokenizerBase

from bakeoff.data.taskdata import SplitData
from bakeoff.errors import ConfigError

NO_LABEL: Final = -100


def token_rows(part: SplitData) -> Iterator[dict[str, list[int]]]:
    """Each row's ``input_ids``, ``attention_mask`` and ``labels``, unsupervised ones -100."""
    for index in range(len(part)):
        ids, supervised = _row(part, index)
        labels = np.where(supervised, ids, NO_LABEL)
        yield {
            "input_ids": ids.tolist(),
            "attention_mask": [1] * len(ids),
            "labels": labels.tolist(),
        }


def text_rows(part: SplitData, tokenizer: PreTrainedTokenizerBase) -> Iterator[dict[str, str]]:
    """Each row's ``prompt`` and ``completion``, whose tokens are the supervised ones.

    Raises:
        ConfigError: a row has supervised tokens in several places, as a chat of many turns.
    """
    for index in range(len(part)):
        ids, supervised = _row(part, index)
        [places] = np.nonzero(supervised)
        first = int(places[0])
        if not supervised[first:].all():
            raise ConfigError(
                f"--recipe: training row {int(part.rows[index])} is supervised in several places, "
                "which a prompt and a completion cannot say; take trl, peft or axolotl, which "
                "read tokens with labels"
            )
        yield {
            "prompt": str(tokenizer.decode(ids[:first].tolist())),
            "completion": str(tokenizer.decode(ids[first:].tolist())),
        }


def write_lines(path: Path, rows: Iterator[Any]) -> None:
    """Writes JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _row(part: SplitData, index: int) -> tuple[Any, Any]:
    start = int(part.tokens.offsets[index])
    ids = part.tokens[index]
    return ids, part.is_target[start : start + len(ids)]

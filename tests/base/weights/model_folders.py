"""Folders of small random models, and what a model in one computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.weights.scratch import byte_tokenizer

SEED = 20240229


def edit_json(path: Path, **changes: Any) -> None:
    value = json.loads(path.read_text())
    value.update(changes)
    path.write_text(json.dumps(value))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=torch.tensor([[5, 17, 200, 3]])).logits
    return result


def save_with_tokenizer(model: Any, folder: Path) -> None:
    with silence_libraries():
        model.save_pretrained(folder)
        byte_tokenizer(64).save_pretrained(folder)

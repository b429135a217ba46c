"""Reading and writing adapters: safetensors beside a JSON of options, never a pickle."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bakeoff.base.checkpoint import write_tensors as write_tensors
from bakeoff.errors import CheckpointError

if TYPE_CHECKING:
    from peft import PeftConfig

PEFT_WEIGHTS = "adapter_model.safetensors"
PEFT_CONFIG = "adapter_config.json"
OWN_WEIGHTS = "head.safetensors"
OWN_CONFIG = "bakeoff_adapter.json"
QUANTIZATION_KEY = "base_quantization"
NOTED = frozenset({QUANTIZATION_KEY})
"""Keys that are added to an adapter's settings beside those of its method."""


def read_tensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], *, beside: Collection[str] = ()
) -> dict[str, Tensor]:
    """Reads float32 tensors and holds them against the shapes that the method expects.

    Args:
        path: the file. shapes: by name.
        beside: names of others that the file may hold; they are not read.

    Raises:
        CheckpointError: if the file is missing, torn, or holds other tensors.
    """
    found = _read(path)
    surplus = sorted(set(found) - set(shapes) - set(beside))
    if surplus:
        raise CheckpointError(
            f"{path}: holds {len(surplus)} tensors that the study's method does not have, such as "
            f"{surplus[0]!r}; the adapter belongs to another base or other options"
        )
    for name, shape in shapes.items():
        actual = tuple(found[name].shape) if name in found else None
        if actual != tuple(shape):
            raise CheckpointError(
                f"{path}: tensor {name!r} has shape {actual}, but the study's method needs "
                f"{tuple(shape)}; the adapter belongs to another base or other options"
            )
    # Copies: the library maps the file, and writing it again would change what was read.
    return {name: found[name].to(torch.float32, copy=True) for name in shapes}


def read_tensor(path: Path, name: str) -> Tensor:
    """Reads one float32 tensor of any shape.

    Raises:
        CheckpointError: if the file is missing, torn, or lacks the tensor.
    """
    found = _read(path)
    if name not in found:
        raise CheckpointError(
            f"{path}: holds no tensor {name!r} but {', '.join(sorted(found)[:3]) or 'none'}; the "
            "adapter belongs to another method"
        )
    return found[name].to(torch.float32, copy=True)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(
            f"{path}: the adapter's weights are missing; train the candidate again"
        )
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({error}); train the candidate again"
        ) from None
    return found


def check_settings(path: Path, expected: Mapping[str, Any]) -> None:
    """Holds an adapter's JSON against the settings that the method computes with.

    Args:
        path: the file.
        expected: by key; a key that the file lacks is not held against it.

    Raises:
        CheckpointError: if the file is missing, torn, or says something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: the adapter's settings cannot be read ({error}); train the candidate again"
        ) from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: holds no JSON object; train the candidate again")
    for key, value in expected.items():
        if found.get(key, value) != value:
            raise CheckpointError(
                f"{path}: {key} is {found[key]!r}, but the study's method needs {value!r}; the "
                "adapter belongs to other options"
            )


def write_peft_config(config: PeftConfig, folder: Path) -> None:
    """Writes PEFT's ``adapter_config.json``, the same at every run.

    The library keeps names of layers as sets, whose order changes from process to process.
    """
    config = copy.copy(config)
    for name, value in vars(config).items():
        if isinstance(value, set):
            setattr(config, name, sorted(value))
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Writes ``content`` as indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def note_in_settings(folder: Path, noted: Mapping[str, Any]) -> None:
    """Adds keys to an adapter's settings; PEFT reads over those that it does not know."""
    for name in (PEFT_CONFIG, OWN_CONFIG):
        path = folder / name
        if path.is_file():
            settings = json.loads(path.read_text(encoding="utf-8"))
            write_json({**settings, **noted}, path)

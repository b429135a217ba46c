"""The files that hold a base's weights: whole, and what their index says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from bakeoff.errors import CheckpointError

WEIGHTS_NAME: Final = "model.safetensors"
INDEX_NAME: Final = "model.safetensors.index.json"
_REFUSED_SUFFIXES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        CheckpointError: it is not JSON in UTF-8, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as JSON ({error}); fetch or save the model again"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path}: holds a JSON {type(value).__name__}, not an object; "
            "fetch or save the model again"
        )
    return value


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold the weights, each with a whole header and whole data.

    Raises:
        CheckpointError: there is none, one is missing or torn, or only pickles are there.
    """
    single, index = folder / WEIGHTS_NAME, folder / INDEX_NAME
    if single.is_file():
        files = [single]
    elif index.is_file():
        names = set((read_json(index).get("weight_map") or {}).values())
        if not names or not all(isinstance(n, str) and Path(n).name == n for n in names):
            raise CheckpointError(
                f"{index}: weight_map must name files of its own folder; fetch the model again"
            )
        files = [folder / name for name in sorted(names)]
    else:
        raise _no_weights(folder)
    names_in: dict[Path, set[str]] = {}
    for file in files:
        if not file.is_file():
            raise CheckpointError(
                f"{file}: missing, though {INDEX_NAME} names it; fetch the model again"
            )
        try:
            with safe_open(file, framework="pt") as stored:
                names_in[file] = set(stored.keys())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{file}: torn or not safetensors ({error}); fetch or save the model again"
            ) from error
    if not single.is_file():
        _require_as_indexed(index, names_in)
    return files


def _require_as_indexed(index: Path, names_in: Mapping[Path, set[str]]) -> None:
    """Refuses shards that hold other tensors than their index says.

    Raises:
        CheckpointError: naming the tensor, where it should be, and where it is.
    """
    indexed = read_json(index)["weight_map"]
    stored = {name: file.name for file, names in names_in.items() for name in sorted(names)}
    for name in sorted({*indexed, *stored}):
        says, has = indexed.get(name), stored.get(name)
        if says is None:
            raise CheckpointError(
                f"{index}: does not name {name}, which is in {has}; the files are of different "
                "models or versions; fetch the model again"
            )
        if name not in names_in[index.parent / says]:
            found = "no shard has it" if has is None else f"{has} has it"
            raise CheckpointError(
                f"{index}: says that {name} is in {says}, but {found}; the files are of different "
                "models or versions; fetch the model again"
            )


def _no_weights(folder: Path) -> CheckpointError:
    refused = sorted(p.name for p in folder.iterdir() if p.suffix in _REFUSED_SUFFIXES)
    if refused:
        return CheckpointError(
            f"{folder / refused[0]}: not safetensors, and bakeoff never reads other weights: "
            "such a file can run code. If you trust it, convert it once: AutoModelForCausalLM"
            f".from_pretrained({str(folder)!r}).save_pretrained('NEW_FOLDER'), and name the new "
            "folder"
        )
    return CheckpointError(
        f"{folder}: no {WEIGHTS_NAME}, no {INDEX_NAME} and no .gguf file; save the model there "
        "with save_pretrained, or name another base (its configuration alone is enough for bakeoff "
        "plan --gpu CARD)"
    )

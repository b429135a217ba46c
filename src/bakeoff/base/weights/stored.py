"""Tensors of safetensors files, each read when it is asked for."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from torch import Tensor

_FORMATS: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_LENGTH_BYTES: Final = 8
_ASYNC: Final = "HF_DEACTIVATE_ASYNC_LOAD"


class StoredTensor:
    """A tensor of a file, which Transformers' loader asks for as it asks for a safetensors slice.

    Read and not mapped: pages of a mapped file count for the process until the whole is unmapped.
    """

    def __init__(self, file: Path, start: int, stop: int, name: str, entry: dict[str, Any]) -> None:
        self._file, self._start, self._size = file, start, stop - start
        self._entry = entry
        self.dtype = _FORMATS[name]
        self.shape = torch.Size(entry["shape"])

    def get_dtype(self) -> str:
        """Its format, as safetensors calls it."""
        return str(self._entry["dtype"])

    def get_shape(self) -> list[int]:
        """Its shape."""
        return list(self.shape)

    def __getitem__(self, index: object) -> Tensor:
        """Reads it, and narrows what was read."""
        tensor = torch.empty(math.prod(self.shape), dtype=self.dtype)
        if self._size:
            with self._file.open("rb", buffering=0) as stream:
                stream.seek(self._start)
                view = memoryview(tensor.view(torch.uint8).numpy().data)
                done = 0
                while done < self._size:
                    count = stream.readinto(view[done:])
                    if not count:
                        raise EOFError(f"{self._file}: ends inside a tensor")
                    done += count
        tensor = tensor.view(self.shape)
        return tensor if index is Ellipsis else tensor[index]  # type: ignore[index]


def stored_tensors(files: list[Path], *, mapped_in: torch.dtype | None) -> dict[str, Any]:
    """Every tensor of some files by name, none of them read yet.

    Args:
        files: whole safetensors files.
        mapped_in: tensors of this format stay where the files are mapped, and processes that hold
            the same base share them; None reads all.
    """
    found: dict[str, Any] = {}
    for file in files:
        opened: Any = safe_open(file, framework="pt")
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(_LENGTH_BYTES))
            header = json.loads(stream.read(length))
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            kind = entry["dtype"]
            if kind not in _FORMATS or _FORMATS[kind] == mapped_in:
                found[name] = opened.get_slice(name)
                continue
            start, stop = (_LENGTH_BYTES + length + offset for offset in entry["data_offsets"])
            found[name] = StoredTensor(file, start, stop, kind, entry)
    return found


def stored_formats(files: list[Path]) -> frozenset[torch.dtype]:
    """The formats of the floating tensors of some files."""
    found = set()
    for file in files:
        with safe_open(file, framework="pt") as stored:
            names = {stored.get_slice(name).get_dtype() for name in stored.keys()}  # noqa: SIM118
        found |= {_FORMATS[name] for name in names if name in _FORMATS}
    return frozenset(dtype for dtype in found if dtype.is_floating_point)


@contextmanager
def one_by_one() -> Iterator[None]:
    """Has Transformers read a tensor when its turn comes, and not as many as threads can."""
    before = os.environ.get(_ASYNC)
    os.environ[_ASYNC] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ASYNC]
        else:
            os.environ[_ASYNC] = before

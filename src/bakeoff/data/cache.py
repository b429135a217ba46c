"""Prepared data kept on disk under a key of their content; anything torn counts as absent."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import tokenizers
import transformers
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from bakeoff import version
from bakeoff.files import new_folder, sha256_of

# Raise when prepared data of the same key would come out different.
FORMAT: Final = 10
_MANIFEST: Final = "manifest.json"

Arrays = dict[str, NDArray[Any]]


def cache_key(parts: Iterable[str]) -> str:
    """Returns a SHA-256 over parts, this package's version and the format's number."""
    text = json.dumps([FORMAT, version.__version__, *parts])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def tokenizer_identity(tokenizer: PreTrainedTokenizerBase, tokenizer_id: str) -> list[str]:
    """Returns what decides how a tokenizer encodes: its content, not its name, where possible."""
    versions = [transformers.__version__, tokenizers.__version__]
    special = [str(tokenizer.bos_token_id), str(tokenizer.eos_token_id), type(tokenizer).__name__]
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        content = json.loads(backend.to_str())
        # Left behind by earlier calls, and without effect on how pieces are encoded.
        content.pop("truncation", None)
        content.pop("padding", None)
        return [*versions, *special, _digest(json.dumps(content, sort_keys=True).encode())]
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=True)
    settings = repr(sorted(tokenizer.init_kwargs.items(), key=lambda item: item[0]))
    return [*versions, *special, tokenizer_id, settings, _digest(vocabulary.encode())]


def store(folder: Path, arrays: Arrays, meta: Mapping[str, Any]) -> None:
    """Writes arrays and metadata beside ``folder`` and moves them there in one step.

    Another process may do the same at the same time: the first wins, and both have equal
    content.

    Raises:
        OSError: the disk is full or not writable; nothing half-written stays under ``folder``.
    """
    if folder.exists() and load(folder) is None:
        shutil.rmtree(folder)
    with new_folder(folder, existing="keep") as draft:
        digests = {}
        for name, array in arrays.items():
            np.save(draft / f"{name}.npy", array, allow_pickle=False)
            digests[name] = sha256_of(draft / f"{name}.npy")
        body = json.dumps({"arrays": digests, "meta": meta})
        manifest = {"sha256": _digest(body.encode()), "body": body}
        (draft / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def load(folder: Path) -> tuple[Arrays, dict[str, Any]] | None:
    """Reads what ``store`` wrote; arrays are memory-mapped, read-only.

    Returns:
        Arrays and metadata, or None where the folder is absent, incomplete or altered.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if _digest(manifest["body"].encode()) != manifest["sha256"]:
            return None
        body = json.loads(manifest["body"])
        arrays: Arrays = {}
        for name, digest in body["arrays"].items():
            path = folder / f"{name}.npy"
            if sha256_of(path) != digest:
                return None
            arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return arrays, body["meta"]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

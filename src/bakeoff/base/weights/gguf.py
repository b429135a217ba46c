"""A base from a GGUF file: turned into a folder of safetensors once, and kept."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from safetensors import SafetensorError
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from bakeoff.base.library_output import silence_libraries, silence_stderr
from bakeoff.base.weights.folder import CONFIG_NAME, require_complete, translated
from bakeoff.base.weights.gguf_metadata import read_gguf_metadata
from bakeoff.errors import BaseModelError, CheckpointError, StoreError
from bakeoff.files import new_folder

# Part of the cached folder's name: a change in what is written makes the old folder unused.
_RECIPE: Final = 1
_CONTROL_TOKEN: Final = 3
_USER_DEFINED_TOKEN: Final = 4

# llama.cpp's names of the splits that this module knows, both byte-level.
_DIGITS_ALONE: Final = {"smollm": True, "gpt-2": False}


def gguf_digest(path: Path) -> str:
    """A SHA-256 that identifies the file and how it is converted."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return hashlib.sha256(f"gguf {_RECIPE} {digest}".encode()).hexdigest()


def converted(path: Path, cache_dir: Path) -> tuple[Path, str]:
    """The folder under ``cache_dir`` with the file's model, made now if it is not there yet.

    The folder holds float32 safetensors and, where the file describes a tokenizer that bakeoff
    can rebuild, the tokenizer.

    Returns:
        The folder, and the fingerprint of the weights.

    Raises:
        BaseModelError: the packages that read GGUF are not installed.
        CheckpointError: the file is torn, or of an architecture that cannot be read.
        StoreError: the cache cannot be written.
    """
    fingerprint = gguf_digest(path)
    folder = cache_dir / f"gguf-{fingerprint[:16]}"
    if (folder / CONFIG_NAME).is_file():
        return folder, fingerprint
    if importlib.util.find_spec("gguf") is None:
        raise BaseModelError(f"{path}: reading it needs the package gguf; pip install gguf")
    with translated(path, CheckpointError):
        tokenizer = gguf_tokenizer(path)
    model = _load(path)
    try:
        # Another process may finish the same conversion first.
        with new_folder(folder, existing="keep") as beside, silence_libraries():
            model.save_pretrained(beside)
            if tokenizer is not None:
                tokenizer.save_pretrained(beside)
    except (OSError, SafetensorError) as error:
        raise StoreError(
            f"{cache_dir}: cannot keep the converted {path.name} ({error}); free space there, or "
            "choose another cache folder"
        ) from error
    return folder, fingerprint


def _load(path: Path) -> PreTrainedModel:
    options: dict[str, Any] = {}
    if hasattr(transformers, "GgufConfig"):
        # Newer versions may keep the weights packed, in a form that cannot be trained.
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    auto: Any = AutoModelForCausalLM
    with silence_stderr(), translated(path, CheckpointError):
        model, report = auto.from_pretrained(
            path.parent,
            gguf_file=path.name,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    require_complete(path, report)
    # What is saved is an ordinary float32 model.
    for holder in (model.config, model):
        for name in ("quantization_config", "hf_quantizer", "quantization_method"):
            if name in vars(holder):
                delattr(holder, name)
    model.is_quantized = False
    loaded: PreTrainedModel = model
    return loaded


def gguf_tokenizer(path: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer that the file describes, or None if it is of a kind not rebuilt here.

    Transformers' own conversion ignores how the vocabulary splits digits from what surrounds
    them, so that other tokens come out than the model was trained on.
    """
    stated = read_gguf_metadata(path)
    about = {
        key.removeprefix("tokenizer.ggml."): value
        for key, value in stated.items()
        if key.startswith("tokenizer.ggml.")
    }
    split, tokens, merges = about.get("pre"), about.get("tokens"), about.get("merges")
    if about.get("model") != "gpt2" or split not in _DIGITS_ALONE or not tokens or merges is None:
        return None
    if any(about.get(name) for name in ("add_bos_token", "add_eos_token", "add_space_prefix")):
        return None
    backend = Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ", 1)) for merge in merges],
        )
    )
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = (
        pre_tokenizers.Sequence([digits, byte_level]) if _DIGITS_ALONE[split] else byte_level
    )
    backend.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, about.get("token_type") or [], strict=False):
        if kind == _CONTROL_TOKEN:
            backend.add_special_tokens([AddedToken(token, normalized=False, special=True)])
        elif kind == _USER_DEFINED_TOKEN:
            backend.add_tokens([AddedToken(token, normalized=False, special=False)])

    named = {
        ours: tokens[index]
        for ours, theirs in (
            ("bos_token", "bos_token_id"),
            ("eos_token", "eos_token_id"),
            ("unk_token", "unknown_token_id"),
            ("pad_token", "padding_token_id"),
        )
        if (index := about.get(theirs)) is not None
    }
    positions = stated.get(f"{stated.get('general.architecture')}.context_length")
    if positions is not None:
        named["model_max_length"] = positions
    make: Callable[..., PreTrainedTokenizerBase] = PreTrainedTokenizerFast
    tokenizer = make(tokenizer_object=backend, clean_up_tokenization_spaces=False, **named)
    tokenizer.chat_template = stated.get("tokenizer.chat_template")
    return tokenizer

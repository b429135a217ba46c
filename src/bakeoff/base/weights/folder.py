"""A base from a folder: what is checked before a weight is read, and the loading itself."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.weights.shards import INDEX_NAME as INDEX_NAME
from bakeoff.base.weights.shards import WEIGHTS_NAME as WEIGHTS_NAME
from bakeoff.base.weights.shards import read_json as read_json
from bakeoff.base.weights.shards import weight_files as weight_files
from bakeoff.errors import BakeoffError, BaseModelError, CheckpointError

CONFIG_NAME: Final = "config.json"
ADAPTER_NAME: Final = "adapter_config.json"
GENERATION_NAME: Final = "generation_config.json"

# Any of these holds a whole vocabulary; without one, Transformers makes up an empty tokenizer.
TOKENIZER_NAMES: Final = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
_CAUSALITY_TOLERANCE: Final = 1e-4
_NAMES_SHOWN: Final = 3
_BITSANDBYTES: Final = "bitsandbytes"
_WEIGHT_TYPES: Final = ("F16", "BF16", "F32", "F64")


def read_config(folder: Path, *, trust_remote_code: bool = False) -> PreTrainedConfig:
    """The configuration of the causal language model in ``folder``.

    Raises:
        BaseModelError: there is none, it needs code or a format that bakeoff refuses, or it
            describes something else than a causal decoder.
    """
    path = folder / CONFIG_NAME
    if not path.is_file() and (folder / ADAPTER_NAME).is_file():
        raise BaseModelError(
            f"{folder}: holds an adapter, not a base; name the model that it was trained on"
        )
    if not path.is_file():
        raise BaseModelError(
            f"{folder}: no {CONFIG_NAME}; a base's folder holds {CONFIG_NAME}, {WEIGHTS_NAME} "
            "(or a single .gguf file) and its tokenizer's files"
        )
    raw = read_json(path)
    auto_map = raw.get("auto_map") or {}
    model_type = raw.get("model_type")
    if raw.get("quantization_config"):
        method = quantized_by(raw["quantization_config"])
        if method != _BITSANDBYTES:
            raise BaseModelError(
                f"{path}: the weights are quantised by {method}, which bakeoff does not train "
                "over; name the unquantised model and set quantization: nf4 (or int8), or name a "
                "checkpoint of bitsandbytes"
            )
    if model_type not in CONFIG_MAPPING and not trust_remote_code:
        if auto_map:
            raise BaseModelError(
                f"{path}: model type {model_type!r} runs code from its own folder (auto_map), "
                "which bakeoff does only where it is trusted; read that code, then set "
                "trust_remote_code: true, or name another base"
            )
        raise BaseModelError(
            f"{path}: model type {model_type!r} is not one that this Transformers knows; "
            "install a newer transformers, or name another base"
        )
    with silence_libraries(), translated(path, BaseModelError):
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
    # It would let a configuration name other weights than the ones that were checked.
    config.transformers_weights = None
    has_remote_model = trust_remote_code and "AutoModelForCausalLM" in auto_map
    _require_decoder(config, path, has_remote_model=has_remote_model)
    return config


def _require_decoder(config: PreTrainedConfig, place: Path, *, has_remote_model: bool) -> None:
    architectures = config.architectures or []
    decoders = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    masked = set(MODEL_FOR_MASKED_LM_MAPPING_NAMES.values()) - decoders
    is_encoder_decoder = bool(getattr(config, "is_encoder_decoder", False))
    is_known = (
        has_remote_model or type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or has_text_tower(config)
    )
    # Transformers lists BERT and its kin as decoders too, for the rare case that says so itself.
    is_encoder = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not (
        getattr(config, "is_decoder", False) or not decoders.isdisjoint(architectures)
    )
    names_encoder = is_encoder or not masked.isdisjoint(architectures)
    if is_encoder_decoder or not is_known or names_encoder:
        kind = "an encoder-decoder" if is_encoder_decoder else "no decoder"
        raise _not_causal(architectures, config.model_type, place, kind)


def has_text_tower(config: PreTrainedConfig) -> bool:
    """Whether a decoder is one of several parts of a model that Transformers lists as none."""
    return (
        type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING
        and type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        and config.get_text_config() is not config
    )


def auto_class(config: PreTrainedConfig) -> Any:
    """Transformers' class that loads a model of a configuration, with its head for text."""
    return AutoModelForImageTextToText if has_text_tower(config) else AutoModelForCausalLM


def _not_causal(
    architectures: list[str], model_type: str, place: Path, kind: str
) -> BaseModelError:
    name = ", ".join(architectures) or model_type
    return BaseModelError(
        f"{place}: {name} (model type {model_type}) is {kind}; bakeoff needs a causal language "
        "model, such as GPT-Neo, Llama, Qwen or Mistral"
    )


def folder_fingerprint(folder: Path) -> str:
    """A SHA-256 over the configuration's and the weight files' bytes."""
    total = hashlib.sha256()
    for file in [folder / CONFIG_NAME, *weight_files(folder)]:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{file.name} {digest}\n".encode())
    return total.hexdigest()


def load_model(folder: Path, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """The folder's model in float32, evaluation mode, on CPU, every weight from the files.

    Raises:
        BaseModelError: it is not a causal language model that can be loaded.
        CheckpointError: the weights are missing, torn, incomplete or not safetensors.
    """
    config = read_config(folder, trust_remote_code=trust_remote_code)
    weight_files(folder)
    require_no_adapter(folder)
    if (held := quantized_as(config)) is not None:
        raise BaseModelError(
            f"{folder}: the weights are stored in {held}, so there is no model in full; name the "
            "unquantised one"
        )
    with silence_libraries(), translated(folder, CheckpointError):
        model, report = auto_class(config).from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            output_loading_info=True,
        )
    require_complete(folder, report)
    require_no_others(folder, report)
    require_as_stored(folder, model)
    loaded: PreTrainedModel = model.eval()
    require_causal(loaded, folder)
    return loaded


def require_no_adapter(folder: Path) -> None:
    """Refuses a folder with an adapter: Transformers would add it to the weights without a word."""
    if (folder / ADAPTER_NAME).is_file():
        raise BaseModelError(
            f"{folder}: there is an adapter beside the weights; move {ADAPTER_NAME} elsewhere, or "
            "merge the adapter first"
        )


def quantized_by(stated: Any) -> str:
    """What has quantised a checkpoint, from the ``quantization_config`` of its configuration."""
    stated = stated if isinstance(stated, Mapping) else {}
    if stated.get("load_in_4bit") or stated.get("load_in_8bit"):
        return _BITSANDBYTES
    return str(stated.get("quant_method", "unknown"))


def quantized_as(config: PreTrainedConfig) -> str | None:
    """In what bitsandbytes has stored a checkpoint: ``int8``, ``nf4``, ``fp4`` or None."""
    stated = getattr(config, "quantization_config", None)
    if not stated:
        return None
    stated = stated if isinstance(stated, Mapping) else stated.to_dict()
    if stated.get("load_in_8bit"):
        return "int8"
    return str(stated.get("bnb_4bit_quant_type", "fp4"))


def meta_model(folder: Path, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """The folder's model by its shapes alone: on the ``meta`` device, no weight read.

    Raises:
        BaseModelError: it is not a causal language model that can be made.
    """
    config = read_config(folder, trust_remote_code=trust_remote_code)
    with translated(folder, BaseModelError):
        model = meta_of(config, trust_remote_code=trust_remote_code)
    return model


def meta_of(config: PreTrainedConfig, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """A model of a configuration's shapes, on the ``meta`` device, in evaluation mode."""
    with silence_libraries(), torch.device("meta"):
        model: PreTrainedModel = auto_class(config).from_config(
            config, dtype=torch.float32, trust_remote_code=trust_remote_code
        )
    model.eval()
    return model


def require_complete(place: Path, report: Mapping[str, Any]) -> None:
    """Refuses a model of which a weight was not in the files and so is random."""
    absent = sorted(report["missing_keys"]) + sorted(str(k) for k in report["mismatched_keys"])
    if absent:
        raise CheckpointError(
            f"{place}: the weights lack {_listed(absent)}, which would be left random; fetch or "
            "save the whole model again"
        )


def require_no_others(folder: Path, report: Mapping[str, Any]) -> None:
    """Refuses weights that the configuration has no place for: layers would be left out."""
    others = sorted(report["unexpected_keys"])
    if others:
        raise CheckpointError(
            f"{folder}: the files hold {_listed(others)}, for which {CONFIG_NAME} has no place, so "
            "that it would be another model without them; correct it (num_hidden_layers?), or "
            "fetch or save the whole model again"
        )


def require_as_stored(folder: Path, model: PreTrainedModel) -> None:
    """Refuses stored weights that the model cannot be computing with.

    Raises:
        CheckpointError: one is of a type that needs scales to be read, or is a head of its own
            where the configuration says that it is the embedding.
    """
    places: dict[str, Path] = {}
    is_packed = quantized_as(model.config) is not None
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118 - it is no mapping
                places[name] = file
                kind = stored.get_slice(name).get_dtype()
                if name.endswith(".weight") and kind not in _WEIGHT_TYPES and not is_packed:
                    raise CheckpointError(
                        f"{file}: {name} is of the type {kind}, which says nothing without the "
                        f"scales of its quantisation, and {CONFIG_NAME} names none; name the "
                        f"unquantised model (types: {', '.join(_WEIGHT_TYPES)})"
                    )
    if not model.config.get_text_config().tie_word_embeddings:
        return
    names = [
        name
        for layer in (model.get_input_embeddings(), model.get_output_embeddings())
        for name, module in model.named_modules(remove_duplicate=False)
        if module is layer
    ]
    stored_both = [name for one in names if (name := f"{one}.weight") in places]
    if len(stored_both) == 2 and not torch.equal(*(_read(places[n], n) for n in stored_both)):
        embedding, head = stored_both
        raise CheckpointError(
            f"{places[head]}: {head} differs from {embedding}, though {CONFIG_NAME} says that they "
            "are one (tie_word_embeddings); set that to false, or save the model again"
        )


def _read(file: Path, name: str) -> torch.Tensor:
    with safe_open(file, framework="pt") as stored:
        tensor: torch.Tensor = stored.get_tensor(name)
    return tensor


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def require_causal(model: PreTrainedModel, place: Path) -> None:
    """Refuses a model whose prediction at a position changes with a later token."""
    last = int(model.config.get_text_config().vocab_size) - 1
    device = model.get_input_embeddings().get_parameter("weight").device
    ids_BT = torch.tensor([[0, 1, 0], [0, 1, last]], device=device)
    with torch.inference_mode(), silence_libraries(), translated(place, BaseModelError):
        logits_BTV = model(input_ids=ids_BT).logits[:, :2]
    gap = (logits_BTV[0] - logits_BTV[1]).abs().max()
    if gap > _CAUSALITY_TOLERANCE * logits_BTV.abs().max():
        kind = "not causal (what it says at a position depends on later tokens)"
        architectures = model.config.architectures or [type(model).__name__]
        raise _not_causal(architectures, model.config.model_type, place, kind)


def has_tokenizer(folder: Path) -> bool:
    """Whether the folder has a tokenizer's files."""
    return any((folder / name).is_file() for name in TOKENIZER_NAMES)


def load_tokenizer(
    folder: Path, *, config: PreTrainedConfig | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """The folder's tokenizer; ``config`` helps where the folder has no configuration.

    Raises:
        BaseModelError: there is none, or it cannot be read.
    """
    if not has_tokenizer(folder):
        raise BaseModelError(
            f"{folder}: no tokenizer (none of {', '.join(TOKENIZER_NAMES)}); save the model's "
            "own tokenizer there with save_pretrained"
        )
    with silence_libraries(), translated(folder, BaseModelError):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, config=config, trust_remote_code=trust_remote_code, local_files_only=True
        )
    return tokenizer


@contextlib.contextmanager
def translated(place: Path | str, kind: type[BakeoffError]) -> Iterator[None]:
    """Turns any failure of the libraries that read a model into one error of ours.

    Memory that runs out, a GPU's too, says nothing of the files, and is raised as it is.
    """
    try:
        yield
    except (BakeoffError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # what they raise differs between models and versions
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        raise kind(
            f"{place}: cannot be loaded ({reason}); fetch or save the model again, or name "
            "another base"
        ) from error

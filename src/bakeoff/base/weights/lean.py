"""Weights that are held as they come: converted and placed one tensor at a time."""

from __future__ import annotations

import copy
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.quantized.models import (
    adopt_bitsandbytes,
    linear_modules,
    quantize,
    to_device,
)
from bakeoff.base.quantized.pieces import InPieces
from bakeoff.base.quantized.storage import bitsandbytes
from bakeoff.base.sizes import model_bytes
from bakeoff.base.upcast import computing_in_float32
from bakeoff.base.weights.folder import (
    GENERATION_NAME,
    load_model,
    quantized_as,
    require_as_stored,
    require_causal,
    require_complete,
    require_no_adapter,
    require_no_others,
    translated,
    weight_files,
)
from bakeoff.base.weights.stored import one_by_one, stored_formats, stored_tensors
from bakeoff.errors import BaseModelError, CheckpointError
from bakeoff.types import Quantization

_KEPT_BYTES: Final = 1 << 30
"""A float32 original of at most so many bytes stays in memory once it was read: it is asked for
several times, and reading it costs more than it takes."""


class Weights(ABC):
    """A base's weights where they are stored."""

    def __init__(self) -> None:
        self._kept: PreTrainedModel | None = None
        self._seen: weakref.ref[PreTrainedModel] | None = None

    @abstractmethod
    def hold(
        self, device: torch.device, dtype: torch.dtype, quantization: Quantization
    ) -> PreTrainedModel:
        """The model with its weights in memory, once, in evaluation mode.

        Args:
            device: where. dtype: of what is not quantised. quantization: of the linear layers.

        Raises:
            BaseModelError: it is not a causal language model that can be held so.
            CheckpointError: the weights are missing, torn or incomplete.
            ConfigError: bitsandbytes is needed and not installed.
        """

    @abstractmethod
    def read(self) -> PreTrainedModel:
        """The model in float32 on the CPU, read again."""

    @abstractmethod
    def is_exact_in(self, dtype: torch.dtype) -> bool:
        """Whether what is held in this format is what is stored, to the bit."""

    def original(self) -> PreTrainedModel:
        """The model in float32 on the CPU; not read again while somebody has it."""
        model = self._kept
        if model is None and self._seen is not None:
            model = self._seen()
        if model is None:
            model = self.read()
            self._seen = weakref.ref(model)
            if model_bytes(model) <= _KEPT_BYTES:
                self._kept = model
        return model


class FolderWeights(Weights):
    """Weights in a folder's safetensors files.

    Args:
        folder: of the model. skeleton: its model of shapes alone.
        trust_remote_code: whether code beside it may run.
        called: its name in the hub, or None.
    """

    def __init__(
        self,
        folder: Path,
        skeleton: PreTrainedModel,
        *,
        trust_remote_code: bool = False,
        called: str | None = None,
    ) -> None:
        super().__init__()
        self._folder, self._skeleton = folder, skeleton
        # As the files have it: a prepared model's has marks of its own.
        self._config: PreTrainedConfig = copy.deepcopy(skeleton.config)
        self._trust_remote_code = trust_remote_code
        self._called = called
        self._files = weight_files(folder)
        self._formats = stored_formats(self._files)
        self._own = quantized_as(skeleton.config)

    def hold(
        self, device: torch.device, dtype: torch.dtype, quantization: Quantization
    ) -> PreTrainedModel:
        """See ``Weights``."""
        own = self._own
        if own is not None and quantization not in ("none", own):
            raise BaseModelError(
                f"{self._folder}: the weights are stored in {own} already, and quantization: "
                f"{quantization} would quantise them a second time; leave quantization out, or "
                "name the unquantised model"
            )
        require_no_adapter(self._folder)
        require_as_stored(self._folder, self._skeleton)
        config = copy.deepcopy(self._config)
        options: dict[str, Any] = {}
        if quantization != "none" or own is not None:
            bitsandbytes()
        if quantization != "none" and own is None:
            options["quantization_config"] = _quantizing(self._skeleton, quantization, dtype)
        if device.type != "cpu":
            options["device_map"] = {"": device}
        is_mapped = device.type == "cpu" and quantization == "none" and own is None
        model_type: Any = type(self._skeleton)
        with (
            silence_libraries(),
            translated(self._folder, CheckpointError),
            one_by_one(),
            InPieces(),
        ):
            model, report = model_type.from_pretrained(
                None,
                config=config,
                state_dict=stored_tensors(self._files, mapped_in=dtype if is_mapped else None),
                dtype=dtype,
                output_loading_info=True,
                **options,
            )
        require_complete(self._folder, report)
        require_no_others(self._folder, report)
        adopt_bitsandbytes(model)
        held = _forgetting_quantization(model.eval())
        held.generation_config = self.generation_config(config)
        if self._called is not None:
            held.name_or_path = held.config.name_or_path = self._called
        with computing_in_float32(held):
            require_causal(held, self._folder)
        return held

    def read(self) -> PreTrainedModel:
        """See ``Weights``."""
        return load_model(self._folder, trust_remote_code=self._trust_remote_code)

    def is_exact_in(self, dtype: torch.dtype) -> bool:
        """See ``Weights``; what is stored packed is all that there is."""
        if self._own is not None or self._formats <= {dtype}:
            return True
        return dtype == torch.float32 and torch.float64 not in self._formats

    def generation_config(self, config: PreTrainedConfig) -> GenerationConfig:
        """How the model's makers generate, from the folder or from its configuration."""
        if (self._folder / GENERATION_NAME).is_file():
            with silence_libraries(), translated(self._folder, CheckpointError):
                return GenerationConfig.from_pretrained(self._folder)
        return GenerationConfig.from_model_config(config)


class RandomWeights(Weights):
    """Weights that are drawn from a seed.

    Args:
        draw: gives the model in float32 on the CPU.
    """

    def __init__(self, draw: Callable[[], PreTrainedModel]) -> None:
        super().__init__()
        self._draw = draw

    def hold(
        self, device: torch.device, dtype: torch.dtype, quantization: Quantization
    ) -> PreTrainedModel:
        """See ``Weights``; the whole is drawn in float32 first."""
        model = self._draw()
        to_device(model, device, dtype)
        if quantization != "none":
            quantize(model, quantization)
        return model

    def read(self) -> PreTrainedModel:
        """See ``Weights``."""
        return self._draw()

    def is_exact_in(self, dtype: torch.dtype) -> bool:
        """See ``Weights``."""
        return dtype == torch.float32


def _quantizing(skeleton: PreTrainedModel, quantization: Quantization, dtype: torch.dtype) -> Any:
    """What tells Transformers to quantise each linear layer as it comes."""
    from transformers import BitsAndBytesConfig

    meant = linear_modules(skeleton)
    kinds = nn.Linear, Conv1D
    others = [n for n, m in skeleton.named_modules() if isinstance(m, kinds) and n not in meant]
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=others)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        llm_int8_skip_modules=others,
        bnb_4bit_quant_type=quantization,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _forgetting_quantization(model: PreTrainedModel) -> PreTrainedModel:
    """Without bitsandbytes' marks: PEFT and Transformers would look for its layers."""
    for holder in (model.config, model):
        for name in ("quantization_config", "hf_quantizer", "quantization_method"):
            if name in vars(holder):
                delattr(holder, name)
    for name in ("is_quantized", "is_loaded_in_4bit", "is_loaded_in_8bit"):
        setattr(model, name, False)
    return model

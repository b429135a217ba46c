"""A base's parameters as they were loaded, and models of one's own that start from them."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import PreTrainedModel

from bakeoff.base.activations import fuse_activations
from bakeoff.base.attention.interface import ATTENTION_NAME
from bakeoff.base.choice import BaseChoice
from bakeoff.base.families.replace import replace_layers
from bakeoff.base.injection import unsited
from bakeoff.base.products import accelerate_products
from bakeoff.base.quantized.linear import QuantizedLinear
from bakeoff.base.quantized.models import Held, copied, held_in, unquantize
from bakeoff.base.sharding import whole
from bakeoff.base.sizes import model_bytes
from bakeoff.base.weights.sources import Source


class SourceParameters:
    """What a base knows of its weights, however it holds them.

    Attributes:
        source: where they come from. model: what is held.
        choice: which of a study's held bases it is. compute_dtype: what it computes in.
        is_sharded: whether this process holds a part of each of its layers alone.
    """

    source: Source
    model: PreTrainedModel
    choice: BaseChoice
    compute_dtype: torch.dtype
    is_sharded: bool = False

    @property
    def head_name(self) -> str:
        """The head's full name in the model."""
        raise NotImplementedError

    @property
    def embedding_name(self) -> str:
        """The input embedding's full name in the model."""
        raise NotImplementedError

    @property
    def quantization(self) -> Held:
        """In what its linear layers are held: ``none``, ``int8``, ``nf4`` or ``fp4``."""
        return held_in(self.model)

    @property
    def held_bytes(self) -> int:
        """Bytes of the held weights, each shared one once."""
        return model_bytes(self.model)

    @property
    def source_embedding(self) -> Tensor:
        """[V, D] float32 input embedding as loaded, on the CPU."""
        return self.source_parameter(f"{self.embedding_name}.weight")

    @property
    def source_head(self) -> Tensor:
        """[V, D] float32 head as loaded, on the CPU."""
        return self.source_parameter(f"{self.head_name}.weight")

    def source_parameter(self, name: str) -> Tensor:
        """One of the model's parameters, by its full name, in float32 as loaded, on the CPU.

        Of a quantised layer the weight that the base computes with, unpacked, in the layout of the
        model's files.
        """
        module, _, part = name.rpartition(".")
        layer = unsited(self.model.get_submodule(module))
        if isinstance(layer, QuantizedLinear) and part == "weight":
            weight = layer.unpacked(torch.float32).cpu()
            return weight.t() if layer.was_transposed else weight
        parameter = self._as_loaded(name)
        if parameter.is_meta:  # of a base of shapes
            return parameter.detach().to(torch.float32)
        return whole(parameter).detach().to("cpu", torch.float32)

    def source_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """All of the model's parameters by full name, in order, one after the other; tied ones
        once. See ``source_parameter``."""
        kept = self._original()  # not read again for every name
        for name, _ in self.source.model.named_parameters():
            yield name, self.source_parameter(name)
        del kept

    def source_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """What the model's files hold beside its parameters, by full name, on the CPU.

        Such as the bias of a router of experts that is not trained. Each has its own format, which
        no precision changes.
        """
        kept = self._original()  # as of ``source_parameters``
        for place, module in self.source.model.named_modules():
            for part, _ in module.named_buffers(recurse=False):
                if part not in module._non_persistent_buffers_set:
                    name = f"{place}.{part}".lstrip(".")
                    yield name, self._as_loaded(name).detach().cpu()
        del kept

    def _as_loaded(self, name: str) -> Tensor:
        """A parameter or buffer, by its full name."""
        module, _, part = name.rpartition(".")
        original = self._original()
        layer = unsited(self.model.get_submodule(module))
        found = getattr(layer if original is None else original.get_submodule(module), part)
        assert isinstance(found, Tensor)
        return found

    def _original(self) -> PreTrainedModel | None:
        """The model in float32 as loaded; None where what is held says as much."""
        weights = self.source.weights
        if weights is None:
            return self.source.model
        return None if weights.is_exact_in(self.compute_dtype) else weights.original()

    def whole_copy(self) -> PreTrainedModel:
        """A float32 model of its own on the CPU, of ordinary layers: quantised ones unpacked."""
        model = self._float32_copy()
        unquantize(model)
        return model

    def _float32_copy(self) -> PreTrainedModel:
        """A model of its own on the CPU, before anything of it is changed."""
        weights = self.source.weights
        if self.quantization == "none" and weights is None:
            return copy.deepcopy(self.source.model)
        is_exact = weights is not None and weights.is_exact_in(self.compute_dtype)
        # A sharded model cannot be copied.
        if self.quantization == "none" and weights and (self.is_sharded or not is_exact):
            model = weights.read()
            prepare_model(model)
            return model
        return copied(self.model, torch.device("cpu"), torch.float32)


def prepare_model(model: PreTrainedModel) -> None:
    """Replaces what the engine computes itself, and freezes the rest."""
    replace_layers(model)
    fuse_activations(model)
    accelerate_products(model)
    model.eval()
    model.requires_grad_(False)
    model.config._attn_implementation = ATTENTION_NAME

"""P-tuning: a soft prompt that is trained through a small network, the prompt encoder.

Axis letters: ``K`` slots, ``P`` prompt positions, ``D`` width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import ExecutionPath, Tensors
from bakeoff.methods.prompts.reparametrised import (
    Reparametrised,
    ReparametrisedStack,
    drawn_layer,
    layer,
)
from bakeoff.methods.specs.p_tuning import SPEC, PTuningOptions
from bakeoff.methods.stack import StackHooks

_LAYERS = ("mlp_head.0", "mlp_head.2", "mlp_head.4")


class PTuning(Reparametrised):
    """P-tuning on one base; the encoder is PEFT's of three layers (``MLP``)."""

    spec = SPEC
    options: PTuningOptions

    def __init__(self, options: PTuningOptions, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        length, limit = options.prompt_length, base.max_positions
        if length < 1:
            raise ConfigError(
                f"{where}.prompt_length: {length} is below 1; give one vector or more"
            )
        if limit is not None and length >= limit:
            raise ConfigError(
                f"{where}.prompt_length: {length} vectors fill all {limit} positions of the base; "
                f"give fewer than {limit}"
            )
        if options.hidden is not None and options.hidden < 1:
            raise ConfigError(f"{where}.hidden: {options.hidden} is below 1; give 1 or more")

    @property
    def execution_path(self) -> ExecutionPath:
        """Through the shared base."""
        return ExecutionPath.BASE

    @property
    def extra_positions(self) -> int:
        """The prompt's length."""
        return self.options.prompt_length

    @property
    def hidden(self) -> int:
        """Width of the encoder."""
        return self.options.hidden or self.base.embedding_width

    @property
    def folded_shape(self) -> tuple[int, int]:
        """(P, D)."""
        return self.options.prompt_length, self.base.embedding_width

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The encoder's tensors under PEFT's names."""
        length, width = self.folded_shape
        sizes = [(width, self.hidden), (self.hidden, self.hidden), (self.hidden, width)]
        shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (length, width)}
        for name, (num_in, num_out) in zip(_LAYERS, sizes, strict=True):
            shapes |= {f"{name}.weight": (num_out, num_in), f"{name}.bias": (num_out,)}
        return shapes

    def initial(self, generator: torch.Generator) -> Tensors:
        """As PyTorch and PEFT draw it: normal embeddings, uniform layers."""
        shapes = self.shapes
        tensors = {"embedding.weight": torch.randn(shapes["embedding.weight"], generator=generator)}
        for name in _LAYERS:
            num_out, num_in = shapes[f"{name}.weight"]
            weight, bias = drawn_layer(num_in, num_out, generator)
            tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
        return tensors

    def network(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """[K, P, D]: three layers with ReLU between them on each position's embedding."""
        x_KPD = tensors["embedding.weight"]
        for name in _LAYERS[:-1]:
            x_KPD = torch.relu(layer(tensors, name, x_KPD))
        return layer(tensors, _LAYERS[-1], x_KPD)

    def peft_config(self) -> Any:
        """PEFT's ``PromptEncoderConfig``."""
        from peft import PromptEncoderConfig

        return PromptEncoderConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=self.options.prompt_length,
            token_dim=self.base.embedding_width,
            num_layers=int(self.base.config.num_hidden_layers),
            num_attention_heads=int(self.base.config.num_attention_heads),
            num_transformer_submodules=1,
            encoder_reparameterization_type="MLP",
            encoder_hidden_size=self.hidden,
            base_model_name_or_path=self.base.source.reference,
            inference_mode=True,
        )


class PTuningStack(ReparametrisedStack):
    """K slots' prompts; shorter ones are followed by unused rows."""

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """The vectors before the tokens."""
        return StackHooks(prompt=partial(self.vectors, slots))

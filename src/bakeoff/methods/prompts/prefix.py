"""Prefix tuning: trained keys and values before the tokens' own in every layer.

Axis letters: ``K`` slots, ``P`` prefix positions, ``L`` layers, ``H`` key heads, ``C`` head width,
``E`` = 2 L H C, all keys and values of one position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.base.prefix import Prefix, prefix_of_embeddings
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import ExecutionPath, Tensors
from bakeoff.methods.prompts.drawn import drawn_ids
from bakeoff.methods.prompts.reparametrised import (
    FOLDED,
    Reparametrised,
    ReparametrisedStack,
    drawn_layer,
    layer,
)
from bakeoff.methods.specs.prefix import SPEC, PrefixOptions
from bakeoff.methods.stack import StackHooks

RANDOM, VOCABULARY = "random", "vocabulary"


class PrefixTuning(Reparametrised):
    """Prefix tuning on one base."""

    spec = SPEC
    options: PrefixOptions

    def __init__(self, options: PrefixOptions, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        config = base.config
        self.num_layers = int(config.num_hidden_layers)
        num_heads = int(config.num_attention_heads)
        self.num_key_heads = int(getattr(config, "num_key_value_heads", None) or num_heads)
        self.head_width = int(
            getattr(config, "head_dim", None) or int(config.hidden_size) // num_heads
        )
        self.key_width = self.num_key_heads * self.head_width
        length, limit = options.prefix_length, base.max_positions
        if length < 1:
            raise ConfigError(
                f"{where}.prefix_length: {length} is below 1; give one position or more"
            )
        if limit is not None and length >= limit:
            raise ConfigError(
                f"{where}.prefix_length: {length} positions fill all {limit} of the base; give "
                f"fewer than {limit}"
            )
        if options.hidden is not None and not options.projection:
            raise ConfigError(
                f"{where}.hidden: {options.hidden} has no effect without projection: true; set "
                "that, or leave hidden out"
            )
        if options.hidden is not None and options.hidden < 1:
            raise ConfigError(f"{where}.hidden: {options.hidden} is below 1; give 1 or more")
        if options.projection and options.init not in (None, RANDOM):
            raise ConfigError(
                f"{where}.init: {options.init!r} cannot be the start of a network's keys and "
                "values; give random, or projection: false"
            )
        default = RANDOM if options.projection else VOCABULARY
        self.init = default if options.init is None else options.init
        self._text_ids: list[int] = []
        if self.init not in (RANDOM, VOCABULARY):
            self._text_ids = base.tokenizer(self.init, add_special_tokens=False)["input_ids"]
            if not self._text_ids:
                raise ConfigError(
                    f"{where}.init: {options.init!r} has no tokens; give a text, 'vocabulary' or "
                    "'random'"
                )
            if (fault := base.unembedded(self._text_ids)) is not None:
                raise ConfigError(f"{where}.init: {fault}; leave it out")

    @property
    def execution_path(self) -> ExecutionPath:
        """Through the shared base."""
        return ExecutionPath.BASE

    @property
    def extra_positions(self) -> int:
        """The prefix's length."""
        return self.options.prefix_length

    @property
    def hidden(self) -> int:
        """Width of the network."""
        return self.options.hidden or self.key_width

    @property
    def folded_shape(self) -> tuple[int, int]:
        """(P, E), as PEFT lays them out: for each position key, value, key, value by layer."""
        return self.options.prefix_length, 2 * self.num_layers * self.key_width

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The keys and values themselves, or the network's tensors under PEFT's names."""
        length, width = self.folded_shape
        if not self.options.projection:
            return {FOLDED: (length, width)}
        return {
            "embedding.weight": (length, self.key_width),
            "transform.0.weight": (self.hidden, self.key_width),
            "transform.0.bias": (self.hidden,),
            "transform.2.weight": (width, self.hidden),
            "transform.2.bias": (width,),
        }

    def initial(self, generator: torch.Generator) -> Tensors:
        """As the option ``init`` says; a network as PyTorch and PEFT draw it."""
        length, width = self.folded_shape
        if self.options.projection:
            tensors = {"embedding.weight": torch.randn(length, self.key_width, generator=generator)}
            for name, num_in, num_out in (
                ("transform.0", self.key_width, self.hidden),
                ("transform.2", self.hidden, width),
            ):
                weight, bias = drawn_layer(num_in, num_out, generator)
                tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
            return tensors
        if self.init == RANDOM:
            return {FOLDED: torch.randn(length, width, generator=generator)}
        if self.init == VOCABULARY:
            ids = drawn_ids(self.base, length, generator)
        else:
            ids = torch.tensor(self._text_ids).repeat(-(-length // len(self._text_ids)))[:length]
        embeddings: Any = self.base.embedding(ids.to(self.base.device))
        return {FOLDED: flat(prefix_of_embeddings(self.base, embeddings)).float().cpu()}

    def network(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """[K, P, E], section 4.3: a layer, a tanh and a layer on each position's embedding."""
        hidden = torch.tanh(layer(tensors, "transform.0", tensors["embedding.weight"]))
        return layer(tensors, "transform.2", hidden)

    def peft_config(self) -> Any:
        """PEFT's ``PrefixTuningConfig``."""
        from peft import PrefixTuningConfig

        return PrefixTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=self.options.prefix_length,
            token_dim=self.key_width,
            num_layers=self.num_layers,
            num_attention_heads=self.num_key_heads,
            num_transformer_submodules=1,
            encoder_hidden_size=self.hidden,
            prefix_projection=self.options.projection,
            base_model_name_or_path=self.base.source.reference,
            inference_mode=True,
        )


class PrefixStack(ReparametrisedStack):
    """K slots' prefixes; what is beyond a slot's own length is masked."""

    def __init__(self, base: Base, methods: Sequence[PrefixTuning], num_slots: int) -> None:
        super().__init__(base, methods, num_slots)
        self._heads = (methods[0].num_layers * 2, methods[0].num_key_heads, methods[0].head_width)

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """Keys and values before the tokens'."""
        return StackHooks(prefix=partial(self.prefix, slots))

    def prefix(self, slots: Sequence[int]) -> Prefix:
        """The prefixes of the given slots, in float32."""
        vectors_KPE, lengths_K = self.vectors(slots)
        by_layer = vectors_KPE.unflatten(2, self._heads).permute(2, 0, 3, 1, 4).unbind()
        return Prefix(
            layers=tuple(zip(by_layer[::2], by_layer[1::2], strict=True)), lengths_K=lengths_K
        )


def flat(prefix: Prefix) -> Tensor:
    """[P, E] one slot's keys and values as PEFT lays them out."""
    both = [tensor[0] for layer in prefix.layers for tensor in layer]
    return torch.stack(both).permute(2, 0, 1, 3).flatten(1)

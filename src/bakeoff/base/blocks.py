"""The decoder's blocks: which layers end their two parts, and where the residual stream is read.

Nothing here knows an architecture by name. A block's attention is its child that is called one; a
part ends in its last linear layer, as Transformers writes them, and attention in the only one of
the stream's width where there is just one; the norm before a part is the one whose output that
part's first linear layer reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bakeoff.base.decoder import decoder_of
from bakeoff.base.injection import linear_layers, linear_shape
from bakeoff.base.model import Base
from bakeoff.base.norms import norm_layers
from bakeoff.errors import BaseModelError


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block's layers by their full names.

    Attributes:
        attention_output: the linear layer that ends attention. mlp_output: likewise the MLP.
        mlp_input: the first linear layer of the MLP.
        layers: all its linear layers, in order. norms: all its norms, in order.
    """

    name: str
    attention_output: str
    mlp_input: str
    mlp_output: str
    layers: tuple[str, ...]
    norms: tuple[str, ...]


def stream_width(base: Base) -> int:
    """The width of the residual stream: not always the embedding's, nor the head's."""
    return int(base.config.hidden_size)


def blocks(base: Base) -> list[Block]:
    """The blocks of the base's decoder, in order.

    Raises:
        BaseModelError: if they cannot be distinguished.
    """
    return _Decoder(
        model=base.model,
        name=base.decoder_name,
        linear=base.linear_layers(),
        norms=base.norm_layers(),
        reference=base.source.reference,
        remedy="choose a method that does not act there",
    ).blocks()


def blocks_of(model: PreTrainedModel, *, reference: str, remedy: str) -> list[Block]:
    """The same of a model as Transformers has it, which no base holds.

    Args:
        reference: what errors call it. remedy: what they advise.

    Raises:
        BaseModelError: if they cannot be distinguished.
    """
    decoder = decoder_of(model)
    name = next((name for name, module in model.named_modules() if module is decoder), "")
    return _Decoder(
        model=model,
        name=name,
        linear=linear_layers(model, head=model.get_output_embeddings()),
        norms=norm_layers(model),
        reference=reference,
        remedy=remedy,
    ).blocks()


@dataclass(frozen=True, kw_only=True)
class _Decoder:
    """A model's decoder and its layers.

    Attributes:
        name: its full name in the model, "" where it is not found.
        linear, norms: its layers by full name, in order.
        reference, remedy: see ``blocks_of``.
    """

    model: PreTrainedModel
    name: str
    linear: Mapping[str, nn.Module]
    norms: Mapping[str, nn.Module]
    reference: str
    remedy: str

    def blocks(self) -> list[Block]:
        """See ``blocks``."""
        number = int(self.model.config.get_text_config().num_hidden_layers)
        for list_name, module in self.model.named_modules():
            if not list_name.startswith(self.name):
                continue
            if isinstance(module, nn.ModuleList) and len(module) == number:
                return [self._block(f"{list_name}.{index}") for index in range(number)]
        raise BaseModelError(
            f"{self.reference}: {type(self.model).__name__} has no list of its {number} blocks; "
            f"{self.remedy}"
        )

    def _block(self, name: str) -> Block:
        layers = _within(self.linear, name)
        attention: list[str] = []
        mlp: list[str] = []
        for layer in layers:
            child = self.model.get_submodule(f"{name}.{layer[len(name) + 1 :].partition('.')[0]}")
            called = type(child).__name__.lower()
            is_attention = "attention" in called or "attn" in called
            (attention if is_attention else mlp).append(layer)
        width = int(self.model.config.get_text_config().hidden_size)
        # Phi-3's lists its output before the fused queries, keys and values. Of an MLP no such
        # thing is inferred: a mixture's only layer of this width may be its shared expert's.
        wide = [one for one in attention if linear_shape(self.linear[one])[1] == width]
        if len(wide) == 1:
            attention = [*(one for one in attention if one not in wide), *wide]
        for part, names in (("attention", attention), ("MLP", mlp)):
            if not names or linear_shape(self.linear[names[-1]])[1] != width:
                raise BaseModelError(
                    f"{self.reference}: the {part} of {name} does not end in a linear layer "
                    f"of {width} features; {self.remedy}"
                )
        return Block(
            name=name,
            attention_output=attention[-1],
            mlp_input=mlp[0],
            mlp_output=mlp[-1],
            layers=layers,
            norms=_within(self.norms, name),
        )


def _within(names: Mapping[str, nn.Module], block: str) -> tuple[str, ...]:
    return tuple(name for name in names if name.startswith(f"{block}."))


@torch.no_grad()
def norms_before_mlps(base: Base, chosen: Sequence[Block]) -> dict[str, str]:
    """The norm whose output each block's MLP reads, by the block's name, where there is one.

    Found by a pass over one token.
    """
    linear, norms = base.linear_layers(), base.norm_layers()
    # Kept, so that no later tensor takes the place in memory of an earlier one.
    given: dict[str, Tensor] = {}
    read: dict[str, Tensor] = {}

    def gives(name: str) -> Callable[..., None]:
        return lambda module, args, output: given.__setitem__(name, output)

    def reads(name: str) -> Callable[..., None]:
        return lambda module, args: read.__setitem__(name, args[0])

    hooks = []
    for block in chosen:
        hooks += [norms[name].register_forward_hook(gives(name)) for name in block.norms]
        hooks.append(linear[block.mlp_input].register_forward_pre_hook(reads(block.name)))
    try:
        with base.untuned():
            ids = torch.zeros((1, 1), dtype=torch.int64, device=base.device)
            base.hidden_states(base.embedding(ids), ids)
    finally:
        for hook in hooks:
            hook.remove()
    found: dict[str, str] = {}
    for block in chosen:
        for name in block.norms:
            if name in given and _is_same(given[name], read[block.name]):
                found[block.name] = name
    return found


def _is_same(a: Tensor, b: Tensor) -> bool:
    return bool(a.untyped_storage()._cdata == b.untyped_storage()._cdata)

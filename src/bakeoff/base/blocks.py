"""The decoder's blocks: which layers end their two parts, and where the residual stream is read.

Nothing here knows an architecture by name. A block's attention is its child that is called one; a
part ends in its last linear layer, as Transformers writes them; and the norm before a part is the
one whose output that part's first linear layer reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bakeoff.base.injection import linear_shape
from bakeoff.base.model import Base
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
        BaseModelError: if they cannot be told apart.
    """
    model = base.model
    number = int(base.config.num_hidden_layers)
    linear, norms = base.linear_layers(), base.norm_layers()
    inside = base.decoder_name
    for list_name, module in model.named_modules():
        if not list_name.startswith(inside):
            continue
        if isinstance(module, nn.ModuleList) and len(module) == number:
            names = [f"{list_name}.{index}" for index in range(number)]
            return [
                _block(base, name, _within(list(linear), name), tuple(_within(list(norms), name)))
                for name in names
            ]
    raise BaseModelError(
        f"{base.source.reference}: {type(model).__name__} has no list of its {number} blocks"
    )


def _within(names: list[str], block: str) -> list[str]:
    return [name for name in names if name.startswith(f"{block}.")]


def _block(base: Base, name: str, layers: list[str], norms: tuple[str, ...]) -> Block:
    attention: list[str] = []
    mlp: list[str] = []
    for layer in layers:
        child = base.model.get_submodule(name + "." + layer[len(name) + 1 :].partition(".")[0])
        called = type(child).__name__.lower()
        is_attention = "attention" in called or "attn" in called
        (attention if is_attention else mlp).append(layer)
    found = base.linear_layers()
    for part, names in (("attention", attention), ("MLP", mlp)):
        if not names or linear_shape(found[names[-1]])[1] != stream_width(base):
            raise BaseModelError(
                f"{base.source.reference}: the {part} of {name} does not end in a linear layer "
                f"of {stream_width(base)} features; choose a method that does not act there"
            )
    return Block(
        name=name,
        attention_output=attention[-1],
        mlp_input=mlp[0],
        mlp_output=mlp[-1],
        layers=tuple(layers),
        norms=norms,
    )


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

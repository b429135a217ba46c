"""K slots' bottleneck adapters, and how each acts after, or beside, a block's parts.

Axis letters: ``K`` slots, ``N`` positions of all rows of a slot, ``D`` the model's width, ``E`` a
layer's input width, ``M`` the bottleneck's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.base.injection import LinearHook
from bakeoff.base.model import Base
from bakeoff.base.shared_inputs import stream
from bakeoff.methods.bottleneck import MLP, Activation, Bottleneck
from bakeoff.methods.contract import Method
from bakeoff.methods.padded import PaddedStack
from bakeoff.methods.stack import ByDtype, StackHooks


class BottleneckStack(PaddedStack):
    """K slots' bottlenecks; narrower ones are padded with zeros."""

    def __init__(self, base: Base, methods: Sequence[Bottleneck], num_slots: int) -> None:
        super().__init__(base, methods, num_slots)
        self._layers: dict[str, str] = {}
        self._norms: dict[str, str] = {}
        for method in methods:
            for place in method.places:
                block = next(b for b in method.blocks if place.startswith(f"{b.name}."))
                is_mlp = place.endswith(MLP)
                self._layers[place] = block.mlp_output if is_mlp else block.attention_output
            for block_name, norm in method.stream_norms.items():
                self._norms[f"{block_name}.{MLP}"] = norm
        self._activations = list(dict.fromkeys(method.options.activation for method in methods))

        def of_slots(dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(num_slots, 1, 1, dtype=dtype, device=base.device)

        self._scale_K11 = of_slots()
        # What the first layer reads is a sum of the part's output and the residual stream.
        self._reads_output_K11, self._reads_stream_K11 = of_slots(), of_slots()
        self._activation_K11 = of_slots(torch.int64)
        # Of each thread its own: passes go side by side. Of each selection of slots its own: in a
        # pass of several, all of them see the norm before any of them reaches the place.
        self._stream = stream()

    def place(self, slot: int, method: Method, tensors: Mapping[str, Tensor]) -> None:
        """Seats a candidate with its own arrangement."""
        assert isinstance(method, Bottleneck)
        super().place(slot, method, tensors)
        options = method.options
        self._scale_K11[slot] = options.scale
        self._reads_output_K11[slot] = float(options.placement == "sequential")
        self._reads_stream_K11[slot] = float(method.reads_stream)
        self._activation_K11[slot] = self._activations.index(options.activation)

    def vacate(self, slot: int) -> None:
        """A scale of zero: nothing is added."""
        super().vacate(slot)
        self._scale_K11[slot] = 0.0

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """One per place, on the layer that ends the part, and one per norm before an MLP, to see
        the residual stream."""
        return StackHooks(
            linear={
                layer: partial(self.apply, place, slots, None)
                for place, layer in self._layers.items()
            },
            norms={norm: partial(self.see, place, slots) for place, norm in self._norms.items()},
        )

    def settled_hooks(self, slot: int) -> StackHooks:
        """The same, of one slot outside of training; what reads no residual stream sees no norm."""
        slots = range(slot, slot + 1)
        hooks = self.hooks(slots)
        linear: dict[str, LinearHook] = {
            layer: partial(self.apply, place, slots, ByDtype(partial(self._weights, place, slots)))
            for place, layer in self._layers.items()
        }
        sees = bool(self.narrowed(self._reads_stream_K11, slots).any())
        return replace(hooks, linear=linear, norms=hooks.norms if sees else {})

    def see(self, place: str, slots: Sequence[int], x_KND: Tensor, y_KND: Tensor) -> Tensor:
        """Keeps the norm's input for the place that follows in the same block."""
        self._stream.leave(_seen(place, slots), x_KND)
        return y_KND

    def apply(
        self,
        place: str,
        slots: Sequence[int],
        settled: ByDtype | None,
        x_KNE: Tensor,
        y_KND: Tensor,
    ) -> Tensor:
        """Adds each slot's scaled bottleneck to the output of a block's part.

        Source: Houlsby et al. 2019, arXiv:1902.00751, section 2.1; in parallel He et al. 2022,
        arXiv:2110.04366, section 3.3.

        Args:
            place: which. slots: which slots the rows belong to, in order.
            settled: gives ``_weights``, where they stay as they are.
            x_KNE: [K, N, E] the last layer's input, not used.
            y_KND: [K, N, D] its output.

        Returns:
            [K, N, D]. Equal to ``y_KND`` until the first update: ``up`` starts at zero.
        """
        dtype = y_KND.dtype
        read_KND = y_KND
        stream_KND = self._stream.take(_seen(place, slots))
        if stream_KND is not None:
            reads_output_K11, reads_stream_K11 = (
                self.narrowed(t, slots).to(dtype)
                for t in (self._reads_output_K11, self._reads_stream_K11)
            )
            read_KND = y_KND * reads_output_K11 + stream_KND * reads_stream_K11
        down_KDM, down_K1M, up_KMD, up_K1D, scale_K11 = (
            self._weights(place, slots, dtype) if settled is None else settled(dtype)
        )
        hidden_KNM = torch.baddbmm(down_K1M, read_KND, down_KDM)
        added_KND = torch.baddbmm(up_K1D, self._activate(hidden_KNM, slots), up_KMD)
        if settled is not None:
            return y_KND.addcmul_(added_KND, scale_K11)
        return torch.addcmul(y_KND, added_KND, scale_K11)

    def _weights(self, place: str, slots: Sequence[int], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """[K, D, M] and [K, 1, M] of the layer down, [K, M, D] and [K, 1, D] of the one up, and
        [K, 1, 1] the scale, which is zero where a slot has nothing at the place."""
        down_KMD, down_KM, up_KDM, up_KD = (
            self.of(f"{place}.{part}", slots).to(dtype)
            for part in ("down.weight", "down.bias", "up.weight", "up.bias")
        )
        held_K11 = self.held(f"{place}.up.bias", slots)[:, None, None]
        scale_K11 = self.narrowed(self._scale_K11, slots) * held_K11
        return (
            *(down_KMD.transpose(1, 2), down_KM[:, None]),
            *(up_KDM.transpose(1, 2), up_KD[:, None], scale_K11.to(dtype)),
        )

    def _activate(self, hidden_KNM: Tensor, slots: Sequence[int]) -> Tensor:
        """Each slot's own activation; all of them map zero to zero, so that padding stays zero."""
        chosen = _activate(self._activations[0], hidden_KNM)
        for number, name in enumerate(self._activations[1:], start=1):
            is_this_K11 = self.narrowed(self._activation_K11, slots) == number
            chosen = torch.where(is_this_K11, _activate(name, hidden_KNM), chosen)
        return chosen


def _seen(place: str, slots: Sequence[int]) -> str:
    """What the residual stream before a place is kept as."""
    return f"{place} {tuple(slots)}"


def _activate(name: Activation, x: Tensor) -> Tensor:
    if name == "relu":
        return F.relu(x)
    if name == "silu":
        return F.silu(x)
    if name == "tanh":
        return torch.tanh(x)
    return F.gelu(x, approximate="tanh" if name == "gelu_new" else "none")

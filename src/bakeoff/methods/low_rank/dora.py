"""DoRA: LoRA on a weight's direction, with a trained magnitude for each of its outputs.

Axis letters: ``K`` slots, ``L`` layers, ``N`` positions of a slot, ``D`` a layer's input width,
``E`` its output width, ``R`` rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from bakeoff.base.frozen import frozen_weight
from bakeoff.base.model import Base
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.low_rank.lora import Lora, LoraStack
from bakeoff.methods.low_rank.updates import oriented
from bakeoff.methods.specs.dora import SPEC
from bakeoff.methods.stack import StackHooks

_SMALLEST_NORM = 1e-12
"""A weight whose column is zero has no direction; its magnitude starts at zero too."""


class Dora(Lora):
    """DoRA on one base: ``magnitude * (W + BA) / ||W + BA||``, the norm over a layer's inputs."""

    spec = SPEC
    uses_dora = True

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """LoRA's, and ``NAME.magnitude`` [out] of each target layer."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, shape in super().shapes.items():
            shapes[name] = shape
            if name.endswith(".lora_b"):
                shapes[name.removesuffix("lora_b") + "magnitude"] = shape[1:]
        return shapes

    def initial(self, generator: torch.Generator) -> Tensors:
        """LoRA's, and the norms of the weights as the base computes with them."""
        drawn = super().initial(generator)
        for name, layer in self.layers.items():
            norm_E = frozen_weight(layer).column_squares().sqrt()
            drawn[f"{name}.magnitude"] = norm_E.clamp(min=_SMALLEST_NORM).cpu()
        return {name: drawn[name] for name in self.shapes}

    def merged_weights(self, tensors: Tensors) -> Tensors:
        """Each target layer's weight with its update, at its trained magnitudes."""
        merged = {}
        for name, layer in self.layers.items():
            weight_DE = self._source_weight(name) + self.update(name, tensors)
            factor_E = tensors[f"{name}.magnitude"] / _column_norms(weight_DE)
            merged[f"{name}.weight"] = oriented(layer, weight_DE * factor_E).contiguous()
        return merged


class DoraStack(LoraStack):
    """K slots' directions and magnitudes."""

    parts = ("lora_a", "lora_b", "magnitude")

    def __init__(self, base: Base, methods: Sequence[Dora], num_slots: int) -> None:
        super().__init__(base, methods, num_slots)
        layers = base.linear_layers()
        self._frozen = {name: frozen_weight(layers[name]) for name in self.layers}
        self._biases = {name: layers[name].bias for name in self.layers}
        self._squares_E: dict[str, Tensor] = {}
        self._is_used_LK = torch.zeros_like(self._scaling_LK, dtype=torch.bool)
        self._version = 0

    def place(self, slot: int, method: Method, tensors: dict[str, Tensor]) -> None:  # type: ignore[override]
        """Seats a candidate."""
        assert isinstance(method, Dora)
        super().place(slot, method, tensors)
        for layer in method.plan:
            self._is_used_LK[self._index[layer], slot] = True

    def vacate(self, slot: int) -> None:
        """A slot without a magnitude keeps the frozen layer's output."""
        super().vacate(slot)
        self._is_used_LK[:, slot] = False
        self._version += 1

    @property
    def is_compilable(self) -> bool:
        """Its hooks know their layer's name, and count the passes."""
        return False

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """One per target layer, which remembers its factors from one evaluation pass to the
        next."""
        kept: dict[str, tuple[int, Tensor]] = {}
        apply = self.apply_dora
        return StackHooks(
            linear={layer: partial(apply, layer, slots, kept) for layer in self.layers}
        )

    def settled_hooks(self, slot: int) -> StackHooks:
        """The same of one slot: its factors are remembered as it is."""
        return self.hooks(range(slot, slot + 1))

    def apply_dora(
        self,
        layer: str,
        slots: Sequence[int],
        kept: dict[str, tuple[int, Tensor]],
        x_KND: Tensor,
        y_KNE: Tensor,
    ) -> Tensor:
        """Turns the frozen layer's output into that of the decomposed weight.

        Source: Liu et al. 2024, section 4.1, with the norm constant in the backward pass (4.3).

        Args:
            layer: the target's full name.
            slots: which slots the rows belong to, in order.
            kept: factors of earlier evaluation passes, with the stack's version then.
            x_KND: [K, N, D] the layer's input, rows grouped by slot, compute dtype.
            y_KNE: [K, N, E] the frozen layer's output.

        Returns:
            [K, N, E]. Equal to ``y_KNE`` until the first update.
        """
        dtype = x_KND.dtype
        a_KDR, b_KRE = self._factors(layer, slots)
        if torch.is_grad_enabled():
            # An update follows, after which no factor holds.
            self._version += 1
            factor_K1E = self._factor(layer, slots, a_KDR, b_KRE)
        else:
            if kept.get(layer, (-1,))[0] != self._version:
                kept[layer] = (self._version, self._factor(layer, slots, a_KDR, b_KRE))
            factor_K1E = kept[layer][1]
        frozen_KNE, bias = y_KNE, self._biases[layer]
        seen_KND = self._dropped(layer, slots, x_KND)
        if seen_KND is not x_KND:
            frozen_KNE = self._frozen[layer].matmul(seen_KND)
        elif isinstance(bias, Tensor):
            frozen_KNE = y_KNE - bias
        low_KNE = torch.bmm(torch.bmm(seen_KND, a_KDR.to(dtype)), b_KRE.to(dtype))
        # In this form a factor of one leaves the frozen output as it is, to the bit.
        factor = factor_K1E.to(dtype)
        return y_KNE + (factor_K1E - 1).to(dtype) * frozen_KNE + factor * low_KNE

    def _factor(self, layer: str, slots: Sequence[int], a_KDR: Tensor, b_KRE: Tensor) -> Tensor:
        """[K, 1, E] float32, magnitude over norm; one in slots that do not use the layer."""
        of = self._of(slots)
        norm_KE = self._norms(layer, a_KDR.detach(), b_KRE.detach())
        used_K1 = of(self._is_used_LK[self._index[layer]])[:, None]
        factor_KE = of(self.tensors[f"{layer}.magnitude"]) / norm_KE
        return torch.where(used_K1, factor_KE, 1.0)[:, None]

    @torch.no_grad()
    def _norms(self, layer: str, a_KDR: Tensor, b_KRE: Tensor) -> Tensor:
        """[K, E] norms of ``W + A B`` over the inputs, without that sum for any slot.

        ``||w + A b||^2 = ||w||^2 + 2 (A^T w) b + b^T (A^T A) b`` for each column.
        """
        frozen = self._frozen[layer]
        if layer not in self._squares_E:
            squares_E = frozen.column_squares()
            self._squares_E[layer] = squares_E.clamp(min=_SMALLEST_NORM**2)
        a_KRD = a_KDR.transpose(1, 2)
        cross_KE = (frozen.matmul(a_KRD) * b_KRE).sum(dim=1)
        square_KE = (torch.bmm(torch.bmm(a_KRD, a_KDR), b_KRE) * b_KRE).sum(dim=1)
        squares_KE = self._squares_E[layer] + 2 * cross_KE + square_KE
        return squares_KE.clamp(min=_SMALLEST_NORM**2).sqrt()


def _column_norms(weight_DE: Tensor) -> Tensor:
    """[E]."""
    norm_E: Tensor = torch.linalg.vector_norm(weight_DE, dim=0)
    return norm_E.clamp(min=_SMALLEST_NORM)

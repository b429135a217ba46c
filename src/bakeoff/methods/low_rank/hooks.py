"""What LoRA's updates add to the output of frozen layers.

Axis letters: ``K`` slots, ``N`` positions of a slot, ``D`` a layer's input width, ``E`` its output
width, ``R`` rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bakeoff.base.shared_inputs import Turn
from bakeoff.methods.stack import ByDtype


class Together:
    """One layer's part of a product for all layers that read the same tensor.

    Their first factors are put side by side: the input is read once, and has one gradient.

    Args:
        turn: of the layer. ranks: of each layer, in the order of turns.
        factors: gives, in a format, [K, D, S], S the sum of ranks.
    """

    def __init__(
        self,
        turn: Turn[Sequence[Tensor]],
        ranks: Sequence[int],
        factors: Callable[[torch.dtype], tuple[Tensor, ...]],
    ) -> None:
        self._turn = turn
        self._ranks = list(ranks)
        self._factors = factors

    def product(self, x_KND: Tensor) -> Tensor | None:
        """[K, N, R] of this layer; None where the first layer has read another tensor."""
        place = self._turn.place
        if place > 0:
            found = self._turn.found(x_KND)
            return None if found is None else found[place]
        [whole_KDS] = self._factors(x_KND.dtype)
        low_KNS = torch.bmm(x_KND, whole_KDS)
        return self._turn.leave(x_KND, low_KNS.split(self._ranks, dim=2))[0]

    def factor(self, dtype: torch.dtype) -> Tensor:
        """[K, D, R] of this layer, a part of what all have."""
        [whole_KDS] = self._factors(dtype)
        found: Tensor = whole_KDS.split(self._ranks, dim=2)[self._turn.place]
        return found


def side_by_side(a_KDRs: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor]:
    """The [K, D, R] first factors of layers that read the same as one [K, D, S] in a format."""
    return (torch.cat(list(a_KDRs), dim=2).to(dtype),)


class LowRankHook:
    """Adds each slot's scaled low-rank update to one frozen layer's output.

    It holds tensors and no name, so that one compilation serves the hooks of all layers.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.1.

    Args:
        a_KDR: [K, D, R] float32. b_KRE: [K, R, E] float32.
        scaling_K11: [K, 1, 1] factor on the product.
        principal: ([K, D, R], [K, R, E]) whose product is added as well, or None.
        drop: what the update sees of its input in training, or None for all.
        together: with other layers that read the same, whose first products are then one.
    """

    def __init__(
        self,
        *,
        a_KDR: Tensor,
        b_KRE: Tensor,
        scaling_K11: Tensor,
        principal: tuple[Tensor, Tensor] | None,
        drop: Callable[[Tensor], Tensor] | None,
        together: Together | None = None,
    ) -> None:
        self._a_KDR = a_KDR
        self._b_KRE = b_KRE
        self._scaling_K11 = scaling_K11
        self._principal = principal
        self._drop = drop
        self._together = together

    def __call__(self, x_KND: Tensor, y_KNE: Tensor) -> Tensor:
        """The layer's output with the update.

        Args:
            x_KND: [K, N, D] the layer's input, rows grouped by slot, compute dtype.
            y_KNE: [K, N, E] the frozen layer's output.

        Returns:
            [K, N, E]. Equal to ``y_KNE`` until the first update: ``lora_b`` starts at zero.
        """
        dtype = x_KND.dtype
        if self._principal is not None:
            first_KDR, second_KRE = self._principal
            low_KNR = torch.bmm(x_KND, first_KDR.to(dtype))
            y_KNE = torch.baddbmm(y_KNE, low_KNR, second_KRE.to(dtype))
        if self._drop is not None:
            x_KND = self._drop(x_KND)
        scaled_KRE = (self._b_KRE * self._scaling_K11).to(dtype)
        shared_KNR = None if self._together is None else self._together.product(x_KND)
        if shared_KNR is None:
            shared_KNR = torch.bmm(x_KND, self._a_KDR.to(dtype))
        return _plus(y_KNE, shared_KNR, scaled_KRE)


class SettledHook:
    """``LowRankHook`` of one slot whose tensors stay as they are: the same products, no others,
    into the layer's output itself.

    Args:
        factors: gives ([1, D, R], [1, R, E] scaled) of the update, and before them the two of the
            principal part, if there is one.
        together: as of ``LowRankHook``.
    """

    def __init__(self, factors: ByDtype, together: Together | None = None) -> None:
        self._factors = factors
        self._together = together

    def __call__(self, x_1ND: Tensor, y_1NE: Tensor) -> Tensor:
        """See ``LowRankHook``."""
        *fixed, a_1DR, scaled_1RE = self._factors(x_1ND.dtype)
        if fixed:
            y_1NE.baddbmm_(torch.bmm(x_1ND, fixed[0]), fixed[1])
        shared_1NR = None if self._together is None else self._together.product(x_1ND)
        if shared_1NR is None:
            shared_1NR = torch.bmm(x_1ND, a_1DR)
        return y_1NE.baddbmm_(shared_1NR, scaled_1RE)


def _plus(y_KNE: Tensor, low_KNR: Tensor, second_KRE: Tensor) -> Tensor:
    """[K, N, E] of ``y + low @ second``, [K, N, R] and [K, R, E]."""
    if torch.compiler.is_compiling() and y_KNE.device.type == "cpu":
        # Compiled code adds where it reads the sum next; a product that adds would copy it first.
        return y_KNE + torch.bmm(low_KNR, second_KRE)
    return torch.baddbmm(y_KNE, low_KNR, second_KRE)

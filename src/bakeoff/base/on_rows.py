"""A base looked at on rows of the study, in the precision that it is held in."""

from __future__ import annotations

import torch
from torch import Tensor

from bakeoff.base.finite import check_finite
from bakeoff.base.model import Base


def check_base(base: Base, ids_T: Tensor, where: str) -> None:
    """Refuses a base whose outputs on some tokens are not finite numbers, in its own precision.

    That may overflow where float32, in which a base is looked at when it is loaded, does not.

    Args:
        ids_T: [T] tokens, at least one. where: which they are, for the error.

    Raises:
        BaseModelError: naming the first part where they start.
    """
    ids_BT = ids_T[None].to(base.device)
    positions_BT = torch.arange(ids_BT.shape[1], device=base.device)[None]

    def logits() -> Tensor:
        found: Tensor = base.logits(base.hidden_states(base.embedding(ids_BT), positions_BT))
        return found

    check_finite(base.source.reference, base.model, logits, where)

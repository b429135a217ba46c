"""What families with attention of their own cannot do while Transformers drives them."""

from __future__ import annotations

from torch import nn

from bakeoff.base.attention.interface import present_extension
from bakeoff.errors import BaseModelError


def require_nothing_before(module: nn.Module) -> None:
    """Refuses a prefix before the keys of a pass with Transformers' own mask.

    Raises:
        BaseModelError: there is one.
    """
    if present_extension() is not None:
        raise BaseModelError(
            f"{type(module).__mro__[1].__name__} takes no prefix while Transformers generates; "
            "choose the strategy greedy, or another method"
        )

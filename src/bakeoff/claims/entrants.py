"""The entrants that claims share, each with the learning rate that its search is centred on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bakeoff.claims.contract import BaseFacts
from bakeoff.methods.registry import spec_of

FROM_LABELS: Final[Mapping[str, Any]] = {"labels": []}
"""A soft prompt's ``init`` from the data's labels, which planning fills in; an entrant with it is
left out where the data have none."""

_SMALL: Final = 20_000_000
"""Parameters below which bases take far larger rates than those that methods are published with."""
_SMALL_RATES: Final = {
    "full": 1e-3,
    "lora": 5e-3,
    "dora": 5e-3,
    "soft_prompt": 5e-2,
    "prefix": 1e-2,
}
"""The demo's rates, which were searched on the shipped base."""


def entrant(kind: str, facts: BaseFacts, **options: Any) -> Mapping[str, Any]:
    """A study's method.

    Args:
        kind: of method. facts: of the base. options: the method's own.
    """
    found: dict[str, Any] = {"kind": kind, **options}
    if facts.parameters < _SMALL and kind in _SMALL_RATES:
        found.setdefault("learning_rate", _SMALL_RATES[kind])
    return found


def fitting(lengths: Sequence[int], facts: BaseFacts) -> list[int]:
    """The lengths of prompts that a base has room for beside a row of the data."""
    return [n for n in lengths if facts.room is None or n <= facts.room]


def curve_lengths(lengths: Sequence[int], facts: BaseFacts) -> tuple[list[int], int | None]:
    """The lengths of prompts that a base can be tried with, and what rows beside them are cut to.

    A base may take more positions than it was trained on, as tiny's family does. A long prompt
    pushes the row there, and its loss would be that of these positions, not the prompt's. So rows
    are cut until the longest prompt and they are within what was learnt, of which a prompt takes
    half at most.

    Returns:
        The lengths, and a ``max_length`` of rows; None where none need be cut.
    """
    found = fitting(lengths, facts)
    if facts.learnt is None:
        return found, None
    found = [n for n in found if n <= facts.learnt // 2]
    left = facts.learnt - max(found, default=0)
    are_short = (
        facts.positions is not None
        and facts.room is not None
        and facts.positions - facts.room <= left
    )
    return found, None if are_short else left


def full(facts: BaseFacts) -> Mapping[str, Any]:
    """Full tuning."""
    return entrant("full", facts)


def lora(facts: BaseFacts, rank: int = 8, **options: Any) -> Mapping[str, Any]:
    """LoRA on all linear layers; alpha is fixed, so that the best rate hardly follows the rank."""
    return entrant(
        "lora", facts, **{"rank": rank, "alpha": 8.0, "target_modules": "all-linear", **options}
    )


def lora_plus(facts: BaseFacts, rank: int, ratio: float) -> Mapping[str, Any]:
    """LoRA+: its grid is centred so that the two rates' geometric mean is LoRA's rate."""
    known = _SMALL_RATES["lora"] if facts.parameters < _SMALL else None
    rate = known or spec_of("lora", where="claims").rate_for(facts.parameters)
    return lora(facts, rank, loraplus_lr_ratio=ratio, learning_rate=rate / math.sqrt(ratio))


def soft_prompt(facts: BaseFacts, length: int = 20, **options: Any) -> Mapping[str, Any]:
    """A soft prompt."""
    return entrant("soft_prompt", facts, prompt_length=length, **options)


def prefix(facts: BaseFacts, length: int) -> Mapping[str, Any]:
    """A prefix."""
    return entrant("prefix", facts, prefix_length=length)

"""What LoRA and DoRA have in common in their options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

RATES: Final = (1e-3, 5e-4, 3e-4, 2e-4)
RATES_SOURCE: Final = (
    "small bases take large rates: Tinker's get_lr has 1e-3 for 1 to 3 billion and 3e-4 from 8 "
    "billion at 128 rows an update; Unsloth and TRL have 2e-4"
)
OPTION_SOURCES: Final[Mapping[str, str]] = {
    "rank": "16 for labels and choices, 32 for texts; LoRA Without Regret (Schulman et al. 2025) "
    "finds capacity, not rank, to matter",
    "alpha": "fixed, so that the best rate hardly depends on the rank (LoRA Without Regret)",
    "target_modules": "all layers beat attention alone at equal parameters (LoRA Without Regret; "
    "QLoRA, arXiv:2305.14314)",
}


@dataclass(frozen=True, kw_only=True)
class LowRankOptions:
    """Options of every low-rank update."""

    rank: int = 16
    """Columns of ``lora_a`` and rows of ``lora_b``; a study of texts to write has 32."""
    alpha: float | None = 32.0
    """The update is scaled by ``alpha / rank``; null means a layer's own rank."""
    target_modules: str | tuple[str, ...] | None = "all-linear"
    """Layer names or their ends, a regular expression, ``all-linear``, or null: what PEFT
    targets in this architecture by default."""
    ranks: dict[str, int] | None = None
    """Other ranks for some layers: a name, its end or a regular expression of one of them, and the
    rank; the first that matches counts (PEFT's ``rank_pattern``)."""
    alphas: dict[str, float] | None = None
    """Other alphas for some layers, likewise (PEFT's ``alpha_pattern``)."""
    rank_stabilised: bool = False
    """Whether the scale is ``alpha / sqrt(rank)`` (Kalajdzievski 2023, arXiv:2312.03732)."""
    dropout: float = 0.0
    """Share of a layer's inputs that the update does not see in training."""
    loraplus_lr_ratio: float = 1.0
    """How many times the learning rate ``lora_b`` has, and DoRA's magnitude: LoRA+ (Hayou et al.
    2024, arXiv:2402.12354), with PEFT's name for it; 1 is plain LoRA, the paper has 16."""

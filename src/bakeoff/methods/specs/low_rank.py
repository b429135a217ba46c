"""What LoRA and DoRA have in common in their options."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LowRankOptions:
    """Options of every low-rank update."""

    rank: int = 8
    """Columns of ``lora_a`` and rows of ``lora_b``."""
    alpha: float | None = None
    """The update is scaled by ``alpha / rank``; null means a layer's own rank."""
    target_modules: str | tuple[str, ...] | None = None
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

"""The options that methods start with, by the base's size, with sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bakeoff.methods.registry import spec_of
from bakeoff.tasks.starting import StartingValues

DEFAULT_METHODS: Final = ("lora", "soft_prompt")

_SIZES: Final = (1e9, 5e9, 2e10)
"""Parameters of a base at which the next column of rates begins."""
_RATES: Final[Mapping[str, tuple[float, ...]]] = {
    "lora": (1e-3, 5e-4, 3e-4, 2e-4),
    "dora": (1e-3, 5e-4, 3e-4, 2e-4),
    "full": (5e-5, 1e-5, 1e-5, 5e-6),
    "soft_prompt": (3e-2, 3e-3, 3e-3, 3e-3),
    "prefix": (1e-2, 5e-3, 5e-3, 5e-3),
    "bottleneck": (1e-3, 3e-4, 3e-4, 3e-4),
    "ia3": (5e-3, 5e-3, 5e-3, 5e-3),
}
_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "lora": {"alpha": 32, "target_modules": "all-linear"},
    "dora": {"alpha": 32, "target_modules": "all-linear"},
    "ia3": {"target_modules": "all-linear"},
    "soft_prompt": {"prompt_length": 20},
}
_RANKED: Final = ("lora", "dora")
_SOURCES: Final[Mapping[str, str]] = {
    "lora": "the rate falls with the base's size, as in Tinker's get_lr; alpha 32 whatever the "
    "rank and all linear layers, as in LoRA Without Regret (Schulman et al. 2025)",
    "dora": "LoRA's values: Liu et al. 2024 tune both alike",
    "full": "Transformers' Trainer 5e-5; PEFT's method comparison 1e-5 at 3 billion; Tülu 3 5e-6 "
    "at 8 billion",
    "soft_prompt": "20 to 100 positions from the vocabulary, as in Lester et al. 2021; small "
    "bases take large rates",
    "prefix": "PEFT's method comparison",
    "bottleneck": "Houlsby et al. 2019; from 1 billion on LLM-Adapters (Hu et al. 2023)",
    "ia3": "PEFT's method comparison, where it was tuned",
}


def method_values(
    kind: str, parameters: int, starting: StartingValues
) -> tuple[dict[str, Any], str]:
    """A method's entry in a study, and where its values come from.

    Args:
        kind: of the method. parameters: of the base. starting: of the kind of task.

    Raises:
        ConfigError: there is no such method.
    """
    spec = spec_of(kind, where="--methods")
    entry: dict[str, Any] = {"kind": kind}
    if kind in _RANKED:
        entry["rank"] = starting.rank
    entry |= _OPTIONS.get(kind, {})
    if kind not in _RATES:
        return {**entry, "learning_rate": spec.default_learning_rate}, spec.learning_rate_source
    size = sum(parameters >= edge for edge in _SIZES)
    return {**entry, "learning_rate": _RATES[kind][size]}, _SOURCES[kind]

"""The options of generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bakeoff.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """One generation setting for all methods."""

    strategy: Literal["greedy", "beam", "sample"] = "greedy"
    """greedy, beam search, or sampling."""
    max_new_tokens: int = 64
    """The most tokens an answer may have. A study that leaves it out takes
    ``task.max_target_tokens`` where answers are texts."""
    no_repeat_ngram: int = 3
    """No sequence of this many generated tokens twice; 0 allows all. A study that leaves it out
    takes 3 for summaries and 0 for all else, as numbers and code repeat themselves."""
    stop_tokens: tuple[str, ...] = ()
    """Tokens, as the tokenizer spells them, that end an answer besides end-of-text. The one that
    ends a turn of the base's chat template needs no mention."""
    num_beams: int = 4
    """Beams of the strategy ``beam``."""
    temperature: float = 1.0
    """Of the strategy ``sample``."""
    top_p: float = 1.0
    """Of the strategy ``sample``."""
    seed: int = 0
    """Of the strategy ``sample``."""
    batch_rows: int | Literal["auto"] = "auto"
    """Rows of all slots together in one batch, halved when memory runs out; ``auto``: as many as
    memory holds with ease, 64 on a CPU and where answers are sampled."""

    def also_stopping_at(self, tokens: Sequence[str]) -> GenerationOptions:
        """The same with further tokens that end an answer."""
        return replace(self, stop_tokens=tuple(dict.fromkeys((*self.stop_tokens, *tokens))))

    def __post_init__(self) -> None:
        for key, lowest in (
            ("max_new_tokens", 1),
            ("no_repeat_ngram", 0),
            ("num_beams", 1),
            ("batch_rows", 1),
        ):
            value = getattr(self, key)
            if value != "auto" and value < lowest:
                raise ConfigError(
                    f"generation.{key}: {getattr(self, key)} is below {lowest}; give {lowest} or "
                    "more"
                )
        if not 0 < self.top_p <= 1 or self.temperature <= 0:
            raise ConfigError(
                "generation: top_p must be in (0, 1] and temperature above 0, not "
                f"{self.top_p} and {self.temperature}"
            )

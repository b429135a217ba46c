"""The words that name a base which is neither a folder nor on a hub, without loading anything."""

from __future__ import annotations

from typing import Final

TINY_REFERENCE: Final = "tiny"
SMOLLM2_REFERENCE: Final = "smollm2-135m"
SCRATCH_PREFIX: Final = "scratch:"
SCRATCH_SHAPES: Final = ("gpt-neo-125m", "smollm2-135m", "tiny-gpt-neo", "tiny-llama")
SCRATCH_REFERENCES: Final = tuple(f"{SCRATCH_PREFIX}{name}" for name in SCRATCH_SHAPES)

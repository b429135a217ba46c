"""The words that name a base which is neither a folder nor on a hub, without loading anything."""

from __future__ import annotations

from typing import Final

TINY_REFERENCE: Final = "tiny"
SMOLLM2_REFERENCE: Final = "smollm2-135m"

"""Newsroom-style articles with highlights, written from drawn events: the embedded data set."""

from __future__ import annotations

from bakeoff.data.wire.generator import (
    DESKS,
    WireExample,
    WireSplit,
    generate,
    generate_fact_sheets,
)

__all__ = ["DESKS", "WireExample", "WireSplit", "generate", "generate_fact_sheets"]

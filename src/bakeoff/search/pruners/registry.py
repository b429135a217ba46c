"""Pruners by the name that a study gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bakeoff.search.contract import Pruner
from bakeoff.search.pruners import halving, nothing

PRUNERS: Final[Mapping[str | None, Pruner]] = {
    "halving": Pruner(rungs=halving.rungs, judge=halving.judge),
    None: Pruner(rungs=nothing.rungs, judge=nothing.judge),
}

"""Strategies by the name that a study gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bakeoff.search.contract import Suggest
from bakeoff.search.strategies import grid, random

STRATEGIES: Final[Mapping[str, Suggest]] = {"grid": grid.suggest, "random": random.suggest}

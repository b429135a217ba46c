"""How much a case of a part does, for those who only count."""

from __future__ import annotations

from typing import Final

KILLS_OF_CASE: Final = 4
SIGNALS_OF_CASE: Final = 3
ROWS_OF_CASE: Final = 40

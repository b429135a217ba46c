"""What a study's costs are in money."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from bakeoff.errors import ConfigError

_SECONDS_OF_AN_HOUR: Final = 3600.0
_LONGEST_CURRENCY: Final = 8


@dataclass(frozen=True, kw_only=True)
class PriceOptions:
    """Prices; a cost is shown in money as well where it has one."""

    device_hour: float | None = None
    """Of one hour of the device that the study runs on."""
    currency: str = "$"
    """What stands before an amount."""

    def __post_init__(self) -> None:
        price = self.device_hour
        if price is not None and not (math.isfinite(price) and price > 0.0):
            raise ConfigError(
                f"device_hour: {price} is not a finite price above 0; give what an hour of the "
                "device costs, such as 2.5, or null"
            )
        if not self.currency.strip() or len(self.currency) > _LONGEST_CURRENCY:
            raise ConfigError(
                f"currency: {self.currency!r} is not 1 to {_LONGEST_CURRENCY} characters; give "
                "what stands before an amount, such as $ or EUR"
            )

    def of_seconds(self, seconds: float) -> float | None:
        """The price of so many seconds of the device; None where an hour has none."""
        if self.device_hour is None:
            return None
        return seconds * self.device_hour / _SECONDS_OF_AN_HOUR

    def shown(self, amount: float) -> str:
        """An amount with its currency, to two digits of it: ``$0.0042``, ``EUR 13``."""
        space = " " if self.currency[-1:].isalpha() else ""
        if amount >= 100.0:
            return f"{self.currency}{space}{amount:,.0f}"
        if amount >= 1.0:
            return f"{self.currency}{space}{amount:.2f}"
        return f"{self.currency}{space}{amount:.2g}"

"""What a study's costs are in money."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from bakeoff.errors import ConfigError
from bakeoff.formatting import shown_money
from bakeoff.metrics.judge import TokenPrices

_SECONDS_OF_AN_HOUR: Final = 3600.0
_LONGEST_CURRENCY: Final = 8
_MOST_CALLS: Final = 1e15


@dataclass(frozen=True, kw_only=True)
class PriceOptions:
    """Prices; a cost is shown in money as well where it has one."""

    device_hour: float | None = None
    """Of one hour of the device that the study runs on."""
    input_tokens: float | None = None
    """Of a million tokens that a larger prompted model reads, which an adapter would stand for."""
    output_tokens: float | None = None
    """Of a million tokens that it writes."""
    calls_per_month: float | None = None
    """Answers that are to be served in a month; null shows what one month costs nowhere."""
    currency: str = "$"
    """What stands before an amount."""

    def __post_init__(self) -> None:
        price = self.device_hour
        if price is not None and not (math.isfinite(price) and price > 0.0):
            raise ConfigError(
                f"device_hour: {price} is not a finite price above 0; give what an hour of the "
                "device costs, such as 2.5, or null"
            )
        calls = self.calls_per_month
        if calls is not None and not 0.0 < calls <= _MOST_CALLS:
            raise ConfigError(
                f"calls_per_month: {calls} is not above 0 and at most {_MOST_CALLS:g}; give how "
                "many answers are served in a month, such as 100000, or null"
            )
        if not self.currency.strip() or len(self.currency) > _LONGEST_CURRENCY:
            raise ConfigError(
                f"currency: {self.currency!r} is not 1 to {_LONGEST_CURRENCY} characters; give "
                "what stands before an amount, such as $ or EUR"
            )
        _ = self.tokens  # which looks at these two

    @property
    def tokens(self) -> TokenPrices:
        """Those of the prompted model's tokens."""
        return TokenPrices(input_tokens=self.input_tokens, output_tokens=self.output_tokens)

    def of_seconds(self, seconds: float) -> float | None:
        """The price of so many seconds of the device; None where an hour has none."""
        if self.device_hour is None:
            return None
        return seconds * self.device_hour / _SECONDS_OF_AN_HOUR

    def shown(self, amount: float) -> str:
        """An amount with its currency, to two digits of it: ``$0.0042``, ``EUR 13``."""
        return shown_money(amount, self.currency)

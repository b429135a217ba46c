"""What a method may cost at most, and what each one does cost."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Self

from bakeoff.decide.money import money_of, prices_of, why_no_cost
from bakeoff.decide.verdicts import epochs_of
from bakeoff.errors import ConfigError
from bakeoff.formatting import seconds_of, shown_bytes, shown_money, shown_seconds, size_of
from bakeoff.runs.records import MethodRecord, Results


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A measured cost; its bounds are the figure itself where no interval is known.

    Attributes:
        is_whole: whether the interval is of all that is in it.
    """

    mean: float
    low: float
    high: float
    is_whole: bool = True

    @classmethod
    def of(cls, mean: float, low: float | None = None, high: float | None = None) -> Self:
        """A cost of what the records hold."""
        return cls(mean=mean, low=mean if low is None else low, high=mean if high is None else high)

    @property
    def has_interval(self) -> bool:
        """Whether repeats say how sure it is."""
        return self.is_whole and self.low < self.high


@dataclass(frozen=True, kw_only=True)
class Price:
    """One thing that a method costs, and how it is limited, read and written.

    Attributes:
        key: in ``Limits``. option: on the command line. what: it is called in sentences.
        least: what is said of the method that has the least of it.
        amount: how much of it there is, in a sentence, with ``{}`` for the written figure.
        noise: the share by which two measurements without intervals must differ to be called
            different.
        read: the cost of a method, None where not measured.
        write: in words, with its unit. parse: the option's text to bytes or seconds.
    """

    key: str
    option: str
    what: str
    least: str
    amount: str
    noise: float
    read: Callable[[Results, MethodRecord], Cost | None]
    write: Callable[[float], str]
    parse: Callable[[str, str], float]

    def written(self, value: float) -> str:
        """The amount in words: ``an adapter of 1.1 MiB``."""
        return self.amount.format(self.write(value))

    def is_less(self, results: Results, one: MethodRecord, other: MethodRecord) -> bool:
        """Whether one method costs less than another, beyond what repeats differ by.

        Where intervals are known they must part; else the two differ by more than the noise.
        """
        ours, theirs = self.read(results, one), self.read(results, other)
        if ours is None or theirs is None:
            return False
        if ours.has_interval and theirs.has_interval:
            return ours.high < theirs.low
        return ours.mean < theirs.mean * (1 - self.noise)


def _training_seconds(results: Results, method: MethodRecord) -> Cost | None:
    """The method's whole training alone: its epochs times its mean epoch."""
    epochs = epochs_of(results, method)
    seconds = method.cost.epoch_seconds
    if epochs is None or seconds is None:
        return None
    one = Cost.of(seconds.mean, seconds.low, seconds.high)
    return Cost(mean=epochs * one.mean, low=epochs * one.low, high=epochs * one.high)


def _latency(_: Results, method: MethodRecord) -> Cost | None:
    found = method.cost.token_latency_seconds
    return None if found is None else Cost.of(found.mean, found.low, found.high)


def _money(results: Results, method: MethodRecord) -> Cost | None:
    """Training, search and a month's answers, as far as they have prices."""
    total = money_of(results, method).total
    if total is None:
        return None
    return Cost(mean=total.mean, low=total.low, high=total.high, is_whole=total.has_interval)


def _amount_of(text: str, option: str) -> float:
    """An amount of money such as ``50``, ``$50`` or ``EUR 1,300.50``.

    Raises:
        ConfigError: for any other text.
    """
    found = _AMOUNT.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None or not float(found["number"].replace(",", "")) > 0.0:
        raise ConfigError(
            f"{option} {text!r}: is not an amount of money above 0; give a number in the study's "
            "currency, such as 50 or $50"
        )
    return float(found["number"].replace(",", ""))


def _memory(_: Results, method: MethodRecord) -> Cost | None:
    found = method.cost.peak_memory_bytes
    return None if found is None else Cost.of(found)


def _adapter(_: Results, method: MethodRecord) -> Cost | None:
    found = method.cost.adapter_bytes
    return None if found is None else Cost.of(found)


PRICES: Final = (
    Price(
        key="memory",
        option="--max-memory",
        what="peak memory",
        least="needs the least memory",
        amount="{} of memory",
        noise=0.05,
        read=_memory,
        write=shown_bytes,
        parse=size_of,
    ),
    Price(
        key="time",
        option="--max-time",
        what="training time",
        least="trains fastest",
        amount="{} of training",
        noise=0.1,
        read=_training_seconds,
        write=shown_seconds,
        parse=seconds_of,
    ),
    Price(
        key="adapter_size",
        option="--max-adapter-size",
        what="adapter size",
        least="has the smallest adapter",
        amount="an adapter of {}",
        noise=0.0,
        read=_adapter,
        write=shown_bytes,
        parse=size_of,
    ),
    Price(
        key="latency",
        option="--max-latency",
        what="latency per token",
        least="writes a token fastest",
        amount="{} per token",
        noise=0.1,
        read=_latency,
        write=shown_seconds,
        parse=seconds_of,
    ),
    Price(
        key="cost",
        option="--max-cost",
        what="cost",
        least="costs least",
        amount="a cost of {}",
        noise=0.1,
        read=_money,
        write=shown_money,
        parse=_amount_of,
    ),
)
_AMOUNT: Final = re.compile(
    r"(?P<currency>[^\d.,\s-]{0,8})\s*(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
)


def prices_in(results: Results) -> tuple[Price, ...]:
    """All that a method costs, written as these results write it: money in their currency."""
    shown = prices_of(results).shown
    return tuple(replace(p, write=shown) if p.read is _money else p for p in PRICES)


@dataclass(frozen=True, kw_only=True)
class Breach:
    """One limit that a method is not shown to meet.

    Attributes:
        reason: in words. excess: cost over limit, infinite where not measured.
    """

    reason: str
    excess: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Upper bounds, each None where there is none.

    Attributes:
        memory: bytes at the peak of training. time: seconds of one whole training, alone.
        adapter_size: bytes on disk. latency: seconds to write one more token.
        cost: money for training, search and a month's answers, in the study's currency.
        currency: what was given with ``cost``; empty where it was the number alone.
    """

    memory: float | None = None
    time: float | None = None
    adapter_size: float | None = None
    latency: float | None = None
    cost: float | None = None
    currency: str = ""

    def check_currency(self, currency: str) -> None:
        """Holds the currency of the limit against a study's.

        Raises:
            ConfigError: it is another one.
        """
        if self.currency and self.currency.casefold() != currency.strip().casefold():
            raise ConfigError(
                f"--max-cost: is in {self.currency}, but the study's prices are in {currency}; "
                f"give the amount in {currency}, or set prices.currency to {self.currency}"
            )

    def items(self, results: Results | None = None) -> list[tuple[Price, float]]:
        """The limits that are set, written as some results write them."""
        prices = PRICES if results is None else prices_in(results)
        return [(p, value) for p in prices if (value := getattr(self, p.key)) is not None]

    def described(self, results: Results | None = None) -> list[str]:
        """Each limit in words."""
        found = self.items(results)
        return [f"{price.what} at most {price.write(value)}" for price, value in found]

    def breaches(self, results: Results, method: MethodRecord) -> list[Breach]:
        """Which limits the method is not shown to meet, each with what it costs instead.

        A limit is met where the whole interval of the cost is at or below it.
        """
        found = []
        for price, limit in self.items(results):
            cost = price.read(results, method)
            if cost is None:
                missing = why_no_cost(results, method) if price.key == "cost" else ""
                why = f"not known, as {missing}" if missing else "not measured"
                reason, excess = f"{price.what} {why}", math.inf
            elif cost.mean > limit:
                reason = f"{price.what} {price.write(cost.mean)}, over {price.write(limit)}"
                excess = cost.mean / limit
            elif cost.high > limit:
                reason = (
                    f"{price.what} {price.write(cost.mean)}, but up to {price.write(cost.high)}, "
                    f"over {price.write(limit)}"
                )
                excess = cost.high / limit
            else:
                continue
            found.append(Breach(reason=reason, excess=excess))
        return found


def limits_from(**options: str | None) -> Limits:
    """Limits from the command line's texts.

    Raises:
        ConfigError: A text is not a size or not a duration.
    """
    given = {
        price.key: price.parse(text, price.option)
        for price in PRICES
        if (text := options.get(price.key)) is not None
    }
    money = options.get("cost")
    found = None if money is None else _AMOUNT.fullmatch(money.strip())
    return Limits(**given, currency="" if found is None else found["currency"])

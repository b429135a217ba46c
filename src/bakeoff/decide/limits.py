"""What a method may cost at most, and what each one does cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bakeoff.formatting import seconds_of, shown_bytes, shown_seconds, size_of
from bakeoff.runs.records import EpochSeconds, Estimate, MethodRecord, Results
from bakeoff.runs.settings import setting

_Figure = Callable[[EpochSeconds | Estimate | None], float | None]


@dataclass(frozen=True, kw_only=True)
class Price:
    """One thing that a method costs, and how it is limited, read and written.

    Attributes:
        key: in ``Limits``. option: on the command line. what: it is called in sentences.
        least: what is said of the method that has the least of it.
        amount: how much of it there is, in a sentence, with ``{}`` for the written figure.
        noise: the share by which two measurements must differ to be called different.
        read: the cost of a method, None where not measured.
        highest: the upper bound of its interval; the cost itself where it has none.
        write: in words, with its unit. parse: the option's text to bytes or seconds.
    """

    key: str
    option: str
    what: str
    least: str
    amount: str
    noise: float
    read: Callable[[Results, MethodRecord], float | None]
    highest: Callable[[Results, MethodRecord], float | None]
    write: Callable[[float], str]
    parse: Callable[[str, str], float]

    def written(self, value: float) -> str:
        """The amount in words: ``an adapter of 1.1 MiB``."""
        return self.amount.format(self.write(value))


def training_seconds(results: Results, method: MethodRecord) -> float | None:
    """The method's whole training alone: the protocol's epochs times its mean epoch."""
    return _training(results, method, _middle)


def _training(results: Results, method: MethodRecord, of: _Figure) -> float | None:
    epochs = setting(results.study, "protocol.epochs")
    seconds = of(method.cost.epoch_seconds)
    return None if not isinstance(epochs, int) or seconds is None else epochs * seconds


def _middle(found: EpochSeconds | Estimate | None) -> float | None:
    return None if found is None else found.mean


def _highest(found: EpochSeconds | Estimate | None) -> float | None:
    return None if found is None else found.mean if found.high is None else found.high


PRICES: Final = (
    Price(
        key="memory",
        option="--max-memory",
        what="peak memory",
        least="needs the least memory",
        amount="{} of memory",
        noise=0.05,
        read=lambda _, method: method.cost.peak_memory_bytes,
        highest=lambda _, method: method.cost.peak_memory_bytes,
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
        read=training_seconds,
        highest=lambda results, method: _training(results, method, _highest),
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
        read=lambda _, method: method.cost.adapter_bytes,
        highest=lambda _, method: method.cost.adapter_bytes,
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
        read=lambda _, method: _middle(method.cost.token_latency_seconds),
        highest=lambda _, method: _highest(method.cost.token_latency_seconds),
        write=shown_seconds,
        parse=seconds_of,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Breach:
    """One limit that a method is not shown to meet.

    Attributes:
        price: of which. reason: in words. excess: cost over limit, infinite where not measured.
    """

    price: Price
    reason: str
    excess: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Upper bounds, each None where there is none.

    Attributes:
        memory: bytes at the peak of training. time: seconds of one whole training, alone.
        adapter_size: bytes on disk. latency: seconds to write one more token.
    """

    memory: float | None = None
    time: float | None = None
    adapter_size: float | None = None
    latency: float | None = None

    def items(self) -> list[tuple[Price, float]]:
        """The limits that are set."""
        return [(p, value) for p in PRICES if (value := getattr(self, p.key)) is not None]

    def described(self) -> list[str]:
        """Each limit in words."""
        return [f"{price.what} at most {price.write(value)}" for price, value in self.items()]

    def breaches(self, results: Results, method: MethodRecord) -> list[Breach]:
        """Which limits the method is not shown to meet, each with what it costs instead.

        A limit is met where the whole interval of the cost lies below it.
        """
        found = []
        for price, limit in self.items():
            value, highest = price.read(results, method), price.highest(results, method)
            if value is None or highest is None:
                reason, excess = f"{price.what} not measured", math.inf
            elif value > limit:
                reason = f"{price.what} {price.write(value)}, over {price.write(limit)}"
                excess = value / limit
            elif highest > limit:
                reason = (
                    f"{price.what} {price.write(value)}, perhaps up to {price.write(highest)}, "
                    f"which is over {price.write(limit)}"
                )
                excess = highest / limit
            else:
                continue
            found.append(Breach(price=price, reason=reason, excess=excess))
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
    return Limits(**given)

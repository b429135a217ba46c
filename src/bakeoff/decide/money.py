"""What a method costs in money: to train, to search for, to serve, and from how many calls on it
is cheaper than a prompted model. All of it follows from the records and the prices.

Assumptions, which every figure rests on: the device is paid by the second and is busy while it is
paid; an answer takes what an average test row takes, eight in a batch; the prompted model reads and
writes as many tokens as the base does of the same row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeGuard

from bakeoff.config import from_mapping
from bakeoff.decide.prices import PriceOptions
from bakeoff.decide.verdicts import epochs_of
from bakeoff.errors import ConfigError
from bakeoff.formatting import shown_whole
from bakeoff.metrics.judge import TokenPrices
from bakeoff.runs.records import BaselineRecord, MethodRecord, Results
from bakeoff.runs.settings import setting

_EXTERNAL: Final = "external"
"""The kind of an entrant that was made elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Money with its bounds; what was timed once, or given, has its figure for both.

    Attributes:
        has_interval: whether an interval of all that is in it is known.
    """

    mean: float
    low: float
    high: float
    has_interval: bool

    @classmethod
    def of(cls, mean: float, low: float | None = None, high: float | None = None) -> Self:
        """An amount with its interval, or without one."""
        if low is None or high is None:
            return cls(mean=mean, low=mean, high=mean, has_interval=False)
        return cls(mean=mean, low=low, high=high, has_interval=True)

    def plus(self, other: Amount | None) -> Amount:
        """Both together; bounds added, which is no narrower than their sum's."""
        if other is None:
            return self
        return Amount(
            mean=self.mean + other.mean,
            low=self.low + other.low,
            high=self.high + other.high,
            has_interval=self.has_interval and other.has_interval,
        )

    def times(self, factor: float) -> Amount:
        """So many times as much."""
        return Amount(
            mean=self.mean * factor,
            low=self.low * factor,
            high=self.high * factor,
            has_interval=self.has_interval,
        )


@dataclass(frozen=True, kw_only=True)
class Money:
    """What one method costs; None where a price or a measurement is missing.

    Attributes:
        training: one whole training, alone. search: all trials of its search; None without one.
        call: one answer. month: ``calls_per_month`` of them.
        total: training, search and a month's answers, as far as they are known.
        prompted_call: one answer of the prompted model.
        break_even: answers from which on training and search have paid off against the prompted
            model; infinity where an answer of the method is no cheaper.
    """

    training: Amount | None = None
    search: Amount | None = None
    call: Amount | None = None
    month: Amount | None = None
    total: Amount | None = None
    prompted_call: float | None = None
    break_even: float | None = None


def prices_of(results: Results) -> PriceOptions:
    """The study's prices; none in older results."""
    given = setting(results.study, "prices")
    try:
        return from_mapping(PriceOptions, given if isinstance(given, Mapping) else {})
    except ConfigError:
        return PriceOptions()


def money_of(results: Results, method: MethodRecord) -> Money:
    """What a method costs at the study's prices."""
    prices = prices_of(results)
    hour = prices.of_seconds(1.0)
    prompted = prompted_call(results, prices, method)
    if method.kind == _EXTERNAL:
        return _external(results, method, prices)
    if hour is None:
        return Money(prompted_call=prompted)
    epochs = epochs_of(results, method)
    training = search = None
    if (epoch := method.cost.epoch_seconds) is not None and epochs is not None:
        one = Amount.of(epoch.mean, epoch.low, epoch.high).times(hour)
        training = one.times(epochs)
        if method.search is not None:
            search = one.times(_epochs_searched(results, method))
    call = _call(results, method, hour)
    month = None
    if call is not None and prices.calls_per_month is not None:
        month = call.times(prices.calls_per_month)
    total = None if training is None else training.plus(search).plus(month)
    if month is None and prices.calls_per_month is not None:
        total = None  # a month's answers are asked for, and no one knows what they cost
    return Money(
        training=training,
        search=search,
        call=call,
        month=month,
        total=total,
        prompted_call=prompted,
        break_even=_break_even(training, search, call, prompted),
    )


def prompted_call(
    results: Results, prices: PriceOptions, method: MethodRecord | BaselineRecord | None = None
) -> float | None:
    """What a prompted model's answer to an average test row costs.

    By the study's prices of tokens; without these, what the cheapest entrant whose answers come
    from elsewhere is said to cost. None where neither is known.

    Args:
        results, prices: the study's. method: whose base and prompt the row is laid out by.
    """
    found = prices.tokens.of_tokens(*tokens_of_a_call(results, method))
    if found is not None:
        return found
    entrant = _cheapest_entrant(results)
    return None if entrant is None else _given_call(results, entrant)


def _cheapest_entrant(results: Results) -> str | None:
    """Of the entrants that are answers, so that a prompted model may have written them."""
    methods = setting(results.study, "methods")
    entries = methods if isinstance(methods, Mapping) else {}
    given = [
        (call, name)
        for name, method in results.methods.items()
        if method.kind == _EXTERNAL and "predictions" in (entries.get(name) or {})
        if (call := _given_call(results, name)) is not None
    ]
    return min(given)[1] if given else None


def why_no_cost(results: Results, method: MethodRecord) -> str:
    """What a study has to give so that a method's cost is known; empty where it was not measured.

    Args:
        results: the study's. method: one whose ``money_of`` has no total.
    """
    prices = prices_of(results)
    if method.kind != _EXTERNAL:
        return "" if prices.device_hour is not None else "the study has no prices.device_hour"
    name = next((name for name, found in results.methods.items() if found is method), None)
    if name is None or _given_call(results, name) is None:
        return f"the study has no methods.{name or 'NAME'}.price"
    return "" if prices.calls_per_month else "the study has no prices.calls_per_month"


def _external(results: Results, method: MethodRecord, prices: PriceOptions) -> Money:
    """What a study says that an entrant from elsewhere costs; nothing of it is measured."""
    name = next((name for name, found in results.methods.items() if found is method), None)
    given = None if name is None else _given_call(results, name)
    if given is None:
        return Money()
    call = Amount.of(given)
    month = None
    if prices.calls_per_month is not None:
        month = call.times(prices.calls_per_month)
    return Money(call=call, month=month, total=month)


def _given_call(results: Results, name: str) -> float | None:
    """The price of an answer: ``price: 0.002``, ``{call: 0.002}``, or of a million tokens."""
    methods = setting(results.study, "methods")
    entry = methods.get(name) if isinstance(methods, Mapping) else None
    price = entry.get("price") if isinstance(entry, Mapping) else None
    if isinstance(price, Mapping):
        read, written = price.get("input_tokens"), price.get("output_tokens")
        if price.get("call") is None and _is_number(read) and _is_number(written):
            tokens = TokenPrices(input_tokens=float(read), output_tokens=float(written))
            return tokens.of_tokens(*tokens_of_a_call(results, results.methods.get(name)))
        price = price.get("call")
    return float(price) if _is_number(price) else None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def tokens_of_a_call(
    results: Results, method: MethodRecord | BaselineRecord | None = None
) -> tuple[float, float]:
    """Tokens of an average test row in the base's own: what is read, and what is written.

    Args:
        results: the study's. method: whose base and prompt count, where there are several; those
            that the study's own counts are of without.
    """
    test = results.data.test
    rows, raw, written = test.examples, test.tokens_raw, test.tokens_supervised
    read, answers = test.tokens_read, test.tokens_written
    if method is not None and results.factors is not None and method.cell is not None:
        cell = results.factors.cells.get(method.cell)
        if cell and cell.test_rows and cell.test_tokens_raw is not None:
            rows, raw = cell.test_rows, cell.test_tokens_raw
            written = cell.test_tokens_supervised or 0
            read, answers = cell.test_tokens_read, cell.test_tokens_written
    if read is None or answers is None:  # older results: the data without their layout
        read, answers = max(0, raw - written), written
    rows = max(1, rows)
    return read / rows, answers / rows


def money_notes(results: Results) -> list[str]:
    """In sentences what the figures in money rest on, and when each method has paid off."""
    prices = prices_of(results)
    notes = []
    if prices.device_hour is not None:
        text = f"money: an hour of the device at {prices.shown(prices.device_hour)}"
        if prices.calls_per_month is not None:
            text += f"; {shown_whole(prices.calls_per_month)} answers a month"
        notes.append(
            f"{text}. The device is taken to be paid by the second and busy: one that is rented "
            "and idle costs more. An answer takes what test rows took, eight in a batch"
        )
    notes += _prompted_notes(results, prices)
    for name, method in results.methods.items():
        found = money_of(results, method)
        if found.break_even is None or found.call is None or found.training is None:
            continue
        own = prices.shown(found.call.mean)
        if found.break_even == float("inf"):
            notes.append(
                f"money: {name} never pays off against it, as an answer of its own costs {own}"
            )
            continue
        spent = found.training.plus(found.search)
        notes.append(
            f"money: {name} pays off against it from {shown_volume(found.break_even)} answers on "
            f"({prices.shown(spent.mean)} to make, {own} an answer)"
        )
    return notes


def _prompted_notes(results: Results, prices: PriceOptions) -> list[str]:
    """What a prompted model's answer costs, and how that is known."""
    if prices.tokens.of_tokens(0.0, 0.0) is None:
        entrant = _cheapest_entrant(results)
        call = None if entrant is None else _given_call(results, entrant)
        if call is None:
            return []
        month = month_words(prices, call, call)
        return [
            f"money: an answer of {entrant} costs {prices.shown(call)}, as the study's "
            f"methods.{entrant}.price says, and stands for a prompted model's{month}"
        ]
    calls = {tokens_of_a_call(results, method) for method in results.methods.values()}
    calls = calls or {tokens_of_a_call(results)}
    costs = [prices.tokens.of_tokens(*call) or 0.0 for call in calls]
    low, high = min(costs), max(costs)
    read, written = (_range_words([call[i] for call in calls]) for i in (0, 1))
    cost = prices.shown(low) if len(calls) == 1 else f"{prices.shown(low)} to {prices.shown(high)}"
    text = (
        f"money: a prompted model's answer costs {cost}, with {read} tokens "
        f"read and {written} written for a test row as this study asks it, counted in the base's "
        "tokens"
    )
    if len(calls) > 1:
        text += ", each method's with its own base and prompt"
    return [text + month_words(prices, low, high)]


def month_words(prices: PriceOptions, low: float, high: float) -> str:
    """What a month of answers costs, to end a sentence with; nothing without their number."""
    if prices.calls_per_month is None:
        return ""
    amounts = dict.fromkeys(prices.shown(one * prices.calls_per_month) for one in (low, high))
    return f": {' to '.join(amounts)} a month"


def _range_words(values: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(f"{one:.0f}" for one in (min(values), max(values))))


def shown_volume(value: float | None) -> str:
    """A number of answers to two digits; ``never`` where there is none."""
    if value is not None and value == float("inf"):
        return "never"
    if value is None or value < 100:
        return shown_whole(value)
    digits = len(f"{value:.0f}") - 2
    return shown_whole(round(value / 10**digits) * 10**digits)


def _epochs_searched(results: Results, method: MethodRecord) -> int:
    """Epochs of all trials of a method's search, each taken to last as long as a chosen one's."""
    assert method.search is not None
    finals = set(method.candidates)
    return sum(point.epochs for point in method.search.curve if point.candidate not in finals)


def _call(results: Results, method: MethodRecord, hour: float) -> Amount | None:
    """One answer: as test rows were written, or, where no text is, by the latency of a token."""
    rate = method.cost.generation_rows_per_second
    if rate is not None and rate > 0.0:
        return Amount.of(hour / rate)  # timed once
    latency = method.cost.token_latency_seconds
    if latency is None:
        return None
    tokens = tokens_of_a_call(results, method)[1] * hour
    return Amount.of(latency.mean, latency.low, latency.high).times(tokens)


def _break_even(
    training: Amount | None, search: Amount | None, call: Amount | None, prompted: float | None
) -> float | None:
    if training is None or call is None or prompted is None:
        return None
    saved = prompted - call.mean
    return training.plus(search).mean / saved if saved > 0.0 else float("inf")

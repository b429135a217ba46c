"""What an answer of the untuned base costs in money, alone and with solved examples before it.

The rules are those of methods (``money.py``): a call takes what test rows took, eight in a batch,
at the price of the device. A few examples make every prompt longer, which is what they cost;
nothing is trained. Where the device's time was not measured, or has no price, a call is priced by
the tokens of the prompts that were asked, and the notes say so.
"""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.decide.money import (
    Amount,
    Money,
    money_of,
    month_words,
    prices_of,
    prompted_call,
    shown_volume,
)
from bakeoff.decide.prices import PriceOptions
from bakeoff.decide.verdicts import ZERO_SHOT, baseline_label
from bakeoff.formatting import shown_whole
from bakeoff.runs.records import BaselineRecord, Results


def money_of_baseline(results: Results, record: BaselineRecord) -> Money:
    """What a baseline costs at the study's prices; nothing of one that does not ask the base.

    There is no training. ``search`` is the choice of the number of examples; ``total`` is that and
    a month's answers. ``break_even`` is not known where a call is priced by tokens, which is what
    it would be compared with.
    """
    cost, prices = record.cost, prices_of(results)
    if cost is None:
        return Money()
    search = month = total = break_even = None
    hour = prices.of_seconds(1.0)
    if hour is not None and cost.search_seconds is not None:
        search = Amount.of(hour * cost.search_seconds)
    timed = _by_time(prices, record)
    known = _by_tokens(prices, record) if timed is None else timed
    call = None if known is None else Amount.of(known)
    if call is not None and prices.calls_per_month is not None:
        month = call.times(prices.calls_per_month)
        total = month.plus(search)
    prompted = prompted_call(results, prices, record)
    if timed is not None and prompted is not None:
        spent = 0.0 if search is None else search.mean
        break_even = spent / (prompted - timed) if prompted > timed else float("inf")
    return Money(
        search=search,
        call=call,
        month=month,
        total=total,
        prompted_call=prompted,
        break_even=break_even,
    )


def baseline_money_notes(results: Results) -> list[str]:
    """In sentences what answers of the untuned base cost, and which methods save on them."""
    prices = prices_of(results)
    if prices.device_hour is None and not prices.tokens.is_known:
        return []
    notes = []
    for name, record in results.baselines.items():
        label = baseline_label(name, record)
        if record.cost is None:
            if record.shots is not None or (record.plain_name or name) == ZERO_SHOT:
                notes.append(
                    f"money: {label} has no price, as the run is older than prices of baselines; "
                    f"remove its folder below baselines/ and run the same command again, which "
                    "asks it again"
                )
            continue
        notes += _of_one(results, prices, label, record)
        if record.shots:
            notes += _saved_by_methods(results, prices, label, record)
    return notes


def _of_one(
    results: Results, prices: PriceOptions, label: str, record: BaselineRecord
) -> Iterator[str]:
    """How a call is priced, and when it has paid off against the prompted model."""
    cost = record.cost
    found = money_of_baseline(results, record)
    if cost is None or found.call is None:
        return
    call = found.call.mean
    shots = ""
    if record.shots:
        rows = "row" if record.shots == 1 else "rows"
        shots = f", with {shown_whole(record.shots)} training {rows} before its prompt,"
    text = (
        f"money: an answer of {label} costs {prices.shown(call)}{month_words(prices, call, call)}; "
        f"{cost.tokens_read:.0f} tokens are read for a test row as it was asked{shots} and "
        f"{cost.tokens_written:.0f} written"
    )
    by_tokens = _by_tokens(prices, record)
    if _by_time(prices, record) is None:
        why = "the device has no price" if prices.device_hour is None else "it was not timed"
        text += f"; this is by the study's prices of tokens, as {why}"
    elif by_tokens is not None:
        text += f"; a prompted model that was asked so would cost {prices.shown(by_tokens)}"
    yield text
    if found.break_even is None or found.prompted_call is None:
        return
    against = f"an answer of a prompted model at {prices.shown(found.prompted_call)}"
    if found.break_even == float("inf"):
        yield f"money: {label} never pays off against {against}"
    else:
        yield f"money: {label} pays off against {against} {_from(found.break_even)}"


def _saved_by_methods(
    results: Results, prices: PriceOptions, label: str, record: BaselineRecord
) -> Iterator[str]:
    """From how many answers on training is cheaper than examples in every prompt."""
    theirs = money_of_baseline(results, record)
    if theirs.call is None or _by_time(prices, record) is None:
        return
    for name, method in results.methods.items():
        ours = money_of(results, method)
        if method.cell != record.cell or ours.training is None or ours.call is None:
            continue
        spent = ours.training.plus(ours.search).mean
        spent -= 0.0 if theirs.search is None else theirs.search.mean
        saved = theirs.call.mean - ours.call.mean
        if saved > 0.0:
            yield f"money: {name} is cheaper than {label} {_from(max(0.0, spent) / saved)}"
        else:
            yield (
                f"money: {name} does not become cheaper than {label}, as an answer of its own "
                f"costs {prices.shown(ours.call.mean)}"
            )


def _from(answers: float) -> str:
    volume = shown_volume(answers)
    return "from the first answer on" if volume == "0" else f"from {volume} answers on"


def _by_time(prices: PriceOptions, record: BaselineRecord) -> float | None:
    """A call by the device's time; None where that is not known or has no price."""
    rate = None if record.cost is None else record.cost.generation_rows_per_second
    return prices.of_seconds(1.0 / rate) if rate else None


def _by_tokens(prices: PriceOptions, record: BaselineRecord) -> float | None:
    """A call by the prompted model's prices, with the prompts as they were asked."""
    cost = record.cost
    return None if cost is None else prices.tokens.of_tokens(cost.tokens_read, cost.tokens_written)

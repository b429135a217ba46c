"""Figures of what each search reached for what it spent."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import altair as alt

from bakeoff.decide.effort import best_by_epoch, best_so_far, expected_best, leaders
from bakeoff.decide.money import prices_of
from bakeoff.decide.verdicts import ZERO_SHOT, best_val_nll
from bakeoff.formatting import shown_seconds
from bakeoff.page.charts import TOTAL_WIDTH, Spec, data, described, layered, padded
from bakeoff.page.figure import Figure
from bakeoff.page.labels import Axis, shorten, stack_labels, text_width
from bakeoff.page.palette import Look
from bakeoff.page.render import render
from bakeoff.report.factors import per_token_words
from bakeoff.runs.records import CandidateRecord, MethodRecord, Results
from bakeoff.types import RunState

_WIDTH, _HEIGHT = TOTAL_WIDTH - 48, 210
_NAME_LIMIT = 20
_WRONG = (RunState.DIVERGED, RunState.FAILED)


@dataclass(frozen=True, kw_only=True)
class EffortCurve:
    """What one method's search reached.

    Attributes:
        points: (what was spent, lowest validation NLL, what is shown on hover), in order.
    """

    name: str
    look: Look
    points: list[tuple[float, float, str]]


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """In what losses of all methods are drawn.

    Attributes:
        unit: in words. factors: by method, of its NLL per token; 1 where it is not there.
        compares: whether losses of two methods do. caution: what a reader must know; may be empty.
    """

    unit: str = "NLL"
    factors: Mapping[str, float]
    compares: bool = True
    caution: str = ""

    def of(self, name: str, loss: float) -> float:
        """A method's NLL per token in this unit."""
        return loss * self.factors.get(name, 1.0)


def _scale_of_losses(results: Results) -> _Scale:
    """Bits per byte where bases have different tokenizers; an NLL per token elsewhere."""
    caution, record = per_token_words(results), results.factors
    if not caution or record is None:
        return _Scale(factors={})
    bits = {name: record.cells.get(m.cell or "") for name, m in results.methods.items()}
    known = {name: cell.bits for name, cell in bits.items() if cell and cell.bits is not None}
    if set(known) == {name for name, m in results.methods.items() if m.external is None}:
        return _Scale(unit="bits per byte", factors=known)
    return _Scale(factors={}, compares=False, caution=caution)  # results of an older version


def effort_figures(results: Results, look: Mapping[str, Look]) -> Iterator[Figure]:
    """Expected best loss by trials of every search, and best loss so far by time and money."""
    searches = {
        name: trials
        for name, method in results.methods.items()
        if len(trials := _trials(results, method)) > 1
    }
    scale = _scale_of_losses(results)
    if searches:
        worst = _worst(results, searches, scale)
        expected = [
            EffortCurve(name=name, look=look[name], points=_expected(name, trials, worst, scale))
            for name, trials in searches.items()
        ]
        yield render(
            effort(
                expected,
                "settings tried",
                f"expected best validation {scale.unit}",
                is_stepped=False,
            ),
            name="expected_best",
            group="history",
            title="Expected best loss by settings tried",
            caption="What a search of so many settings would have found on average (Dodge et al. "
            "2019). A setting that was pruned counts as what it had reached by then, one that went "
            f"wrong as the untuned base.{scale.caution}",
            alt=f"Expected best validation {scale.unit}. " + _ends(expected),
        )
    timed = {
        name: [(at, scale.of(name, loss)) for at, loss in points]
        for name, method in results.methods.items()
        if (points := _timed(results, name, method))
    }
    if not timed:
        return
    prices = prices_of(results)
    device = "GPU" if results.environment.device.startswith("cuda") else "CPU"
    of_what = "search" if searches else "training, the mean over its seeds"
    changes = _changes(timed) if scale.compares else ""
    yield _so_far(
        timed, look, 1.0, f"{device}-seconds, each candidate alone", shown_seconds, "",
        f"The lowest validation {scale.unit} after so many seconds of a method's {of_what}, its "
        f"epochs counted as long as they take alone. {changes}{scale.caution}",
        scale.unit,
    )  # fmt: skip
    price = prices.of_seconds(1.0)
    if price is not None:
        yield _so_far(
            timed, look, price, f"spent ({prices.currency})", prices.shown, "_money",
            f"The same in money: an hour of the device at {prices.shown(3600 * price)}."
            f"{scale.caution}",
            scale.unit,
        )  # fmt: skip


def _so_far(
    timed: Mapping[str, Sequence[tuple[float, float]]],
    look: Mapping[str, Look],
    factor: float,
    axis: str,
    write: Callable[[float], str],
    suffix: str,
    caption: str,
    unit: str,
) -> Figure:
    curves = [
        EffortCurve(
            name=name,
            look=look[name],
            points=[
                (factor * at, loss, f"{name}, {write(factor * at)}: {loss:.3f}")
                for at, loss in points
            ],
        )
        for name, points in timed.items()
    ]
    return render(
        effort(curves, axis, f"best validation {unit}", is_stepped=True),
        name=f"best_so_far{suffix}",
        group="history",
        title=f"Best loss so far by {'money' if suffix else 'time'}",
        caption=" ".join(caption.split()),
        alt=f"Best validation {unit} so far. " + _ends(curves),
    )


def _changes(timed: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Who leads, and from when on: ``lora leads up to 12 s, then full.``"""
    found = leaders(timed)
    if len(timed) < 2:
        return ""
    if len(found) == 1:
        return f"{found[0][1]} leads throughout."
    parts = [
        f"{name} {'leads ' if not place else ''}up to {shown_seconds(found[place + 1][0])}"
        for place, (_, name) in enumerate(found[:-1])
    ]
    return f"{', then '.join([*parts, found[-1][1]])}."


def effort(curves: Sequence[EffortCurve], x_title: str, y_title: str, *, is_stepped: bool) -> Spec:
    """A line per method, falling, with its name at its end."""
    xs = [x for curve in curves for x, _, _ in curve.points]
    ys = [y for curve in curves for _, y, _ in curve.points]
    room = min(max(text_width(shorten(c.name, _NAME_LIMIT)) for c in curves), 130.0) + 34
    x_axis = padded(min(xs), max(xs), _WIDTH, left=10, right=room)
    upward = padded(min(ys), max(ys), _HEIGHT, left=14, right=14)
    y_axis = Axis(low=upward.low, high=upward.high, pixels=upward.pixels, log=False, flip=True)
    ticks = (
        alt.Axis(tickCount=5, domain=False, format="d")
        if not is_stepped
        else alt.Axis(tickCount=5, domain=False)
    )
    x = alt.X("x:Q", title=x_title, scale=_scale(x_axis), axis=ticks)
    y = alt.Y("y:Q", title=y_title, scale=_scale(y_axis), axis=alt.Axis(tickCount=5, domain=False))
    rows = [
        {"x": at, "y": loss, "color": c.look.color, "shape": c.look.shape, "name": c.name,
         "line": described(c.name, c.name), "tip": described(c.name, tip)}
        for c in curves
        for at, loss, tip in c.points
    ]  # fmt: skip
    color = alt.Color("color:N", scale=None, legend=None)
    shape = alt.Shape("shape:N", scale=None)
    fill = alt.Fill("color:N", scale=None)
    base = alt.Chart(data(rows))
    layers = [
        base.mark_line(strokeWidth=2, interpolate="step-after" if is_stepped else "linear").encode(
            x=x, y=y, color=color, detail="name:N", description="line:N"
        )
    ]
    spots = [row for row in rows if not is_stepped] or _drops(rows)
    layers.append(
        alt.Chart(data(spots))
        .mark_point(size=30, opacity=1)
        .encode(x=x, y=y, color=color, fill=fill, shape=shape, description="tip:N")
    )
    ends = [(shorten(c.name, _NAME_LIMIT), c.points[-1][1]) for c in curves]
    names = [
        {"x": x_axis.invert(x_axis.pixels - room + 22), "y": at, "text": name,
         "color": c.look.color, "shape": c.look.shape}
        for c, (name, at) in zip(curves, stack_labels(ends, y_axis), strict=True)
    ]  # fmt: skip
    labels = alt.Chart(data(names)).encode(x=x, y=y)
    layers += [
        labels.mark_point(size=36, opacity=1).encode(color=color, fill=fill, shape=shape),
        labels.mark_text(align="left", dx=7, fontSize=11).encode(text="text:N"),
    ]
    return layered(layers, width=_WIDTH, height=_HEIGHT)


def _drops(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """The points at which a method's line falls, which are what there is to read."""
    found = [rows[0]]
    for before, row in itertools.pairwise(rows):
        if row["name"] != before["name"] or row["y"] != before["y"]:
            found.append(row)
    return found


def _scale(axis: Axis) -> alt.Scale:
    return alt.Scale(domain=[axis.low, axis.high], nice=False, zero=False)


def _trials(results: Results, method: MethodRecord) -> list[CandidateRecord]:
    """The candidates of a method's search, in the order in which they were named."""
    if method.search is None:
        return []
    searched = {point.candidate for point in method.search.curve}
    return [candidate for id, candidate in results.candidates.items() if id in searched]


def _worst(
    results: Results, searches: Mapping[str, Sequence[CandidateRecord]], scale: _Scale
) -> float:
    """The untuned base's loss, else the worst that any trial ended with."""
    untuned = results.baselines.get(ZERO_SHOT)
    if untuned is not None and "nll" in untuned.validation:
        return untuned.validation["nll"].mean
    losses = [scale.of(name, _loss(one)) for name, trials in searches.items() for one in trials]
    return max((loss for loss in losses if math.isfinite(loss)), default=0.0)


def _loss(trial: CandidateRecord) -> float:
    loss = best_val_nll(trial)
    return math.inf if loss is None or trial.state in _WRONG else loss


def _expected(
    name: str, trials: Sequence[CandidateRecord], worst: float, scale: _Scale
) -> list[tuple[float, float, str]]:
    found = expected_best([scale.of(name, _loss(trial)) for trial in trials], worst)
    return [
        (number, loss, f"{name}, {number} tried: {loss:.3f} expected")
        for number, loss in enumerate(found, start=1)
    ]


def _timed(results: Results, name: str, method: MethodRecord) -> list[tuple[float, float]]:
    """(seconds, lowest loss so far) of a method's search, or of its training without one."""
    cost = method.cost.epoch_seconds
    if cost is None:
        return []
    trials = _trials(results, method)
    if len(trials) > 1:
        return best_so_far(trials, cost.mean)
    runs = [results.candidates[id] for id in method.candidates if id in results.candidates]
    return best_by_epoch([run for run in runs if run.epochs], cost.mean)


def _ends(curves: Sequence[EffortCurve]) -> str:
    return ", ".join(f"{curve.name} {curve.points[-1][1]:.3f}" for curve in curves) + "."

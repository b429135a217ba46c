"""Where a label goes beside its point, so that names do not cover each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CHARACTER_WIDTH = 6.2  # a wide estimate for 11 px sans-serif text
LINE_HEIGHT = 12.0
SERIES_END = "\u2063"  # an invisible separator, which no name and no figure holds
_GAP = 8.0

Align = Literal["left", "center", "right"]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A linear or logarithmic scale from data to pixels."""

    low: float
    high: float
    pixels: float
    log: bool = False
    flip: bool = False

    def place(self, value: float) -> float:
        """Pixels from the left, or from the top where flipped."""
        low, high, at = (
            (math.log(self.low), math.log(self.high), math.log(value))
            if self.log
            else (self.low, self.high, value)
        )
        share = (at - low) / (high - low)
        return self.pixels * (1 - share if self.flip else share)

    def invert(self, pixel: float) -> float:
        """The data value at a pixel."""
        share = pixel / self.pixels
        share = 1 - share if self.flip else share
        if self.log:
            return math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        return self.low + share * (self.high - self.low)


@dataclass(frozen=True, kw_only=True)
class Label:
    """A text at data coordinates."""

    text: str
    x: float
    y: float
    align: Align


def text_width(text: str) -> float:
    """Estimated pixels of a label."""
    return CHARACTER_WIDTH * len(text)


def shorten(text: str, limit: int) -> str:
    """The text, cut with an ellipsis where it is longer than ``limit`` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def place_labels(
    points: list[tuple[str, float, float]],
    x_axis: Axis,
    y_axis: Axis,
    lines: Sequence[tuple[float, float, float, float]] = (),
) -> list[Label]:
    """Greedy placement: each name takes the free place nearest its point.

    Args:
        points: Name and data coordinates; earlier ones choose first.
        x_axis: Scale of x.
        y_axis: Scale of y, flipped.
        lines: Upright or level lines to keep clear of, (x, y, x, y) in data coordinates.
    """
    dots = [(x_axis.place(x), y_axis.place(y)) for _, x, y in points]
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in dots]
    for x1, y1, x2, y2 in lines:
        (left, right), (top, bottom) = (
            sorted((axis.place(one), axis.place(two)))
            for axis, one, two in ((x_axis, x1, x2), (y_axis, y1, y2))
        )
        taken.append((left - 1, top - 1, right + 1, bottom + 1))
    labels = []
    for (name, _, _), (x, y) in zip(points, dots, strict=True):
        text = shorten(name, 24)
        best = min(_options(text, x, y), key=lambda o: _penalty(o, taken, x_axis, y_axis))
        taken.append(best.box)
        middle = (best.left + best.right) / 2
        anchor = {"left": best.left, "center": middle, "right": best.right}[best.align]
        labels.append(
            Label(
                text=text,
                x=x_axis.invert(anchor),
                y=y_axis.invert(best.top + LINE_HEIGHT / 2),
                align=best.align,
            )
        )
    return labels


def stack_labels(ends: Sequence[tuple[str, float]], y_axis: Axis) -> list[tuple[str, float]]:
    """Heights for a column of labels, each as near its line's end as its neighbours allow.

    Args:
        ends: Name and data height of each line's end, in any order.
        y_axis: Scale of y, flipped.

    Returns:
        Name and data height of each label, in the order given.
    """
    wanted = [min(max(y_axis.place(y), 0.0), y_axis.pixels) for _, y in ends]
    order = sorted(range(len(ends)), key=wanted.__getitem__)
    placed = dict.fromkeys(order, 0.0)
    floor = -math.inf
    for i in order:
        placed[i] = floor = max(wanted[i], floor + LINE_HEIGHT)
    ceiling = y_axis.pixels
    for i in reversed(order):
        placed[i] = ceiling = min(placed[i], ceiling)
        ceiling -= LINE_HEIGHT
    return [(name, y_axis.invert(placed[i])) for i, (name, _) in enumerate(ends)]


@dataclass(frozen=True, kw_only=True)
class _Place:
    align: Align
    left: float
    top: float
    right: float
    dislike: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.right, self.top + LINE_HEIGHT


def _options(text: str, x: float, y: float) -> list[_Place]:
    width = text_width(text)
    options = []
    for step in range(5):
        for sign in (-1, 1) if step else (1,):
            top, away = y - LINE_HEIGHT / 2 + sign * step * 9, step * 40.0
            places: list[tuple[Align, float, float, float]] = [
                ("left", x + _GAP, top, away),
                ("right", x - _GAP - width, top, away + 5),
            ]
            if step:
                places.append(("center", x - width / 2, top + sign * 5, away + 2))
            options += [
                _Place(align=align, left=left, top=at, right=left + width, dislike=dislike)
                for align, left, at, dislike in places
            ]
    return options


def _penalty(
    place: _Place, taken: list[tuple[float, float, float, float]], x_axis: Axis, y_axis: Axis
) -> float:
    left, top, right, bottom = place.box
    overlap = sum(
        max(0.0, min(right, b[2]) - max(left, b[0])) * max(0.0, min(bottom, b[3]) - max(top, b[1]))
        for b in taken
    )
    outside = max(0.0, -left) + max(0.0, right - x_axis.pixels)
    outside += max(0.0, -top) + max(0.0, bottom - y_axis.pixels)
    return place.dislike + 20 * overlap + 50 * outside

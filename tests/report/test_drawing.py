"""Where things stand in the figures: labels apart, the Pareto front, and domains."""

from __future__ import annotations

import itertools

import pytest

from bakeoff.page.charts import Point, padded
from bakeoff.page.labels import (
    LINE_HEIGHT,
    Axis,
    Label,
    place_labels,
    stack_labels,
    text_width,
)
from bakeoff.page.palette import PAIRS, looks
from bakeoff.report.figures.curves import _y_domain
from bakeoff.report.figures.tradeoff import Priced, front

X = Axis(low=1.0, high=1e6, pixels=300, log=True)
Y = Axis(low=2.0, high=3.0, pixels=200, flip=True)


def priced(name: str, price: float, value: float) -> Priced:
    return Priced(price=price, point=Point(label=name, value=value, text="", tip=""))


def box(label: Label) -> tuple[float, float, float, float]:
    anchor, width = X.place(label.x), text_width(label.text)
    left = anchor - {"left": 0.0, "center": width / 2, "right": width}[label.align]
    top = Y.place(label.y) - LINE_HEIGHT / 2
    return left, top, left + width, top + LINE_HEIGHT


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    return not apart


def test_the_front_drops_what_is_dearer_and_no_better() -> None:
    items = [
        priced("dear", 9, 2.1),
        priced("dominated", 5, 2.6),
        priced("cheap", 1, 2.7),
        priced("middle", 4, 2.4),
        priced("same price, worse", 4, 2.5),
    ]
    assert [item.point.label for item in front(items)] == ["cheap", "middle", "dear"]


def test_an_axis_inverts_its_own_places() -> None:
    for axis, value in ((X, 300.0), (Y, 2.25)):
        assert axis.invert(axis.place(value)) == pytest.approx(value)
    assert Y.place(2.0) == pytest.approx(200)


def test_names_of_a_crowd_cover_neither_each_other_nor_leave_the_plot() -> None:
    points = [(f"method_{i}", 10.0 ** (2 + i % 3 / 4), 2.4 + 0.02 * i) for i in range(6)]
    boxes = [box(label) for label in place_labels(points, X, Y)]
    assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))
    assert all(b[0] >= -1e-6 and b[2] <= X.pixels + 1e-6 for b in boxes)


def test_a_name_keeps_clear_of_a_line() -> None:
    point = [("soft_prompt", 10.0, 2.5)]
    line = (10.0, 2.5, 1e6, 2.5)
    (free,) = place_labels(point, X, Y)
    assert Y.place(free.y) == pytest.approx(Y.place(2.5))
    (placed,) = place_labels(point, X, Y, [line])
    level = Y.place(2.5)
    assert not overlap(box(placed), (X.place(10.0), level - 1, X.pixels, level + 1))


def test_stacked_names_keep_their_order_and_a_line_apart() -> None:
    ends = [("c", 2.01), ("a", 2.5), ("b", 2.02), ("d", 2.0), ("wild", 99.0)]
    stacked = stack_labels(ends, Y)
    assert [name for name, _ in stacked] == [name for name, _ in ends]
    heights = sorted((Y.place(y), name) for name, y in stacked)
    assert [name for _, name in heights] == ["wild", "a", "b", "c", "d"]
    assert all(b[0] - a[0] >= LINE_HEIGHT - 1e-6 for a, b in itertools.pairwise(heights))
    assert heights[-1][0] <= Y.pixels + 1e-6


@pytest.mark.parametrize("log", [False, True])
def test_a_single_value_still_has_a_domain_around_it(log: bool) -> None:
    axis = padded(7.0, 7.0, 200, left=10, right=50, log=log)
    assert axis.low < 7.0 < axis.high
    assert 10 <= axis.place(7.0) <= 150


def test_a_candidate_that_went_wild_does_not_flatten_the_others() -> None:
    low, high = _y_domain([2.4, 2.5, 2.6, 2.7, 1e9], 3.0)
    assert 2.3 < low < 2.4
    assert 3.0 < high < 3.5


def test_methods_have_looks_of_their_own() -> None:
    drawn = looks([f"m{i}" for i in range(30)])
    assert len({look.color for look in list(drawn.values())[:10]}) == len(PAIRS) == 10
    assert len({(look.color, look.shape) for look in drawn.values()}) == 30

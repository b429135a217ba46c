"""Curves of claims' figures, from the conditions that lie on them."""

from __future__ import annotations

import re

import numpy as np

from bakeoff.claims.contract import Curve, Floats, Values


def curve_of(values: Values, prefix: str, x_title: str, y_title: str) -> Curve | None:
    """The conditions whose names are ``prefix`` and a number, in the order of the number.

    Returns:
        None where there are fewer than two.
    """
    found: list[tuple[float, str, Floats]] = []
    for name, value in values.items():
        match = re.fullmatch(re.escape(prefix) + r"(\d+(?:\.\d+)?)", name)
        if match:
            found.append((float(match[1]), match[1], np.atleast_1d(value)))
    if len(found) < 2:
        return None
    return Curve(
        x_title=x_title,
        y_title=y_title,
        points=tuple(
            (name, float(value.mean()), tuple(value.tolist())) for _, name, value in sorted(found)
        ),
    )


def curve_over(values: Values, names: dict[str, str], x_title: str, y_title: str) -> Curve | None:
    """Named conditions in the order given, each by what stands on the x axis.

    What diverged is not drawn.
    """
    points = [
        (label, float(np.mean(values[name])), tuple(np.atleast_1d(values[name]).tolist()))
        for name, label in names.items()
        if name in values and np.isfinite(values[name]).all()
    ]
    if len(points) < 2:
        return None
    return Curve(x_title=x_title, y_title=y_title, points=tuple(points))

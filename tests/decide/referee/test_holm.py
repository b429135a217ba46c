from __future__ import annotations

import numpy as np
import pytest

from bakeoff.decide.referee.holm import holm


def reference(p_values: list[float]) -> list[float]:
    """As Holm 1979 writes it: the k-th smallest of K against alpha / (K - k + 1)."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = running
    return adjusted


def test_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_equals_the_reference() -> None:
    p = np.random.default_rng(0).random((40, 7)) ** 3
    assert holm(p) == pytest.approx(np.array([reference(row.tolist()) for row in p]))


def test_no_pairs() -> None:
    assert holm(np.empty((3, 0))).shape == (3, 0)


def test_those_that_do_not_count_change_nothing() -> None:
    rng = np.random.default_rng(1)
    p, counted = rng.random((30, 6)) ** 3, rng.random((30, 6)) < 0.5
    found = holm(p, counted)
    assert (found[~counted] == 1.0).all()
    for row, mask, values in zip(p, counted, found, strict=True):
        assert values[mask] == pytest.approx(reference(row[mask].tolist()))

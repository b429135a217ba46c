"""The pairwise selection holds every pair, and little beyond what that needs."""

from __future__ import annotations

from itertools import combinations

import pytest

from bakeoff.methods.registry import METHODS as REGISTERED
from tests.fake_cuda.cases import (
    ACTIONS,
    ALWAYS,
    BASES,
    DTYPES,
    FEW_BASES,
    FULL,
    IMPOSSIBLE,
    METHODS,
    Case,
    selection,
)
from tests.fake_cuda.pairwise import all_pairs, pairs_of

pytestmark = pytest.mark.fake_cuda


@pytest.mark.parametrize(
    "sizes",
    [(2, 2), (3, 3, 3), (4, 3, 18, 6), (1, 5, 2)],
    ids=lambda sizes: "x".join(map(str, sizes)),
)
def test_every_pair_occurs(sizes: tuple[int, ...]) -> None:
    axes = [[f"{axis}.{value}" for value in range(size)] for axis, size in enumerate(sizes)]
    wanted = {
        (i, a, j, b) for i, j in combinations(range(len(axes)), 2) for a in axes[i] for b in axes[j]
    }
    rows = all_pairs(axes)
    assert set().union(*map(pairs_of, rows)) == wanted
    largest, second = sorted(sizes)[-1], sorted(sizes)[-2]
    assert largest * second <= len(rows) <= 1.5 * largest * second


def test_excluded_pairs_never_occur() -> None:
    excluded = frozenset({(0, "a", 1, "x")})
    rows = all_pairs([["a", "b"], ["x", "y"], ["1", "2"]], excluded)
    assert all(row[:2] != ("a", "x") for row in rows)
    assert {row[:2] for row in rows} == {("a", "y"), ("b", "x"), ("b", "y")}


def test_an_ordinary_run_has_every_method_and_all_pairs_of_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(FULL, raising=False)
    cases = selection()
    assert {Case(*row) for row in ALWAYS} <= set(cases)
    assert len(cases) == len(set(cases)) < 2 * len(METHODS)
    assert {case.method for case in cases} == set(METHODS)
    assert len({(case.method, case.action) for case in cases}) == len(cases)
    for axes in (("base", "dtype"), ("base", "action"), ("dtype", "action")):
        pairs = {tuple(getattr(case, axis) for axis in axes) for case in cases}
        sizes = {"base": len(FEW_BASES), "dtype": len(DTYPES), "action": len(ACTIONS)}
        assert len(pairs) == sizes[axes[0]] * sizes[axes[1]]


def test_the_selection_is_pairwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FULL, "pairs")
    cases = selection()
    assert 60 <= len(cases) == len(set(cases))
    together = {(case.base, case.method) for case in cases}
    assert together == {(b, m) for b in BASES for m in METHODS} - IMPOSSIBLE
    assert {(c.method, c.action) for c in cases} == {(m, a) for m in METHODS for a in ACTIONS}
    assert {(c.dtype, c.action) for c in cases} == {(d, a) for d in DTYPES for a in ACTIONS}


def test_the_full_matrix_is_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FULL, "full")
    product = len(BASES) * len(DTYPES) * len(METHODS) * len(ACTIONS)
    assert len(selection()) == product - len(IMPOSSIBLE) * len(DTYPES) * len(ACTIONS)


def test_an_unknown_selection_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FULL, "most")
    with pytest.raises(ValueError, match="'most' is unknown; give few, pairs or full"):
        selection()


def test_every_registered_method_is_among_the_cases() -> None:
    assert {kind for kind, _ in METHODS.values()} == set(REGISTERED)


def test_a_case_has_an_id_that_gives_it_back() -> None:
    assert all(Case.of_id(case.id) == case for case in selection())

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from bakeoff.decide.referee.components import Components, components_of, own_variances
from bakeoff.decide.referee.evidence import evidence_of
from bakeoff.decide.referee.fallback import least_regret
from bakeoff.decide.referee.influence import of_means
from bakeoff.decide.referee.pairs import pair_tests
from bakeoff.runs.decisions import Fallback


def asked(methods: dict[str, Components], sign: float = 1.0) -> Fallback:
    parts = list(methods.values())
    seeds = own_variances(parts)
    tests = pair_tests(parts, seeds)
    return least_regret(
        evidence_of(methods, seeds, tests, withheld=None, unit="rows"),
        considered=range(len(parts)),
        costs=[0.0] * len(parts),
        sign=sign,
        alpha=0.05,
    )


def drawn(num: int, seeds: int = 4) -> dict[str, Components]:
    rng = np.random.default_rng(0)
    return {
        f"m{k}": components_of(
            of_means(
                rng.standard_normal(60)
                + 0.1 * rng.standard_normal((seeds, 1))
                + 0.3 * rng.standard_normal((seeds, 60))
            )
        )
        for k in range(num)
    }


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_two_methods_have_a_closed_form(sign: float) -> None:
    methods = drawn(2)
    found = asked(methods, sign)
    tests = pair_tests(list(methods.values()))
    error, gap = math.sqrt(tests.variance[0, 1]), abs(float(tests.difference[0, 1]))
    # The other is better by a normal amount around -gap; what is above zero is the regret.
    z = gap / error
    assert found.regret == pytest.approx(
        error * stats.norm.pdf(z) - gap * stats.norm.sf(z), rel=0.1
    )
    assert found.bound == pytest.approx(stats.t.isf(0.05, tests.freedom[0, 1]) * error - gap)
    means = {name: sign * float(m.mean) for name, m in methods.items()}
    assert found.method == max(means, key=means.__getitem__)


def test_order_does_not_matter() -> None:
    methods = drawn(4)
    expected = asked(methods)
    for order in itertools.permutations(methods):
        found = asked({name: methods[name] for name in order})
        assert found.method == expected.method
        assert (found.regret, found.bound) == pytest.approx((expected.regret, expected.bound))


def test_nothing_is_known_of_methods_without_seeds() -> None:
    found = asked(drawn(3, seeds=1))
    assert found.regret is found.bound is None


def test_one_method_has_nothing_to_regret() -> None:
    assert asked(drawn(1)) == Fallback(method="m0", regret=0.0, bound=0.0)

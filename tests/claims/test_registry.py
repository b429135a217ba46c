"""Which claims there are, and what is said of one that there is not."""

from __future__ import annotations

import importlib.metadata
import re

import numpy as np
import pytest

from bakeoff.claims import registry
from bakeoff.claims.contract import SIZES, Floats
from bakeoff.claims.listing import NOMINAL, design_words, listed
from bakeoff.claims.registry import BUILT_IN, claim_named, claim_names, claims_named
from bakeoff.errors import ConfigError
from tests.claims.test_rules import made

SCALE = "scale_closes_gap"


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_claim_says_all_that_is_asked_of_it(name: str) -> None:
    claim = claim_named(name)
    assert claim.name == name
    effects = claim.statistic({k: _array(v) for k, v in claim.planted.supported.items()})
    assert {one.name for one in claim.contrasts} <= set(effects)
    said = dict(listed(claim, SIZES["full"], family=len(BUILT_IN)))
    assert all(said.values())
    for size in SIZES.values():
        for part in claim.design(NOMINAL, size):
            assert all(re.fullmatch(r"\w+", entrant) for entrant in part.entrants)


def _array(value: object) -> Floats:
    found = np.asarray(value, dtype=np.float64)
    return found if found.ndim else np.repeat(found, 5)


def test_quick_takes_five() -> None:
    assert len(claims_named((), quick=True)) == 5
    assert list(claims_named((SCALE,), quick=True)) == [SCALE]


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'few_tokens_suffice'"):
        claim_named("few_token_suffices")


def test_claims_are_registered_and_come_with_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    mine = made()
    registry.register_claim(mine)
    assert claim_named("made") is mine
    with pytest.raises(ConfigError, match="is a claim already"):
        registry.register_claim(mine)

    with pytest.raises(ConfigError, match=r"register_claim: '\.\./made' cannot name a folder"):
        registry.register_claim(made(name="../made"))

    theirs = importlib.metadata.EntryPoint(
        "theirs", "tests.claims.test_rules:FULL", "bakeoff.claims"
    )
    monkeypatch.setitem(registry._plugins.__dict__, "points", {"theirs": theirs})
    assert "theirs" in claim_names()
    with pytest.raises(ConfigError, match=r"is no bakeoff.claims.Claim of that name"):
        claim_named("theirs")
    monkeypatch.setitem(registry._plugins.__dict__, "points", {"a/b": theirs})
    with pytest.raises(ConfigError, match="'a/b' cannot name a folder"):
        claim_named("a/b")


@pytest.mark.parametrize(
    ("name", "trainings"),
    [("scale_closes_gap", 2 * (4 + 6)), ("rate_of_lora_is_ten_times_full", 14 * 6)],
)
def test_a_design_says_how_many_trainings_it_takes(name: str, trainings: int) -> None:
    text = design_words(claims_named((name,))[name], SIZES["full"])
    assert f"some {trainings} trainings that see 2,048 rows each" in text

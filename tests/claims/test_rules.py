"""What decides a claim, on effects that are known, and every claim's rule on planted truths."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bakeoff.claims.contract import SIZES, Claim, Contrast, Noise, Planted
from bakeoff.claims.estimates import Evidence, _detectable_within, estimate
from bakeoff.claims.listing import beyond_margin
from bakeoff.claims.registry import BUILT_IN, claim_named
from bakeoff.claims.rules import Verdict, judge_family
from bakeoff.claims.simulation import planned_reach, simulate, wrong_on_the_edge

FULL = SIZES["full"]


def made(rule: str = "above", threshold: float = 0.1, **changes: object) -> Claim:
    """A claim whose only effect is the condition ``x``."""
    one = Contrast(name="x", rule=rule, threshold=threshold, words="x")  # type: ignore[arg-type]
    words: dict[str, Any] = dict.fromkeys(
        ("title", "source", "hypothesis", "supported_if", "contradicted_if", "does_not_show"), "-"
    )
    claim = Claim(
        name="made",
        **words,
        unit="nats",
        contrasts=(one,),
        statistic=lambda values: {name: values[name] for name in values},
        planted=Planted(supported={"x": 0.2}, contradicted={"x": 0.0}, noise=Noise(seed=0.02)),
    )
    return replace(claim, **changes)  # type: ignore[arg-type]


def verdict(claim: Claim, *values: float, **more: object) -> Verdict:
    evidence = Evidence(values={"x": np.array(values)}, **more)  # type: ignore[arg-type]
    return judge_family({"made": (claim, evidence)})["made"].verdict


AROUND = (-0.002, -0.001, 0.0, 0.001, 0.002)


@pytest.mark.parametrize(
    ("rule", "centre", "expected"),
    [
        ("above", 0.2, "supported"),
        ("above", 0.0, "contradicted"),
        ("above", 0.1, "undecided"),
        ("below", 0.0, "supported"),
        ("below", 0.2, "contradicted"),
        ("within", 0.0, "supported"),
        ("within", 0.2, "contradicted"),
        ("within", -0.2, "contradicted"),
        ("within", -0.1, "undecided"),
    ],
)
def test_the_side_of_the_threshold_decides(rule: str, centre: float, expected: str) -> None:
    assert verdict(made(rule), *(centre + a for a in AROUND)) == expected


def test_fewer_than_five_seeds_decide_nothing() -> None:
    few = Evidence(values={"x": np.array([0.2, 0.2001, 0.1999, 0.2])})
    found = judge_family({"made": (made(), few)})["made"]
    assert found.verdict == "undecided"
    assert found.effect == pytest.approx(0.2)
    assert "at least 5" in found.why


def test_rows_that_disagree_leave_undecided_what_seeds_agree_on() -> None:
    values = {"x": np.array([0.2 + a for a in AROUND])}
    rng = np.random.default_rng(0)
    without = [{"x": values["x"] + shift} for shift in rng.normal(0.0, 0.02, 20)]
    alone = judge_family({"made": (made(), Evidence(values=values))})["made"]
    both = judge_family({"made": (made(), Evidence(values=values, without=without))})["made"]
    assert (alone.verdict, both.verdict) == ("supported", "undecided")
    assert "times the test rows" in both.why


def test_what_varies_by_seeds_and_rows_says_how_many_of_both_it_takes() -> None:
    values = {"x": 0.2 + 50 * np.array(AROUND)}
    rng = np.random.default_rng(0)
    without = [{"x": values["x"] + shift} for shift in rng.normal(0.0, 0.03, 20)]
    found = judge_family({"made": (made(), Evidence(values=values, without=without))})["made"]
    assert found.verdict == "undecided"
    needed = re.search(r"about (\d+) times the test rows and (\d+) seeds", found.why)
    assert needed is not None
    # With so many of both, 80 % of studies with this effect would tell.
    times, seeds = map(int, needed.groups())
    [one] = found.estimates
    assert found.smallest_effect is not None and found.smallest_effect > one.distance
    more = replace(
        one, seed_variance=one.seed_variance * 5 / seeds, row_variance=one.row_variance / times
    )
    assert more.reach(0.05, 0.05).effect <= one.distance


def test_what_never_varies_is_known_without_an_error() -> None:
    found = judge_family({"made": (made(), Evidence(values={"x": np.full(5, 0.125)}))})["made"]
    assert (found.verdict, found.low, found.high) == ("supported", 0.125, 0.125)


def test_a_family_asks_more_of_each_claim() -> None:
    values = np.array([0.11, 0.13, 0.12, 0.14, 0.115])
    one = made()
    alone = judge_family({"a": (one, Evidence(values={"x": values}))})
    others = {
        f"n{i}": (one, Evidence(values={"x": 0.1 + 0.1 * np.array(AROUND)})) for i in range(20)
    }
    among = judge_family({"a": (one, Evidence(values={"x": values})), **others})
    assert alone["a"].verdict == "supported"
    assert among["a"].verdict == "undecided"
    assert among["a"].high - among["a"].low > alone["a"].high - alone["a"].low  # type: ignore[operator]


@pytest.mark.parametrize("waiting", ["unmeasured", "few", "carried"])
def test_claims_that_wait_for_their_measurement_have_their_place_in_the_family(
    waiting: str,
) -> None:
    """What a budget has come to is not surer for what it has not."""
    one = made()
    evidence = {"a": (one, Evidence(values={"x": np.array([0.11, 0.13, 0.12, 0.14, 0.115])}))}
    not_yet = {
        "unmeasured": Evidence(unmeasured="The budget ended."),
        "few": Evidence(values={"x": np.array([0.2, 0.21])}),
    }
    if waiting == "carried":
        found = judge_family(evidence, others=17)["a"]
    else:
        rest = {f"n{i}": (one, not_yet[waiting]) for i in range(17)}
        found = judge_family({**evidence, **rest})["a"]
    assert found.verdict == "undecided" and found.level == pytest.approx(1 - 0.05 / 18)
    void = {f"n{i}": (one, Evidence(untestable="Not here.")) for i in range(17)}
    assert judge_family({**evidence, **void})["a"].verdict == "supported"


def test_an_interval_over_the_margin_beside_a_verdict_is_explained() -> None:
    """Holm's last test of a family is at a milder level than the intervals of all."""
    values = Evidence(values={"x": np.array([0.121, 0.141, 0.131, 0.151, 0.126])})
    clear = Evidence(values={"x": 0.3 + np.array(AROUND)})
    family = {"a": (made(), values), **{f"n{i}": (made(), clear) for i in range(20)}}
    found = judge_family(family)
    last = found["a"]
    assert last.verdict == "supported" and last.low is not None and last.low < 0.1
    assert "reaches over the margin" in last.why and "(corrected p = 0.0" in last.why
    assert all("reaches over" not in found[f"n{i}"].why for i in range(20))


def test_what_cannot_be_tested_takes_nothing_from_the_others() -> None:
    values = Evidence(values={"x": np.array([0.2 + a for a in AROUND])})
    nothing = Evidence(untestable="two bases are no family")
    found = judge_family({"a": (made(), values), "b": (made(), nothing)})
    assert found["a"].p_value == judge_family({"a": (made(), values)})["a"].p_value
    assert (found["b"].verdict, found["b"].why) == ("untestable", "two bases are no family")


def test_what_was_not_measured_yet_is_undecided_without_an_effect() -> None:
    found = judge_family({"b": (made(), Evidence(unmeasured="the budget ended"))})["b"]
    assert (found.verdict, found.effect, found.why) == ("undecided", None, "the budget ended")


def test_all_contrasts_must_hold_or_any() -> None:
    both = tuple(Contrast(name=n, rule="above", threshold=0.1, words=n) for n in ("x", "y"))
    values = {"x": np.array([0.2 + a for a in AROUND]), "y": np.array([0.0 + a for a in AROUND])}
    every = judge_family({"m": (made(contrasts=both), Evidence(values=values))})["m"]
    some = judge_family({"m": (made(contrasts=both, joined="any"), Evidence(values=values))})["m"]
    assert (every.verdict, every.deciding) == ("contradicted", "y")
    assert (some.verdict, some.deciding) == ("supported", "x")


@pytest.mark.parametrize(
    ("rule", "threshold", "centre", "is_short"),
    [
        ("above", 0.1, 0.05, True),
        ("above", 0.1, 0.0, False),
        ("above", 0.1, -0.05, False),
        ("above", 0.0, -0.05, False),
        ("below", -0.1, -0.05, True),
        ("below", 0.1, 0.2, False),
        ("within", 0.1, 0.2, False),
    ],
)
def test_what_is_short_of_the_margin_says_so_beside_the_verdict(
    rule: str, threshold: float, centre: float, is_short: bool
) -> None:
    values = np.array([centre + a for a in AROUND])
    found = judge_family({"made": (made(rule, threshold), Evidence(values={"x": values}))})["made"]
    assert found.verdict == "contradicted"
    words = "in the claimed direction, but less than the margin"
    assert found.aside == (words if is_short else "")
    assert (words in found.why) is is_short


def test_what_is_not_shown_to_be_above_zero_is_not_called_so() -> None:
    values = np.array([0.004 + 10 * a for a in AROUND])
    found = judge_family({"made": (made("above", 0.1), Evidence(values={"x": values}))})["made"]
    assert found.low is not None and found.effect is not None
    assert found.low < 0.0 < found.effect
    assert (found.verdict, found.aside) == ("contradicted", "")


def test_a_bound_of_the_effect_decides_nothing_and_keeps_its_place_in_the_family() -> None:
    values = {"x": np.array([0.2 + a for a in AROUND])}
    bounded = made(decides_nothing=lambda values: "The grid must grow.")
    weaker = {"x": np.array([0.2 + 5 * a for a in AROUND])}
    other = {"other": (made(), Evidence(values=weaker))}
    found = judge_family({"made": (bounded, Evidence(values=values)), **other})
    plain = judge_family({"made": (made(), Evidence(values=values)), **other})
    assert found["made"].verdict == "undecided"
    assert found["made"].why.endswith("The grid must grow.")
    assert found["made"].effect == pytest.approx(0.2)
    assert found["other"].level == plain["other"].level
    # The first of four tests it is now, where it was the second.
    assert plain["other"].p_value is not None
    assert found["other"].p_value == pytest.approx(plain["other"].p_value * 4 / 3)


def test_a_share_of_no_gain_decides_nothing() -> None:
    """On a base that knows the data full tuning gains nothing, and the ratio changes its sign."""
    scale = claim_named("scale_closes_gap")
    values: dict[str, Any] = {"log_parameters": np.array([5.5, 6.0, 6.5])}
    noise = np.array(AROUND)
    for i, (zero, full, soft) in enumerate([(3.0, 2.0, 2.6), (3.0, 2.0, 2.6), (3.0, 3.05, 3.2)]):
        values |= {f"{i}/zero_shot": np.array(zero)}
        values |= {f"{i}/full": full + noise, f"{i}/soft": soft + noise[::-1]}
    found = judge_family({scale.name: (scale, Evidence(values=values))})[scale.name]
    assert found.verdict == "undecided"
    assert "On the base of 3.2 million parameters full tuning ends no better" in found.why
    forgets = claim_named("tuning_forgets")
    values = {
        **{"forget:zero_shot": np.array(1.2), "forget:zero_shot@corpus": np.array(1.0)},
        **{"forget:full": 1.1 + noise, "forget:full@corpus": 1.3 + noise},
        **{"forget:lora_8": 1.25 + noise, "forget:lora_8@corpus": 1.3 + noise},
    }
    found = judge_family({forgets.name: (forgets, Evidence(values=values))})[forgets.name]
    assert found.verdict == "undecided"
    assert "On the task LoRA ended no better than the untuned base" in found.why


def test_a_best_rate_beside_one_that_diverged_is_not_known() -> None:
    rates = claim_named("rate_of_lora_is_ten_times_full")
    values: dict[str, Any] = {}
    for name, centre, diverged in (("lora", -2.0, 6), ("full", -3.0, 4)):
        for i, loss in enumerate((2.4, 2.2, 2.1, 2.0, 2.05, 2.1, 2.3)):
            values[f"rates:{name}_{i}"] = np.full(5, np.inf if i >= diverged else loss)
            values[f"rates:{name}_{i}#rate"] = np.array(10.0 ** (centre + i / 4))
    found = judge_family({rates.name: (rates, Evidence(values=values))})[rates.name]
    assert found.verdict == "undecided"
    assert "A rate beside the best one diverged with some seed" in found.why
    assert "what tuning gains (full tuning: above)" in found.why


@pytest.mark.parametrize("effect", [0.0, 0.03])
@pytest.mark.parametrize("scale", [0.02, 0.03, 0.04])
def test_what_is_said_to_be_found_of_equivalence_is_found(effect: float, scale: float) -> None:
    """Against both ends of the margin, by simulation."""
    claim, rng = made("within", 0.1), np.random.default_rng(0)
    step, found, reach = 0.05, 0, []
    for _ in range(600):
        values = effect + rng.normal(0.0, scale, 6)
        one = estimate(Evidence(values={"x": values}), claim.contrasts[0], claim)
        found += one.p_support <= step / 2
        reach.append(one.reach(step, step).effect)
    share, typical = found / 600, float(np.median(reach))
    if typical <= 0.1 - effect:
        assert share >= 0.75
    else:
        assert share < 0.85


def test_a_milder_level_asks_for_no_larger_effect() -> None:
    """Also where the far end of the margin is tens of errors away."""
    levels = [0.05 / family for family in range(1, 40)]
    for variance in (0.0207, 0.002, 0.03):
        found = [_detectable_within(0.5, variance**2, 23.9, alpha) for alpha in levels]
        assert np.isfinite(found).all() and (np.diff(found) > 0.0).all()
        assert found[17] < 8 * variance


def test_equivalence_that_no_effect_would_show_is_said_to_be_out_of_reach() -> None:
    claim = made("within", 0.1)
    wide = Evidence(values={"x": np.array([50 * a for a in AROUND])})
    found = judge_family({"made": (claim, wide)})["made"]
    assert found.smallest_effect is not None and found.smallest_effect > 0.1
    beyond = beyond_margin(found.reach, claim)
    assert beyond is not None and "no equivalence within ±0.1, even of an effect of 0" in beyond
    narrow = judge_family({"made": (claim, Evidence(values={"x": np.array(AROUND)}))})["made"]
    assert beyond_margin(narrow.reach, claim) is None
    above = judge_family({"made": (made("above", 0.1), wide)})["made"]
    assert beyond_margin(above.reach, made("above", 0.1)) is None


def test_equivalence_of_several_contrasts_that_was_shown_is_not_said_to_be_out_of_reach() -> None:
    """Where all must hold, each is tested at the claim's level and not at Bonferroni's."""
    names = ("a", "b", "c", "d")
    each = tuple(Contrast(name=n, rule="within", threshold=0.02, words=n) for n in names)
    claim = made(contrasts=each, joined="all")
    values = {name: 0.0105 * np.array([-1.2, -0.8, -0.3, 0.3, 0.8, 1.2]) for name in names}
    found = judge_family({"m": (claim, Evidence(values=values))})["m"]
    assert found.verdict == "supported" and beyond_margin(found.reach, claim) is None
    [one, *_] = found.estimates
    # What Bonferroni's level would say of it, which holds for a verdict against the claim.
    assert one.reach(0.05 / 4, 0.05).margin is not None


def test_a_sentence_of_what_was_measured_ends_the_reason() -> None:
    claim = made(says=lambda values: f"{len(values['x'])} of them.")
    values = np.array([0.2 + a for a in AROUND])
    found = judge_family({"made": (claim, Evidence(values={"x": values}))})["made"]
    assert found.why.endswith("5 of them.")


@pytest.mark.parametrize("joined", ["all", "any"])
@pytest.mark.parametrize("centre", [0.0, 0.2])
def test_an_interval_beyond_the_margin_is_one_of_a_verdict(joined: str, centre: float) -> None:
    """The interval of several contrasts is held to what the rule asks of the side it is on."""
    names = ("x", "y", "z")
    both = tuple(Contrast(name=n, rule="above", threshold=0.1, words=n) for n in names)
    claim = made(contrasts=both, joined=joined)
    spread = np.array(AROUND)
    for scale in np.linspace(5.0, 60.0, 45):
        values = dict.fromkeys(names, centre + scale * spread)
        found = judge_family({"m": (claim, Evidence(values=values))})["m"]
        assert found.low is not None and found.high is not None
        is_beyond = found.low > 0.1 or found.high < 0.1
        assert is_beyond is (found.verdict != "undecided"), scale


def test_the_planned_effect_is_held_to_the_rule_of_several_contrasts() -> None:
    noise = Noise(seed=0.03)
    one = made(planted=Planted(supported={"x": 0.2}, contradicted={"x": 0.0}, noise=noise))
    contrasts = tuple(Contrast(name="x", rule="above", threshold=0.1, words="x") for _ in range(4))
    several = replace(one, contrasts=contrasts, joined="any")
    among_four = planned_reach(one, FULL, family=4)
    assert planned_reach(several, FULL).effect == pytest.approx(among_four.effect)
    values = {"x": np.array([0.2 + 10 * a for a in AROUND])}
    alone = judge_family({"m": (one, Evidence(values=values))})["m"]
    among = judge_family({"m": (several, Evidence(values=values))})["m"]
    assert among.smallest_effect == pytest.approx(alone.estimates[0].reach(0.05 / 4, 0.05).effect)


@pytest.mark.parametrize("rule", ["above", "below", "within"])
def test_on_the_threshold_at_most_one_in_forty_is_called_either_way(rule: str) -> None:
    edge = Planted(supported={"x": 0.1}, contradicted={"x": 0.1}, noise=Noise(seed=0.03, row=0.5))
    counts = simulate(made(rule, planted=edge), Verdict.SUPPORTED, FULL, runs=800)
    # Three standard errors of 800 runs above 2.5 %.
    assert max(counts[Verdict.SUPPORTED], counts[Verdict.CONTRADICTED]) <= 800 * (0.025 + 0.0166)


@pytest.mark.parametrize("cell", [{"ratio": 10.0}, {"shared": 0.5, "ratio": 10.0}, {"rows": 5.0}])
def test_effects_taken_seed_by_seed_are_wrong_no_more_often_than_they_say(
    cell: dict[str, Any],
) -> None:
    # Three standard errors of 400 runs above 2.5 %.
    assert max(wrong_on_the_edge(5, runs=400, **cell)) <= 0.025 + 0.0235


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_rule_finds_the_planted_truth(name: str) -> None:
    truths = (Verdict.SUPPORTED, Verdict.CONTRADICTED)
    for truth, other in (truths, truths[::-1]):
        counts = simulate(claim_named(name), truth, FULL, runs=40, family=len(BUILT_IN))
        assert counts[truth] >= 36, counts
        assert counts[other] <= 1, counts

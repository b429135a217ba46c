"""What single claims make of what was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bakeoff.claims.contract import SIZES, Curve
from bakeoff.claims.estimates import Evidence
from bakeoff.claims.listing import NOMINAL
from bakeoff.claims.rate_of_lora_is_ten_times_full import _STEPS as STEPS
from bakeoff.claims.registry import BUILT_IN, claim_named
from bakeoff.claims.rules import Finding, judge_family

AROUND = np.array([-0.002, -0.001, 0.0, 0.001, 0.002])


def judged(name: str, values: dict[str, Any]) -> Finding:
    evidence = Evidence(values={key: np.asarray(value) for key, value in values.items()})
    return judge_family({name: (claim_named(name), evidence)})[name]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_claim_is_decided_without_what_only_its_figure_has(name: str) -> None:
    claim = claim_named(name)
    trained = {
        f"{part.name}:{entrant}" if part.name else entrant
        for part in claim.design(NOMINAL, SIZES["full"])
        for entrant in part.entrants
    }
    assert set(claim.figure_only) <= trained
    for size in SIZES.values():
        parts = claim.design(NOMINAL, size)
        fronts = [(f"{part.name}:" if part.name else "", part.entrants) for part in parts]
        needed = [n for front, names in fronts for n in names if front + n not in claim.figure_only]
        assert needed or not parts
    means = {key: np.asarray(value, float) for key, value in claim.planted.supported.items()}
    values = {key: v if v.ndim else np.repeat(v, 5) for key, v in means.items()}
    for key in claim.figure_only:
        values.pop(key, None)
    assert all(np.isfinite(effect).all() for effect in claim.statistic(values).values())


def prefixes(*losses: float) -> dict[str, Any]:
    lengths = (1, 5, 20, 50, 100, 256)
    names = dict(zip((f"prefix_{n}" for n in lengths), losses, strict=True))
    tested = {name: loss + i * AROUND for i, (name, loss) in enumerate(names.items(), start=1)}
    return {**tested, **{f"{name}#validation": loss for name, loss in names.items()}}


def test_the_longest_prefix_is_held_against_a_shorter_one_where_it_is_the_best() -> None:
    found = judged("prefix_is_not_monotone", prefixes(2.5, 2.4, 2.3, 2.25, 2.22, 2.2))
    assert found.effect == pytest.approx(-0.02)
    assert found.low is not None and found.high is not None
    assert found.low is not None and found.effect is not None and found.high is not None
    assert found.low < found.effect < found.high
    assert found.verdict == "contradicted"


def test_a_longest_prefix_that_is_hardly_the_best_is_not_decided_for_certain() -> None:
    values = prefixes(2.5, 2.4, 2.3, 2.25, 2.2, 2.199)
    # The test rows say that it is worse by a margin that is open.
    values["prefix_256"] = 2.22 + 20 * AROUND
    assert judged("prefix_is_not_monotone", values).verdict == "undecided"


def rates(lora: float, full: float) -> dict[str, Any]:
    """Losses that are least at these powers of ten, over the rates that are tried."""
    found: dict[str, Any] = {}
    for name, best, centre in (("lora", lora, -2.0), ("full", full, -3.0)):
        for i, step in enumerate(STEPS):
            rate = centre + step
            found[f"rates:{name}_{i}"] = 2.0 + 0.1 * (rate - best) ** 2 + 0.2 * AROUND * step
            found[f"rates:{name}_{i}#rate"] = 10.0**rate
    return found


@pytest.mark.parametrize(
    ("lora", "full", "verdict", "words"),
    [
        (-2.0, -3.0, "supported", ""),
        (-2.65, -3.0, "contradicted", ""),
        # The parabola ends before the edge, and only the edge's side was tried.
        (-2.8, -3.0, "undecided", "the lowest of LoRA"),
        (-2.0, -2.1, "undecided", "the highest of full tuning"),
        (-3.4, -3.0, "undecided", "the lowest of LoRA"),
        (-0.5, -3.0, "undecided", "the highest of LoRA"),
        (-2.0, -4.4, "undecided", "the lowest of full tuning"),
        (-0.6, -1.6, "undecided", "the highest of LoRA and the highest of full tuning"),
    ],
)
def test_a_best_rate_at_the_edge_decides_nothing(
    lora: float, full: float, verdict: str, words: str
) -> None:
    found = judged("rate_of_lora_is_ten_times_full", rates(lora, full))
    assert found.verdict == verdict
    assert words in found.why
    assert ("the grid must grow" in found.why) is bool(words)


def test_the_best_of_the_prompts_is_not_the_luckiest_draw() -> None:
    values: dict[str, Any] = {f"prompts:prompt_{i}": 2.9 + i / 20 for i in range(1, 9)}
    values["prompts:soft"] = 2.5 + AROUND
    # Worse than the first written prompt on average, though one draw is far better.
    values["prompts:few_shot"] = np.array([2.0, 3.2, 3.2, 3.2, 3.2])
    assert judged("soft_beats_discrete", values).effect == pytest.approx(0.45)
    values["prompts:few_shot"] = np.array([2.6, 2.8, 2.6, 2.8, 2.7])
    found = judged("soft_beats_discrete", values)
    assert found.effect == pytest.approx(0.2)
    # Draws vary, and so does the effect.
    assert np.ptp(found.estimates[0].per_repeat) > 0.15


def test_the_input_that_a_prompt_takes_is_said() -> None:
    values: dict[str, Any] = {"whole:soft_64": 2.3 + AROUND, "shared:soft_64": 2.35 - AROUND}
    assert "input" not in judged("prompts_cost_length", values).why
    values |= {"whole:rows#input": 120.0, "shared:rows#input": 66.0}
    assert "120 tokens" in judged("prompts_cost_length", values).why
    assert "66 are left where the room is shared, 45% fewer" in (
        judged("prompts_cost_length", values).why
    )
    values |= {"whole:zero_shot": 3.0, "shared:zero_shot": 4.14}
    assert (
        "the untuned base's loss changes by +1.14 nats" in judged("prompts_cost_length", values).why
    )
    curve = claim_named("prompts_cost_length").curve({k: np.asarray(v) for k, v in values.items()})
    assert isinstance(curve, Curve)
    assert [point[1] for point in curve.points] == [120.0, 66.0]


def test_that_validation_chose_no_worked_example_is_said() -> None:
    claim = claim_named("soft_beats_discrete")
    asked = {"prompts:few_shot": np.array([3.0, 3.0]), "prompts:zero_shot": np.array(3.0)}
    assert "no worked example" in claim.says(asked)
    assert not claim.says({**asked, "prompts:few_shot": np.array([3.0, 2.9])})
    assert not claim.says({"prompts:few_shot": np.array([3.0, 3.0])})


def test_losses_are_drawn_over_the_rates_that_were_tried() -> None:
    claim = claim_named("rate_of_lora_is_ten_times_full")
    values = {
        **{
            f"rates:{name}_{i}": np.array([2.0 + i, 3.0 + i])
            for name in ("lora", "full")
            for i in range(len(STEPS))
        },
        **{
            f"rates:{name}_{i}#rate": np.array(10.0**-i)
            for name in ("lora", "full")
            for i in range(len(STEPS))
        },
    }
    curves = claim.curve(values)
    assert isinstance(curves, list) and len(curves) == 2
    labels = ["1", "0.1", "0.01", "0.001", "0.0001", "1e-05", "1e-06"]
    assert [label for label, _, _ in curves[0].points] == labels
    assert [mean for _, mean, _ in curves[1].points] == [2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5]


def test_a_lowest_loss_at_the_last_rate_is_at_the_edge() -> None:
    """Also where the parabola ends before it."""
    values = rates(-2.0, -3.0)
    for i, loss in enumerate((2.6, 2.5, 2.4, 2.3, 2.2, 2.05, 2.02)):
        values[f"rates:lora_{i}"] = loss + 0.1 * AROUND * (i - 3)
    found = judged("rate_of_lora_is_ten_times_full", values)
    assert found.verdict == "undecided" and "failed" not in found.why
    assert "the highest of LoRA" in found.why


def test_a_best_rate_beside_a_ruined_one_is_not_known_to_a_parabola() -> None:
    """How much a rate that is too high ruins is no measure of where the best lies."""
    found = {}
    for ruined in (2.03, 2.6):
        values = rates(-2.0, -3.0) | {"rates:zero_shot": np.array(3.0)}
        values["rates:lora_4"] = ruined + AROUND
        found[ruined] = judged("rate_of_lora_is_ten_times_full", values)
    assert found[2.03].verdict == "supported"
    assert found[2.6].verdict == "undecided"
    assert "more than a tenth of what tuning gains (LoRA: above)" in found[2.6].why
    assert "may be 0.25 of a decade away, of a margin of 0.5" in found[2.6].why


def test_a_best_rate_beside_a_much_lower_one_that_learns_nothing_is_not_known_either() -> None:
    values = rates(-2.0, -3.0) | {"rates:zero_shot": np.array(3.0)}
    values["rates:full_2"] = 2.4 + AROUND
    found = judged("rate_of_lora_is_ten_times_full", values)
    assert found.verdict == "undecided" and "(full tuning: below)" in found.why


def test_seeds_are_fitted_at_the_same_rates() -> None:
    """A rate that is ruined in the mean is left out of those seeds with which it is not, too."""
    claim = claim_named("rate_of_lora_is_ten_times_full")
    values = rates(-2.05, -3.05) | {"rates:zero_shot": np.array(3.0)}
    without = claim.statistic(values)["decades"]
    values["rates:lora_5"] = np.array([2.08, 2.08, 2.2, 2.2, 2.2])
    found = claim.statistic(values)["decades"]
    np.testing.assert_allclose(found, without, atol=0.01)
    assert judged(claim.name, values).verdict == "supported"


def test_a_ruined_rate_further_off_does_not_move_the_best() -> None:
    values = rates(-2.05, -3.05) | {"rates:zero_shot": np.array(3.0)}
    best = judged("rate_of_lora_is_ten_times_full", values)
    values["rates:lora_5"] = 2.9 + AROUND
    again = judged("rate_of_lora_is_ten_times_full", values)
    assert best.effect == pytest.approx(0.0, abs=1e-6)
    assert again.effect == pytest.approx(0.0, abs=0.01) and again.verdict == "supported"

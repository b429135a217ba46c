"""A claim's rule held against planted truths: worlds in which it is known to hold, or not to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from bakeoff.claims.contract import Claim, Contrast, Floats, Noise, Planted, Size
from bakeoff.claims.estimates import Evidence, Reach, estimate
from bakeoff.claims.rules import Verdict, judge_family, steps

BLOCKS = 20
"""Of test rows, left out one at a time."""


def planted_evidence(
    claim: Claim, truth: Verdict, size: Size, rng: np.random.Generator
) -> Evidence:
    """What a study in a planted world might measure.

    Args:
        truth: ``supported`` or ``contradicted``.
    """
    world = claim.planted
    means = world.supported if truth is Verdict.SUPPORTED else world.contradicted
    repeats = {"seeds": size.seeds, "rounds": size.rounds, "matrices": 16}[claim.repeats]
    drawn = {
        name: _drawn(name, np.asarray(mean, dtype=np.float64), repeats, world.noise, size, rng)
        for name, mean in means.items()
    }
    values = {name: found + rows.mean() for name, (found, rows) in drawn.items()}
    without = [
        {name: found + np.delete(rows, j).mean() for name, (found, rows) in drawn.items()}
        for j in range(BLOCKS if world.noise.row else 0)
    ]
    return Evidence(values=values, without=without)


def _drawn(
    name: str, mean: Floats, repeats: int, noise: Noise, size: Size, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """A condition's values [S], and [BLOCKS] what each block of rows adds to them."""
    none = np.zeros(BLOCKS)
    if "log_parameters" in name or "#rate" in name:
        return mean, none
    rows = rng.normal(0.0, noise.row * np.sqrt(BLOCKS / size.test_rows), BLOCKS)
    if "zero_shot" in name or ":prompt_" in name:
        return mean, rows
    return mean + rng.normal(0.0, noise.seed, repeats), rows


def simulate(
    claim: Claim, truth: Verdict, size: Size, *, runs: int = 200, seed: int = 0, family: int = 1
) -> Counter[Verdict]:
    """How often each verdict is given in a planted world.

    Args:
        runs: how many studies. seed: of all that is drawn.
        family: claims of the run that are corrected for together; the others are as clear.
    """
    rng = np.random.default_rng([seed, sum(map(ord, claim.name)), truth is Verdict.SUPPORTED])
    counts: Counter[Verdict] = Counter()
    for _ in range(runs):
        found = planted_evidence(claim, truth, size, rng)
        # The first step of Holm's correction, as if no other claim were decided.
        judged = judge_family({claim.name: (claim, found)}, alpha=0.05 / family)
        counts[judged[claim.name].verdict] += 1
    return counts


def planned_reach(claim: Claim, size: Size, *, family: int = 1, seed: int = 0) -> Reach:
    """What a design finds with 80 % probability.

    From the claim's own noise, which was assumed before anything was measured, as a mean over some
    planted studies; a run states it again from what it measured.
    """
    levels = steps(claim, 0.05 / family)
    rng = np.random.default_rng(seed)
    found, pick = [], max if claim.joined == "all" else min
    for _ in range(20):
        evidence = planted_evidence(claim, Verdict.SUPPORTED, size, rng)
        each = [estimate(evidence, one, claim).reach(*levels) for one in claim.contrasts]
        found.append(pick(each, key=lambda one: one.effect))
    margins = [one.margin for one in found if one.margin is not None]
    # As often as not equivalence is found: then it is in reach.
    is_beyond = 2 * len(margins) > len(found)
    return Reach(
        effect=float(np.mean([one.effect for one in found])),
        margin=float(np.mean(margins)) if is_beyond else None,
    )


def wrong_on_the_edge(
    repeats: int,
    *,
    ratio: float = 1.0,
    shared: float = 0.0,
    rows: float = 0.0,
    skewed: bool = False,
    runs: int = 2000,
    alpha: float = 0.05,
) -> tuple[float, float]:
    """How often a difference of two conditions is called where it lies on its threshold.

    The effect is taken seed by seed, as every claim's is, though the seeds of two conditions share
    nothing but the order of the data.

    Args:
        repeats: seeds of each. ratio: of their variances. shared: of the variance of the first,
            what both have in common in a seed.
        rows: variance of the test rows' part over that of the seeds' mean.
        skewed: seeds vary exponentially and not normally. alpha: for both verdicts together.

    Returns:
        Shares called supported and contradicted; each should be at most half of ``alpha``.
    """
    claim, rng = _difference(), np.random.default_rng([repeats, round(10 * ratio), skewed])
    counts: Counter[Verdict] = Counter()
    for _ in range(runs):
        drawn = (
            rng.exponential(1.0, (3, repeats)) - 1.0 if skewed else rng.normal(size=(3, repeats))
        )
        own = math.sqrt(1.0 - shared)
        values = {
            "a": own * drawn[0] + math.sqrt(shared) * drawn[2],
            "b": math.sqrt(ratio) * (own * drawn[1] + math.sqrt(shared) * drawn[2]),
        }
        part = rng.normal(0.0, math.sqrt(BLOCKS * rows * (1.0 + ratio) / repeats), BLOCKS)
        without = [
            {**values, "a": values["a"] + np.delete(part, j).mean()}
            for j in range(BLOCKS if rows else 0)
        ]
        values["a"] = values["a"] + part.mean()
        found = Evidence(values=values, without=without)
        counts[judge_family({"edge": (claim, found)}, alpha=alpha)["edge"].verdict] += 1
    return counts[Verdict.SUPPORTED] / runs, counts[Verdict.CONTRADICTED] / runs


def _difference() -> Claim:
    """The plainest claim: one condition's loss is above another's."""
    one = Contrast(name="difference", rule="above", threshold=0.0, words="a minus b")
    words: dict[str, Any] = dict.fromkeys(
        ("title", "source", "hypothesis", "supported_if", "contradicted_if", "does_not_show"), ""
    )
    return Claim(
        name="edge",
        **words,
        unit="",
        contrasts=(one,),
        statistic=lambda values: {"difference": values["a"] - values["b"]},
        planted=Planted(supported={}, contradicted={}, noise=Noise(seed=1.0)),
    )


def planted_table(
    claims: Mapping[str, Claim], size: Size, *, runs: int = 200, family: int = 1
) -> list[dict[str, Any]]:
    """One row for each claim: shares of right, wrong and undecided verdicts in both worlds."""
    rows = []
    for name, claim in claims.items():
        row: dict[str, Any] = {"claim": name, "size": size.name}
        for truth, other in (
            (Verdict.SUPPORTED, Verdict.CONTRADICTED),
            (Verdict.CONTRADICTED, Verdict.SUPPORTED),
        ):
            counts = simulate(claim, truth, size, runs=runs, family=family)
            row |= {f"right_{truth}": counts[truth] / runs, f"wrong_{truth}": counts[other] / runs}
        rows.append({**row, "smallest_effect": planned_reach(claim, size, family=family).effect})
    return rows

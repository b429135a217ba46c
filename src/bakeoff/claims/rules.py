"""What decides a claim: intervals of effects against thresholds, one family for a run's claims.

Each contrast has two one-sided tests against its threshold, one for each side, by its effect and
error (see ``estimates``); all claims' tests are one family under Holm's correction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from bakeoff.claims.contract import Claim
from bakeoff.claims.estimates import Estimate, Evidence, Reach, cheapest, estimate
from bakeoff.decide.referee.holm import holm

ALPHA = 0.05
LEAST_REPEATS = 5
_LATER_STEP = (
    " The interval, at the level of the family's first test, reaches over the margin; Holm's later "
    "tests are at milder levels, and this verdict's is one of them (corrected p = {p_value:.2g})."
)
_ASIDE = "in the claimed direction, but less than the margin"
_NOT_FINITE = "Something that was measured is not a finite number; its study's report says what."


class Verdict(StrEnum):
    """What a run says of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    UNTESTABLE = "untestable"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a run says of one claim.

    Attributes:
        effect, low, high: of the contrast that decides; None where nothing was measured.
        level: of the interval. p_value: of the verdict, corrected for the family.
        aside: what must be read beside the verdict; empty where it says all.
        reach: what this design tells of that contrast with 80 % probability; None with one repeat.
        why: the verdict in sentences; ``undecided`` says what it would take.
    """

    name: str
    verdict: Verdict
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float
    level: float
    p_value: float | None = None
    repeats: int = 0
    reach: Reach | None = None
    deciding: str | None = None
    aside: str = ""
    why: str
    estimates: tuple[Estimate, ...] = ()

    @property
    def smallest_effect(self) -> float | None:
        """How far from the margin an effect must lie for this design to tell; see ``Reach``."""
        return None if self.reach is None else self.reach.effect


def judge_family(
    evidence: Mapping[str, tuple[Claim, Evidence]], *, alpha: float = ALPHA, others: int = 0
) -> dict[str, Finding]:
    """The verdicts on a run's claims.

    A claim that waits for its measurement has a place in the family, with p-values of 1: what a
    budget has come to so far is held to the same level as the whole, and a verdict that it gives
    is not taken back because others were measured after it.

    Args:
        evidence: by name, what was measured for each claim.
        alpha: 1 minus the level of all verdicts together.
        others: claims of the family that were tested before and are not decided again. They take
            its mildest steps, so that they make no other verdict surer.
    """
    tested = {
        name: tuple(estimate(found, one, claim) for one in claim.contrasts)
        for name, (claim, found) in evidence.items()
        if found.untestable is None and found.unmeasured is None
    }
    for name, estimates in list(tested.items()):
        if not all(math.isfinite(one.effect) and math.isfinite(one.error) for one in estimates):
            evidence = {**evidence, name: (evidence[name][0], Evidence(untestable=_NOT_FINITE))}
            del tested[name]
    void = {n: evidence[n][0].decides_nothing(evidence[n][1].values) for n in tested}
    enough = [n for n, found in tested.items() if _is_enough(evidence[n][0], found)]
    decided = [name for name in enough if not void[name]]
    # Whatever decides nothing yet keeps its place in the family.
    waiting = sum(one.untestable is None for _, one in evidence.values()) - len(decided)
    pairs = [_joined(evidence[name][0], tested[name]) for name in decided]
    pairs += [(1.0, 1.0)] * (waiting + others)
    family = holm(np.array(pairs, dtype=np.float64).reshape(-1)).reshape(-1, 2)
    adjusted = dict(zip(decided, family[: len(decided)].tolist(), strict=True))
    size = max(1, len(pairs))
    found: dict[str, Finding] = {}
    for name, (claim, one) in evidence.items():
        if name not in tested:
            found[name] = Finding(
                name=name,
                verdict=Verdict.UNTESTABLE if one.unmeasured is None else Verdict.UNDECIDED,
                margin=claim.margin,
                level=1.0 - alpha,
                why=one.untestable or one.unmeasured or "",
            )
        else:
            finding = _finding(claim, tested[name], adjusted.get(name), alpha, size, void[name])
            says = claim.says(one.values)
            found[name] = replace(finding, why=f"{finding.why} {says}") if says else finding
    return found


def is_testable(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of ``claims.json`` is of a claim that has a place in its family."""
    return entry.get("verdict") != Verdict.UNTESTABLE


def _joined(claim: Claim, found: Sequence[Estimate]) -> tuple[float, float]:
    """The claim's two p-values from its contrasts': the largest where all must hold, the smallest,
    times their number, where one does."""
    support = [one.p_support for one in found]
    contradict = [one.p_contradict for one in found]
    if claim.joined == "any":
        return min(1.0, len(found) * min(support)), max(contradict)
    return max(support), min(1.0, len(found) * min(contradict))


def steps(claim: Claim, alpha: float) -> tuple[float, float]:
    """The levels at which one contrast supports a claim and contradicts it, as ``_joined`` has it.

    Where all contrasts must hold, one of them contradicts the claim, and where one is enough, one
    of them supports it; that one is Bonferroni's. The other verdict needs them all, uncorrected.

    Args:
        alpha: of the claim, at the first step of Holm's correction.
    """
    one_of_them = alpha / len(claim.contrasts)
    return (alpha, one_of_them) if claim.joined == "all" else (one_of_them, alpha)


def _step(claim: Claim, one: Estimate, alpha: float) -> float:
    """The level of the side of its threshold that a contrast's effect is on."""
    return steps(claim, alpha)[one.p_contradict < one.p_support]


def _is_enough(claim: Claim, found: Sequence[Estimate]) -> bool:
    return min(len(one.per_repeat) for one in found) >= LEAST_REPEATS


def _deciding(claim: Claim, found: Sequence[Estimate], verdict: Verdict) -> Estimate:
    """The contrast that the verdict hangs on."""
    if verdict is Verdict.CONTRADICTED:
        pick = min if claim.joined == "all" else max
        return pick(found, key=lambda one: one.p_contradict)
    pick = max if claim.joined == "all" else min
    return pick(found, key=lambda one: one.p_support)


def _finding(
    claim: Claim,
    found: Sequence[Estimate],
    adjusted: Sequence[float] | None,
    alpha: float,
    size: int,
    void: str,
) -> Finding:
    """A claim's finding.

    Args:
        adjusted: p-values for and against; None where there are too few repeats for any.
        alpha: of all claims together. size: how many they are.
        void: why the effect decides nothing, or nothing.
    """
    verdict, p_value = Verdict.UNDECIDED, None
    if adjusted is not None and not void:
        p_value = min(adjusted)
        if adjusted[0] <= alpha:
            verdict, p_value = Verdict.SUPPORTED, adjusted[0]
        elif adjusted[1] <= alpha:
            verdict, p_value = Verdict.CONTRADICTED, adjusted[1]
    one = _deciding(claim, found, verdict)
    step = _step(claim, one, alpha / size)
    repeats = min(len(e.per_repeat) for e in found)
    low, high = one.interval(step) if repeats > 1 else (None, None)
    is_short = verdict is Verdict.CONTRADICTED and one.is_short(step)
    aside = _ASIDE if is_short else ""
    reach = one.reach(*steps(claim, alpha / size)) if repeats > 1 else None
    said = _said(claim, one, repeats, step)
    if verdict is not Verdict.UNDECIDED and _reaches_margin(one, low, high):
        said += _LATER_STEP.format(p_value=p_value)
    if aside:
        said += f" It is {aside}."
    elif void:
        said += f" {void}"
    elif verdict is Verdict.UNDECIDED:
        said += f" {_takes(one, reach, repeats, step, claim.repeats)}"
    return Finding(
        name=claim.name,
        verdict=verdict,
        effect=one.effect,
        low=low,
        high=high,
        margin=one.contrast.threshold,
        level=1.0 - step,
        p_value=p_value,
        repeats=repeats,
        reach=reach,
        deciding=one.contrast.name,
        aside=aside,
        why=said,
        estimates=tuple(found),
    )


def _reaches_margin(one: Estimate, low: float | None, high: float | None) -> bool:
    """Whether an interval holds the threshold, or one of the two of equivalence."""
    margin = one.contrast.threshold
    ends = (-margin, margin) if one.contrast.rule == "within" else (margin,)
    return low is not None and high is not None and any(low < end < high for end in ends)


def _said(claim: Claim, one: Estimate, repeats: int, step: float) -> str:
    """The effect with its interval, and what is asked of it."""
    said = f"{one.contrast.words}: {one.effect:.4g} {claim.unit}"
    if repeats > 1:
        low, high = one.interval(step)
        said += f" ({low:.4g} to {high:.4g})"
    side = {"above": "above ", "below": "below ", "within": "within ±"}[one.contrast.rule]
    return f"{said}; the claim asks for {side}{one.contrast.threshold:g}."


def _takes(one: Estimate, reach: Reach | None, repeats: int, step: float, word: str) -> str:
    """What would decide an effect as large as the one that was seen."""
    if reach is None or repeats < LEAST_REPEATS:
        count = f"one of the {word}" if repeats == 1 else f"{repeats} {word}"
        return (
            f"With {count} nothing is decided; it takes at least {LEAST_REPEATS} with "
            "which every entrant was tested."
        )
    found = cheapest(one, repeats, step)
    if found is None and reach.margin is not None:
        return "No design in reach would show equivalence within so narrow a margin."
    if found is None:
        return (
            "The effect lies on its threshold as far as can be seen; no design in reach would tell."
        )
    more, times = found
    if found == (repeats, 1):
        return (
            f"This design tells an effect of this size four times in five; more {word} would "
            "settle it."
        )
    rows = "" if times == 1 else f"{times} times the test rows and "
    seeds = f"{more} {word}" if more > repeats else f"as many {word}"
    return f"An effect of this size would be found with about {rows}{seeds}."

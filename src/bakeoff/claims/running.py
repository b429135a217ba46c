"""Runs the claims of a run: their studies, what is measured besides, the verdicts.

All that is trained is in studies, which go on where an earlier call ended; what is measured is kept
beside them. So the same command takes up what is there, and one with other claims leaves what is
there as it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.claims.completeness import is_whole
from bakeoff.claims.contract import Curve
from bakeoff.claims.estimates import Evidence, Reach
from bakeoff.claims.evidence import evidence_lacking, evidence_of, lack_of_claim
from bakeoff.claims.kept import is_kept_whole, settle
from bakeoff.claims.measured import try_to_measure
from bakeoff.claims.planning import PlannedStudy, plan_studies, why_untestable
from bakeoff.claims.rules import Finding, is_testable, judge_family
from bakeoff.claims.simulation import planned_reach
from bakeoff.claims.spent import seconds_spent, spend, weights_of
from bakeoff.claims.suite import Failures, Found, Suite, note_claims
from bakeoff.errors import BakeoffError, ConfigError, DataError, StoreError
from bakeoff.execution.stopping import BudgetSpent
from bakeoff.formatting import counted
from bakeoff.measure.fit import DoesNotFitError


def run_suite(suite: Suite) -> Found:
    """Tests the claims, or goes on with them.

    Raises:
        BakeoffError: for bad input. What fails leaves its claims undecided, no more.
    """
    failures = Failures()
    evidence = _untestable(suite, failures)
    # As ``judge_family`` counts: what cannot be tested here has no place in it.
    family = sum(name not in evidence or evidence[name].untestable is None for name in suite.claims)
    family += sum(map(is_testable, suite.carried.values()))
    planned = {name: _planned(suite, name, family, failures) for name in suite.claims}
    testable = {name: claim for name, claim in suite.claims.items() if name not in evidence}
    studies = plan_studies(testable, suite.facts, suite.main, suite.size, suite.data)
    note_claims(suite)
    named = suite.claims if suite.asked is None else suite.asked
    asked = [
        name
        for name in named
        if name in testable
        and (suite.is_anew or not _is_enough(suite, name, _studies_of(name, studies)))
    ]
    if suite.deadline is None:
        _run_studies(suite, studies, asked, failures)
    else:
        _run_in_time(suite, studies, asked, failures)
    seconds = dict.fromkeys(suite.claims, 0.0)
    for study in studies:
        spent, weights = seconds_spent(suite, study), weights_of(suite, study)
        for name in study.claims:
            seconds[name] += study.share(name, weights) * spent
    for name, claim in testable.items():
        own = _studies_of(name, studies)
        evidence[name], taken = evidence_of(suite, name, claim, own, failures)
        seconds[name] += taken
        has_failed = any(study.name in failures.studies for study in own)
        try:
            evidence[name], seconds[name] = settle(
                suite,
                name,
                own,
                evidence[name],
                seconds[name],
                is_run=name in asked,
                is_cut=has_failed or failures.is_stopped(suite) or failures.is_late(suite),
            )
        except Exception as error:  # the disk's, or of a claim of somebody's own
            failures.keep(f"{name}, what is kept of it", error)
    ordered = {name: evidence[name] for name in suite.claims}
    findings = judge_family(
        {n: (suite.claims[n], found) for n, found in ordered.items()},
        others=sum(map(is_testable, suite.carried.values())),
    )
    names = {name: [study.name for study in _studies_of(name, studies)] for name in suite.claims}
    return Found(
        findings=findings,
        evidence=ordered,
        seconds=seconds,
        studies=names,
        curves={
            name: curves_of(suite, name, ordered[name], findings[name], failures)
            for name in ordered
        },
        planned=planned,
        failures=failures,
    )


def _untestable(suite: Suite, failures: Failures) -> dict[str, Evidence]:
    """What is said of the claims of which nothing can be run, by claim."""
    found: dict[str, Evidence] = {}
    for name, claim in suite.claims.items():
        try:
            why = why_untestable(claim, suite.facts, suite.main, suite.size, suite.data)
            if not why:
                plan_studies({name: claim}, suite.facts, suite.main, suite.size, suite.data)
        except Exception as error:  # also of a claim of somebody's own
            found[name] = Evidence(unmeasured=f"Its design failed: {failures.keep(name, error)}")
            continue
        if why:
            found[name] = Evidence(untestable=why)
    return found


def _studies_of(claim: str, studies: Sequence[PlannedStudy]) -> list[PlannedStudy]:
    return [study for study in studies if claim in study.claims]


def _is_enough(suite: Suite, name: str, studies: Sequence[PlannedStudy]) -> bool:
    """Whether a claim whose studies lack something was decided, with all its seeds."""
    return any(not _is_there(suite, study, name) for study in studies) and is_kept_whole(
        suite, name, studies
    )


def _planned(suite: Suite, name: str, family: int, failures: Failures) -> Reach | None:
    """See ``Found.planned``; a planted world that says nothing costs no verdict."""
    try:
        size = suite.data.filled(suite.size)
        reach = planned_reach(suite.claims[name], size, family=max(1, family))
    except Exception as error:  # of a claim of somebody's own
        failures.keep(f"{name}, what its design finds", error)
        return None
    return reach if math.isfinite(reach.effect) else None


def curves_of(
    suite: Suite, name: str, evidence: Evidence, finding: Finding, failures: Failures
) -> list[Curve]:
    """The curves of a claim's figures; none where drawing them fails, which decides nothing."""
    if not finding.estimates:
        return []
    try:
        curves = suite.claims[name].curve(evidence.values)
        return [curves] if isinstance(curves, Curve) else list(curves or ())
    except Exception as error:  # also of a claim of somebody's own
        failures.keep(name, error)
        return []


def _run_in_time(
    suite: Suite, studies: Sequence[PlannedStudy], asked: Sequence[str], failures: Failures
) -> None:
    """Runs claim after claim, in the order of this call, until the budget ends.

    All of them in shared studies take less time, but are decided together at their end. Here
    studies grow by one claim after the other, so that what there is by then is whole. A study that
    the budget ended is the last one of a call: what is left is for its report, and a few seconds of
    the next claim's would bring that one no further.
    """
    begun: list[str] = []
    for name in asked:
        if failures.is_stopped(suite) or failures.is_late(suite):
            return
        begun.append(name)
        own = _studies_of(name, studies)
        late = [one for one in own if not is_whole(suite.place_of(one), _of_call(one, [name]))]
        _run_studies(suite, late, begun, failures)
        claim = suite.claims[name]
        if claim.measure is not None and evidence_lacking(suite, name, own, failures) is None:
            try_to_measure(suite, name, claim.measure, own, failures)


def _of_call(study: PlannedStudy, claims: Sequence[str]) -> Mapping[str, Any]:
    return study.narrowed(claims).mapping


def _run_studies(
    suite: Suite, studies: Sequence[PlannedStudy], claims: Sequence[str], failures: Failures
) -> None:
    """Runs studies for some claims, and with them for those whose scores are there.

    Without the latter a study's results would lose what earlier calls decided by.
    """
    wanted = [study for study in studies if set(study.claims) & set(claims)]
    for i, study in enumerate(wanted):
        there = [name for name in study.claims if _is_there(suite, study, name)]
        new = [name for name in study.claims if name in claims and name not in there]
        new = [name for name in new if (study.name, name) not in failures.refused]
        if not there and not new:
            continue
        called = f"study {i + 1} of {len(wanted)}: {study.name}"
        refusal = _run(suite, study, [*there, *new], called, failures)
        if refusal is None:
            continue
        refused = dict.fromkeys(new, refusal)
        if len(new) > 1:
            refused = _told_apart(suite, study, there, new, called, failures)
        if len(new) != 1 and list(refused.values()) == [refusal] * len(new):
            failures.studies[study.name] = refusal  # it is about none of them
        else:
            failures.refused |= {(study.name, name): why for name, why in refused.items()}


def _told_apart(
    suite: Suite,
    study: PlannedStudy,
    there: Sequence[str],
    new: Sequence[str],
    called: str,
    failures: Failures,
) -> dict[str, str]:
    """Runs a refused study with one claim more at a time.

    Returns:
        By claim, why what it asks for was refused; the others' trainings are run.
    """
    taken, refused = list(there), dict[str, str]()
    for name in new:
        why = _run(suite, study, [*taken, name], called, failures)
        if why is None:
            taken.append(name)
        else:
            refused[name] = why
    return refused


def _run(
    suite: Suite, study: PlannedStudy, claims: Sequence[str], called: str, failures: Failures
) -> str | None:
    """Runs a study with what some claims need, within what is left of the budget.

    Returns:
        Why it was refused for what it asks for, with nothing trained; None where it was not.
    """
    if failures.is_stopped(suite) or failures.is_late(suite):
        return None
    left = None if suite.deadline is None else suite.deadline - time.monotonic()
    place, mapping = suite.place_of(study), _of_call(study, claims)
    suite.say(f"{called}, {counted(len(mapping['methods']), 'method', 'methods')}")
    started, is_new = time.monotonic(), not place.exists()
    try:
        suite.run_study(mapping, place, left)
    except (ConfigError, DataError, DoesNotFitError) as error:
        return str(error)
    except BudgetSpent:
        failures.is_spent = True
        failures.studies.pop(study.name, None)
    except KeyboardInterrupt as error:
        failures.stopped = error
    except Exception as error:
        failures.keep_of_study(study.name, place, error)
    else:
        failures.studies.pop(study.name, None)
    finally:
        _spend(suite, study, time.monotonic() - started, failures, is_new=is_new)
    return None


def _spend(
    suite: Suite, study: PlannedStudy, seconds: float, failures: Failures, *, is_new: bool
) -> None:
    """Keeps what a study took; where that cannot be written, it is one of the call's failures.

    What the study itself failed by comes first.
    """
    try:
        spend(suite, study, seconds, is_new=is_new)
    except StoreError as error:
        if study.name not in failures.studies:
            failures.keep_of_study(study.name, suite.place_of(study), error)


def _is_there(suite: Suite, study: PlannedStudy, claim: str) -> bool:
    """Whether a folder holds what decides a claim of a study, or that nothing will."""
    try:
        lack = lack_of_claim(suite, study, claim)
    except BakeoffError:
        return True  # nothing is left out of what cannot be read
    return lack is None or lack.is_final

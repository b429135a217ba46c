"""What a claim is decided by, from its studies and what was measured, or what of it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bakeoff.claims.completeness import GOES_ON, Lack, lack_of
from bakeoff.claims.contract import Claim
from bakeoff.claims.estimates import Evidence
from bakeoff.claims.measured import Measurement, try_to_measure
from bakeoff.claims.planning import PlannedStudy
from bakeoff.claims.reading import Source, measured_together
from bakeoff.claims.rules import judge_family
from bakeoff.claims.suite import BUDGET_ENDED, INTERRUPTED, Failures, Suite
from bakeoff.errors import BakeoffError
from bakeoff.formatting import join, shown_whole


def evidence_of(
    suite: Suite,
    name: str,
    claim: Claim,
    studies: Sequence[PlannedStudy],
    failures: Failures,
) -> tuple[Evidence, float]:
    """A claim's evidence, and the seconds that measuring it took.

    Whatever fails here leaves this claim undecided, and the others as they are.
    """
    lacking = evidence_lacking(suite, name, studies, failures)
    if lacking is not None:
        return lacking, 0.0
    known = Measurement(values={}, seconds=0.0)
    try:
        if claim.measure is not None:
            made = try_to_measure(suite, name, claim.measure, studies, failures)
            if isinstance(made, Evidence):
                return made, 0.0
            known = made
        found = _gathered(suite, name, claim, studies, known)
        if why := claim.untestable(found.values):
            return replace(found, untestable=why), known.seconds
        judge_family({name: (claim, found)})
    except KeyError as error:
        if known.is_earlier:
            return Evidence(
                unmeasured="An earlier version measured something else; a call that names it "
                "measures it again."
            ), known.seconds
        return _failed(name, error, failures), known.seconds
    except Exception as error:  # also of a claim of somebody's own
        return _failed(name, error, failures), known.seconds
    return found, known.seconds


def _failed(name: str, error: Exception, failures: Failures) -> Evidence:
    return Evidence(unmeasured=f"It failed: {failures.keep(name, error)}", is_fault=True)


def evidence_lacking(
    suite: Suite, name: str, studies: Sequence[PlannedStudy], failures: Failures
) -> Evidence | None:
    """What is said of a claim whose studies lack something; None where they hold all of it."""
    for study in studies:
        try:
            lack = lack_of_claim(suite, study, name)
        except BakeoffError as error:
            failures.studies.setdefault(study.name, str(error))
            lack = Lack(why=str(error))
        if lack is None:
            continue
        if lack.is_final:
            return Evidence(untestable=lack.why)
        refused = failures.refused.get((study.name, name))
        if refused is not None:
            return Evidence(unmeasured=f"What it asks for was refused: {refused}")
        failed = failures.studies.get(study.name)
        if failed is not None:
            return Evidence(unmeasured=f"{study.name} failed: {failed}; {GOES_ON}.")
        if failures.is_stopped(suite):
            return Evidence(unmeasured=f"{lack.why}: {INTERRUPTED}")
        if suite.asked is not None and name not in suite.asked:
            return Evidence(unmeasured=f"{lack.why}; a call that names it goes on.")
        if failures.is_late(suite):
            return Evidence(unmeasured=f"{lack.why}: {BUDGET_ENDED}")
        return Evidence(unmeasured=f"{lack.why}; {GOES_ON}.")
    return None


def lack_of_claim(suite: Suite, study: PlannedStudy, claim: str) -> Lack | None:
    """What a claim's study lacks of what decides it; figures may lack what only they show."""
    place = suite.place_of(study)
    for (of, part), methods in study.methods.items():
        if of != claim:
            continue
        only = suite.claims[claim].figure_only
        needed = Source(place=place, methods=methods, part=part, figure_only=only).needed
        if methods and not needed:
            continue
        lack = lack_of(
            place,
            study.parts[(of, part)],
            methods,
            entrants=needed,
            may_diverge=suite.claims[claim].diverged_is_worst,
        )
        if lack is not None:
            return lack
    return None


def _gathered(
    suite: Suite,
    name: str,
    claim: Claim,
    studies: Sequence[PlannedStudy],
    measured: Measurement,
) -> Evidence:
    """What the studies of a claim found, with what was measured besides."""
    bases = [facts.reference for facts in suite.facts]
    sources = [
        Source(
            place=suite.place_of(study),
            methods=methods,
            part=part,
            base=f"{bases.index(study.base)}/" if claim.over_bases else "",
            sets=study.parts[(of, part)].sets,
            figure_only=claim.figure_only,
            diverged_is_worst=claim.diverged_is_worst,
        )
        for study in studies
        for (of, part), methods in study.methods.items()
        if of == name
    ]
    whole = measured_together(sources)
    if claim.over_bases:
        whole.put("log_parameters", np.log10([facts.parameters for facts in suite.facts]))
    for condition, value in measured.values.items():
        whole.put(condition, value)
    # What is measured besides has no rows: it is the same with each block of them left out.
    without = whole.without if studies else ()
    return Evidence(
        values=whole.values,
        without=without,
        notes=(*whole.notes, *_on_rows(suite, claim)),
        measured_on=measured.on,
    )


def _on_rows(suite: Suite, claim: Claim) -> list[str]:
    """What must be known of the rows that a claim's parts learn, and of parts that ask for more of
    them than there are."""
    there = suite.data.train_rows
    parts = claim.design(suite.main, suite.size)
    notes = list(suite.data.notes) if parts else []
    many = sorted({part.train_rows for part in parts if part.train_rows is not None})
    if there is None or not any(rows > there for rows in many):
        return notes
    return [
        *notes,
        f"There are {shown_whole(there)} training rows, which parts that ask for "
        f"{join([shown_whole(rows) for rows in many if rows > there])} learn from, too.",
    ]

"""Runs the claims of a run: their studies, what is measured besides, the verdicts, the files.

All that is trained is in studies, which go on where an earlier call ended; what is measured is kept
beside them. So the same command takes up what is there.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from bakeoff.claims.contract import BaseFacts, Claim, Size
from bakeoff.claims.measuring import Context
from bakeoff.claims.planning import ClaimData, PlannedStudy, plan_studies, why_untestable
from bakeoff.claims.reading import Source, measured_together
from bakeoff.claims.registry import claim_names
from bakeoff.claims.rules import Evidence, Finding, judge_family
from bakeoff.claims.simulation import smallest_effect
from bakeoff.errors import BakeoffError, StoreError
from bakeoff.files import write_bytes
from bakeoff.runs.folder import CLAIMS_NOTE
from bakeoff.runs.reading import RESULTS_FILE, read_json, read_results
from bakeoff.version import __version__

STUDIES: Final = "studies"
_MEASURED: Final = "measured"
_ENDED: Final = (
    "the budget ended before anything was found; the same command with more of it goes on"
)


class RunStudy(Protocol):
    """Runs a study in a folder, or goes on with it."""

    def __call__(self, mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
        """Returns early once ``seconds`` are spent; None has no end."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A run of claims.

    Attributes:
        claims: by name. facts: of the bases, rising in parameters. main: of the base that claims
            not about scale are tested on. size: of the designs. data: what is learnt.
        device: ``auto``, ``cpu`` or ``cuda``. out: the folder. run_study: see there.
        say: shows what is being done. deadline: on the monotonic clock, None has no end.
    """

    claims: Mapping[str, Claim]
    facts: Sequence[BaseFacts]
    main: BaseFacts
    size: Size
    data: ClaimData
    device: str
    out: Path
    run_study: RunStudy
    say: Callable[[str], None] = lambda text: None
    deadline: float | None = None


@dataclass
class Found:
    """What a run of claims has come to.

    Attributes:
        findings, evidence, seconds: by claim. candidates: how many runs its studies trained.
    """

    findings: dict[str, Finding]
    evidence: dict[str, Evidence]
    seconds: dict[str, float]
    studies: dict[str, list[str]] = field(default_factory=dict)


def run_suite(suite: Suite) -> Found:
    """Tests the claims, or goes on with them.

    Raises:
        BakeoffError: for bad input. A study that fails makes its claims untestable, no more.
    """
    evidence: dict[str, Evidence] = {}
    for name, claim in suite.claims.items():
        why = why_untestable(claim, suite.facts, suite.main, suite.size, suite.data)
        if why:
            evidence[name] = Evidence(untestable=why)
    testable = {name: claim for name, claim in suite.claims.items() if name not in evidence}
    studies = plan_studies(testable, suite.facts, suite.main, suite.size, suite.data)
    if suite.deadline is None:
        failures = _run_studies(suite, studies)
    else:
        failures = _run_in_time(suite, testable)
    seconds = dict.fromkeys(suite.claims, 0.0)
    for name, claim in testable.items():
        own = [study for study in studies if any(of == name for of, _ in study.methods)]
        for study in own:
            seconds[name] += study.share(name) * _seconds_of(suite.out / STUDIES / study.name)
        try:
            evidence[name], taken = _evidence(suite, name, claim, own, failures)
        except BakeoffError as error:
            # What a budget left out of a study has no scores yet.
            is_early = suite.deadline is not None and isinstance(error, StoreError)
            why, taken = str(error), 0.0
            evidence[name] = Evidence(unmeasured=why) if is_early else Evidence(untestable=why)
        seconds[name] += taken
    ordered = {name: evidence[name] for name in suite.claims}
    findings = judge_family({n: (suite.claims[n], found) for n, found in ordered.items()})
    names = {
        name: [study.name for study in studies if any(of == name for of, _ in study.methods)]
        for name in suite.claims
    }
    return Found(findings=findings, evidence=ordered, seconds=seconds, studies=names)


def _run_in_time(suite: Suite, claims: Mapping[str, Claim]) -> dict[str, Evidence]:
    """Runs claim after claim, in their order, until the budget ends.

    All of them in shared studies take less time, but are decided together at their end. Here
    studies grow by one claim after the other, so that what there is by then is whole.

    Returns:
        By study, what is said of its claims where there is nothing of it.
    """
    failures: dict[str, Evidence] = {}
    begun: dict[str, Claim] = {}
    for name, claim in claims.items():
        begun[name] = claim
        planned = plan_studies(begun, suite.facts, suite.main, suite.size, suite.data)
        own = [study for study in planned if any(of == name for of, _ in study.methods)]
        failures |= _run_studies(suite, [one for one in own if not _is_whole(suite, one)])
    return failures


def _is_whole(suite: Suite, study: PlannedStudy) -> bool:
    """Whether an earlier call has tested all of a study, perhaps beside methods of other claims.

    Such a folder is left as it is: a study that takes fewer methods would leave some out of it, for
    the next claim to bring back.
    """
    place = suite.out / STUDIES / study.name
    if not (place / RESULTS_FILE).exists():
        return False
    methods = read_results(place).methods
    sets, seeds = set(study.mapping["also_test"]), study.mapping["protocol"]["seeds"]
    return all(
        name in methods
        and len(methods[name].seeds) == seeds
        and sets <= set(methods[name].also_test)
        for name in study.mapping["methods"]
    )


def _run_studies(suite: Suite, studies: Sequence[PlannedStudy]) -> dict[str, Evidence]:
    """Runs studies.

    Returns:
        By study, what is said of its claims where there is nothing of it.
    """
    failures: dict[str, Evidence] = {}
    if studies:
        _note_claims(suite)
    for i, study in enumerate(studies):
        place = suite.out / STUDIES / study.name
        left = None if suite.deadline is None else suite.deadline - time.monotonic()
        if left is not None and left <= 0.0:
            if not (place / RESULTS_FILE).exists():
                failures[study.name] = Evidence(unmeasured=f"{study.name}: {_ENDED}")
            continue
        suite.say(
            f"study {i + 1} of {len(studies)}: {study.name}, "
            f"{len(study.mapping['methods'])} methods"
        )
        try:
            suite.run_study(study.mapping, place, left)
        except BakeoffError as error:
            failures[study.name] = Evidence(untestable=f"{study.name}: {error}")
        if not (place / RESULTS_FILE).exists():
            failures.setdefault(study.name, Evidence(unmeasured=f"{study.name}: {_ENDED}"))
    return failures


def _note_claims(suite: Suite) -> None:
    """Writes beside the studies whose they are; their reports link to the page by it."""
    folder = suite.out / STUDIES
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / CLAIMS_NOTE
    earlier = note.read_text(encoding="utf-8").split() if note.exists() else []
    names = dict.fromkeys((*(word for word in earlier if word in claim_names()), *suite.claims))
    lines = "".join(f"- {name}\n" for name in names)
    text = f"Studies of `bakeoff claims`; the verdicts are in ../claims.html:\n\n{lines}"
    write_bytes(note, text.encode())


def _seconds_of(place: Path) -> float:
    if not (place / RESULTS_FILE).exists():
        return 0.0
    wall = read_results(place).environment.wall_seconds
    return float(wall.get("total", sum(wall.values())))


def _evidence(
    suite: Suite,
    name: str,
    claim: Claim,
    studies: Sequence[PlannedStudy],
    failures: Mapping[str, Evidence],
) -> tuple[Evidence, float]:
    """What was measured for a claim, and the seconds that measuring it took."""
    bases = [facts.reference for facts in suite.facts]
    sources = [
        Source(
            place=suite.out / STUDIES / study.name,
            methods=methods,
            part=part,
            base=f"{bases.index(study.base)}/" if claim.over_bases else "",
            figure_only=claim.figure_only,
        )
        for study in studies
        for (of, part), methods in study.methods.items()
        if of == name
    ]
    for source in sources:
        if source.needed and source.place.name in failures:
            return failures[source.place.name], 0.0
    whole = measured_together(sources)
    if claim.over_bases:
        whole.put("log_parameters", np.log10([facts.parameters for facts in suite.facts]))
    taken = 0.0
    if claim.measure is not None:
        values, taken = _measured(suite, name, claim.measure, studies)
        for condition, value in values.items():
            whole.put(condition, value)
    draws_rows = bool(studies) and claim.measure is None
    without = whole.without if draws_rows else ()
    return Evidence(values=whole.values, without=without, notes=tuple(whole.notes)), taken


def _measured(
    suite: Suite, name: str, measure: str, studies: Sequence[PlannedStudy]
) -> tuple[dict[str, Any], float]:
    """What a claim's own measurement gives, from the folder where an earlier call made it."""
    place = suite.out / STUDIES / studies[0].name if studies else None
    key = {
        "bakeoff": __version__,
        "base": suite.main.reference,
        "device": suite.device,
        "size": suite.size.name,
        "study": None if place is None else read_results(place).environment.finished,
    }
    file = suite.out / _MEASURED / f"{name}.json"
    kept = read_json(file) if file.exists() else None
    if isinstance(kept, dict) and kept.get("key") == key:
        return {n: np.array(v) for n, v in kept["values"].items()}, float(kept["seconds"])
    suite.say(f"measuring {name}")
    module, _, function = measure.partition(":")
    methods = next(
        (found for study in studies for (of, _), found in study.methods.items() if of == name), {}
    )
    context = Context(
        facts=suite.main, device=suite.device, size=suite.size, place=place, methods=methods
    )
    started = time.monotonic()
    values = getattr(importlib.import_module(module), function)(context)
    seconds = time.monotonic() - started
    content = {"key": key, "seconds": seconds, "values": {n: v.tolist() for n, v in values.items()}}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, (json.dumps(content) + "\n").encode())
    return values, seconds


def planned_effect(suite: Suite, claim: Claim) -> float:
    """The smallest effect that a claim's design finds with 80 % probability, before it is run."""
    return smallest_effect(claim, suite.size, family=len(suite.claims))


def as_mapping(suite: Suite, found: Found) -> dict[str, Any]:
    """``claims.json``."""
    return {
        "claims": {name: _one(suite, found, name) for name in suite.claims},
        "bakeoff": __version__,
        "base": suite.main.reference,
        "bases": {facts.reference: facts.parameters for facts in suite.facts},
        "size": suite.size.name,
        "device": suite.device,
    }


def _one(suite: Suite, found: Found, name: str) -> dict[str, Any]:
    claim, finding = suite.claims[name], found.findings[name]
    return {
        "verdict": str(finding.verdict),
        "effect": finding.effect,
        "low": finding.low,
        "high": finding.high,
        "margin": finding.margin,
        "seeds": finding.repeats,
        "seconds": round(found.seconds[name], 1),
        "smallest_effect": finding.smallest_effect,
        "planned_smallest_effect": planned_effect(suite, claim),
        "why": finding.why,
        "notes": list(found.evidence[name].notes),
        "repeats": claim.repeats,
        "unit": claim.unit,
        "rule": next(
            (c.rule for c in claim.contrasts if c.name == finding.deciding),
            claim.contrasts[0].rule,
        ),
        "deciding": finding.deciding,
        "level": finding.level,
        "p_value": finding.p_value,
        "title": claim.title,
        "source": claim.source,
        "effects": {
            one.contrast.name: {"effect": one.effect, "values": list(one.per_repeat)}
            for one in finding.estimates
        },
        "studies": [f"{STUDIES}/{study}" for study in found.studies.get(name, [])],
    }

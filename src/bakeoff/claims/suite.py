"""Runs the claims of a run: their studies, what is measured besides, the verdicts, the files.

All that is trained is in studies, which go on where an earlier call ended; what is measured is kept
beside them. So the same command takes up what is there, and one with other claims leaves what is
there as it is.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from bakeoff.claims.completeness import GOES_ON, Lack, is_whole, lack_of
from bakeoff.claims.contract import BaseFacts, Claim, Size
from bakeoff.claims.measuring import Context
from bakeoff.claims.planning import ClaimData, PlannedStudy, plan_studies, why_untestable
from bakeoff.claims.reading import Source, measured_together
from bakeoff.claims.registry import claim_names
from bakeoff.claims.rules import Evidence, Finding, judge_family
from bakeoff.claims.simulation import smallest_effect
from bakeoff.errors import BakeoffError, BaseModelError
from bakeoff.files import write_bytes
from bakeoff.runs.folder import CLAIMS_NOTE
from bakeoff.runs.reading import RESULTS_FILE, read_json, read_results
from bakeoff.version import __version__

STUDIES: Final = "studies"
_MEASURED: Final = "measured"
_SECONDS: Final = "seconds.json"
"""Beside the studies: how long each was run, in all calls."""
_ENDED: Final = "the budget ended; the same command with more of it goes on"


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
        asked: the claims of this call, in their order; the others are those that earlier calls
            tested in this folder, of which nothing is run. None asks for all.
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
    asked: Sequence[str] | None = None
    say: Callable[[str], None] = lambda text: None
    deadline: float | None = None

    @property
    def is_late(self) -> bool:
        """Whether the budget has ended."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def place_of(self, study: PlannedStudy) -> Path:
        """A study's folder."""
        return self.out / STUDIES / study.name


@dataclass
class Failures:
    """What went wrong in a call, which a further call may bring.

    Attributes:
        studies, claims: by name, the errors. traces: of those that are faults of a claim's own
            code, or of this program's.
    """

    studies: dict[str, str] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    traces: list[str] = field(default_factory=list)

    def keep(self, claim: str, error: Exception) -> str:
        """Keeps what a claim's measuring or deciding ended with; returns it in words."""
        said = str(error)
        if not isinstance(error, BakeoffError):
            self.traces.append("".join(traceback.format_exception(error)))
            said = f"{type(error).__name__}: {error}"
        self.claims[claim] = said
        return said

    @property
    def said(self) -> list[str]:
        """All of them in sentences."""
        return [f"{name}: {why}" for name, why in (*self.studies.items(), *self.claims.items())]


@dataclass
class Found:
    """What a run of claims has come to.

    Attributes:
        findings, evidence, seconds: by claim. studies: by claim, the names of its studies.
        failures: what went wrong in this call.
    """

    findings: dict[str, Finding]
    evidence: dict[str, Evidence]
    seconds: dict[str, float]
    studies: dict[str, list[str]] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)


def run_suite(suite: Suite) -> Found:
    """Tests the claims, or goes on with them.

    Raises:
        BakeoffError: for bad input. What fails leaves its claims undecided, no more.
    """
    failures = Failures()
    evidence: dict[str, Evidence] = {}
    for name, claim in suite.claims.items():
        why = why_untestable(claim, suite.facts, suite.main, suite.size, suite.data)
        if why:
            evidence[name] = Evidence(untestable=why)
    testable = {name: claim for name, claim in suite.claims.items() if name not in evidence}
    studies = plan_studies(testable, suite.facts, suite.main, suite.size, suite.data)
    _note_claims(suite)
    asked = [name for name in suite.asked or suite.claims if name in testable]
    if suite.deadline is None:
        _run_studies(suite, studies, asked, failures)
    else:
        _run_in_time(suite, studies, asked, failures)
    seconds = dict.fromkeys(suite.claims, 0.0)
    for study in studies:
        spent, weights = _seconds_of(suite, study), _weights_of(suite, study)
        for name in study.claims:
            seconds[name] += study.share(name, weights) * spent
    for name, claim in testable.items():
        own = [study for study in studies if name in study.claims]
        evidence[name], taken = _guarded(suite, name, claim, own, failures)
        seconds[name] += taken
    ordered = {name: evidence[name] for name in suite.claims}
    findings = judge_family({n: (suite.claims[n], found) for n, found in ordered.items()})
    names = {
        name: [study.name for study in studies if name in study.claims] for name in suite.claims
    }
    return Found(
        findings=findings,
        evidence=ordered,
        seconds=seconds,
        studies=names,
        failures=failures,
    )


def _run_in_time(
    suite: Suite, studies: Sequence[PlannedStudy], asked: Sequence[str], failures: Failures
) -> None:
    """Runs claim after claim, in the order of this call, until the budget ends.

    All of them in shared studies take less time, but are decided together at their end. Here
    studies grow by one claim after the other, so that what there is by then is whole.
    """
    begun: list[str] = []
    for name in asked:
        begun.append(name)
        own = [study for study in studies if name in study.claims]
        late = [one for one in own if not is_whole(suite.place_of(one), _of_call(one, [name]))]
        _run_studies(suite, late, begun, failures)
        claim = suite.claims[name]
        if claim.measure is not None and _evidence_lacking(suite, name, own, failures) is None:
            _try_to_measure(suite, name, claim.measure, own, failures)


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
        place = suite.place_of(study)
        left = None if suite.deadline is None else suite.deadline - time.monotonic()
        if left is not None and left <= 0.0:
            continue
        kept = [name for name in study.claims if name in claims or _is_there(suite, study, name)]
        mapping = _of_call(study, kept)
        suite.say(
            f"study {i + 1} of {len(wanted)}: {study.name}, {len(mapping['methods'])} methods"
        )
        started, is_new = time.monotonic(), not place.exists()
        try:
            suite.run_study(mapping, place, left)
        except BakeoffError as error:
            failures.studies[study.name] = str(error)
        else:
            failures.studies.pop(study.name, None)
        finally:
            _spend(suite, study, time.monotonic() - started, is_new=is_new)


def _is_there(suite: Suite, study: PlannedStudy, claim: str) -> bool:
    """Whether a folder holds what decides a claim of a study, or that nothing will."""
    try:
        lack = _lack_of(suite, study, claim)
    except BakeoffError:
        return True  # nothing is left out of what cannot be read
    return lack is None or lack.is_final


def noted_claims(out: Path) -> list[str]:
    """The claims that calls have tested in a folder, of those that are known."""
    note = out / STUDIES / CLAIMS_NOTE
    earlier = note.read_text(encoding="utf-8").split() if note.exists() else []
    known = set(claim_names())
    return [word for word in earlier if word in known]


def _note_claims(suite: Suite) -> None:
    """Writes beside the studies whose they are; their reports link to the page by it."""
    folder = suite.out / STUDIES
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / CLAIMS_NOTE
    names = dict.fromkeys((*noted_claims(suite.out), *suite.claims))
    lines = "".join(f"- {name}\n" for name in names)
    text = f"Studies of `bakeoff claims`; the verdicts are in ../claims.html:\n\n{lines}"
    write_bytes(note, text.encode())


def _spend(suite: Suite, study: PlannedStudy, seconds: float, *, is_new: bool) -> None:
    """Adds to what a study took, also where it was stopped."""
    file = suite.out / STUDIES / _SECONDS
    known = read_json(file) if file.exists() else None
    spent = dict(known) if isinstance(known, dict) else {}
    before = 0.0 if is_new else float(spent.get(study.name, 0.0))
    spent[study.name] = round(before + seconds, 3)
    write_bytes(file, (json.dumps(spent, indent=2) + "\n").encode())


def _seconds_of(suite: Suite, study: PlannedStudy) -> float:
    """What a study took in all calls."""
    file = suite.out / STUDIES / _SECONDS
    known = read_json(file) if file.exists() else None
    return float(known.get(study.name, 0.0)) if isinstance(known, dict) else 0.0


def _weights_of(suite: Suite, study: PlannedStudy) -> dict[str, float] | None:
    """By method what its candidates took of their passes; None where nothing is known of it."""
    place = suite.place_of(study)
    if not (place / RESULTS_FILE).exists():
        return None
    try:
        candidates = read_results(place).candidates.values()
    except BakeoffError:
        return None
    # An epoch's seconds are those of the pass, which its candidates share.
    sizes = Counter(one.cohort for one in candidates if one.cohort is not None)
    weights: dict[str, float] = {}
    for one in candidates:
        taken = sum(epoch.seconds for epoch in one.epochs) / sizes.get(one.cohort or "", 1)
        weights[one.method] = weights.get(one.method, 0.0) + taken
    return weights if sum(weights.values()) > 0.0 else None


def _guarded(
    suite: Suite,
    name: str,
    claim: Claim,
    studies: Sequence[PlannedStudy],
    failures: Failures,
) -> tuple[Evidence, float]:
    """A claim's evidence, and the seconds that measuring it took.

    Whatever fails here leaves this claim undecided, and the others as they are.
    """
    lacking = _evidence_lacking(suite, name, studies, failures)
    if lacking is not None:
        return lacking, 0.0
    taken = 0.0
    try:
        if claim.measure is not None:
            known = _try_to_measure(suite, name, claim.measure, studies, failures)
            if isinstance(known, Evidence):
                return known, 0.0
            taken = known[1]
        found, _ = _evidence(suite, name, claim, studies)
        judge_family({name: (claim, found)})
    except Exception as error:  # also of a claim of somebody's own
        return Evidence(unmeasured=f"It failed: {failures.keep(name, error)}"), taken
    return found, taken


def _evidence_lacking(
    suite: Suite, name: str, studies: Sequence[PlannedStudy], failures: Failures
) -> Evidence | None:
    """What is said of a claim whose studies lack something; None where they hold all of it."""
    for study in studies:
        try:
            lack = _lack_of(suite, study, name)
        except BakeoffError as error:
            failures.studies.setdefault(study.name, str(error))
            lack = Lack(why=str(error))
        if lack is None:
            continue
        if lack.is_final:
            return Evidence(untestable=lack.why)
        failed = failures.studies.get(study.name)
        if failed is not None:
            return Evidence(unmeasured=f"{study.name} failed: {failed}; {GOES_ON}.")
        if suite.asked is not None and name not in suite.asked:
            return Evidence(unmeasured=f"{lack.why}; a call that names it goes on.")
        if suite.deadline is not None:
            return Evidence(unmeasured=f"{lack.why}: {_ENDED}")
        return Evidence(unmeasured=f"{lack.why}; {GOES_ON}.")
    return None


def _lack_of(suite: Suite, study: PlannedStudy, claim: str) -> Lack | None:
    """What a claim's study lacks of what decides it; figures may lack what only they show."""
    place = suite.place_of(study)
    for (of, part), methods in study.methods.items():
        if of != claim:
            continue
        only = suite.claims[claim].figure_only
        needed = Source(place=place, methods=methods, part=part, figure_only=only).needed
        if methods and not needed:
            continue
        lack = lack_of(place, study.parts[(of, part)], methods, entrants=needed)
        if lack is not None:
            return lack
    return None


def _evidence(
    suite: Suite, name: str, claim: Claim, studies: Sequence[PlannedStudy]
) -> tuple[Evidence, float]:
    """What was measured for a claim, and the seconds that measuring it took."""
    bases = [facts.reference for facts in suite.facts]
    sources = [
        Source(
            place=suite.out / STUDIES / study.name,
            methods=methods,
            part=part,
            base=f"{bases.index(study.base)}/" if claim.over_bases else "",
            sets=study.parts[(of, part)].sets,
            figure_only=claim.figure_only,
        )
        for study in studies
        for (of, part), methods in study.methods.items()
        if of == name
    ]
    whole = measured_together(sources)
    if claim.over_bases:
        whole.put("log_parameters", np.log10([facts.parameters for facts in suite.facts]))
    taken = 0.0
    if claim.measure is not None:
        values, taken = _kept(suite, name, studies) or ({}, 0.0)
        for condition, value in values.items():
            whole.put(condition, value)
    draws_rows = bool(studies) and claim.measure is None
    without = whole.without if draws_rows else ()
    return Evidence(values=whole.values, without=without, notes=tuple(whole.notes)), taken


def _try_to_measure(
    suite: Suite, name: str, measure: str, studies: Sequence[PlannedStudy], failures: Failures
) -> tuple[dict[str, Any], float] | Evidence:
    """What a claim's own measurement gives, or why it gives nothing."""
    try:
        kept = _kept(suite, name, studies)
        if kept is not None:
            return kept
        if name in failures.claims:
            return Evidence(unmeasured=f"Measuring failed: {failures.claims[name]}")
        if suite.asked is not None and name not in suite.asked:
            return Evidence(unmeasured="It was not measured; a call that names it goes on.")
        if suite.is_late:
            return Evidence(unmeasured=f"Measuring: {_ENDED}")
        return _measured(suite, name, measure, studies)
    except BaseModelError as error:
        return Evidence(untestable=str(error))
    except Exception as error:  # also of a claim of somebody's own
        return Evidence(unmeasured=f"Measuring failed: {failures.keep(name, error)}")


def _measured(
    suite: Suite, name: str, measure: str, studies: Sequence[PlannedStudy]
) -> tuple[dict[str, Any], float]:
    """Measures, and keeps what was found for later calls."""
    suite.say(f"measuring {name}")
    module, _, function = measure.partition(":")
    context = Context(
        facts=suite.main,
        device=suite.device,
        size=suite.size,
        place=suite.place_of(studies[0]) if studies else None,
        methods=_methods_of(name, studies),
    )
    started = time.monotonic()
    values = getattr(importlib.import_module(module), function)(context)
    seconds = time.monotonic() - started
    content = {
        "key": _key_of(suite, name, studies),
        "seconds": seconds,
        "values": {n: v.tolist() for n, v in values.items()},
    }
    file = suite.out / _MEASURED / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, (json.dumps(content) + "\n").encode())
    return values, seconds


def _kept(
    suite: Suite, name: str, studies: Sequence[PlannedStudy]
) -> tuple[dict[str, Any], float] | None:
    """What an earlier call measured of the same; None where there is nothing."""
    file = suite.out / _MEASURED / f"{name}.json"
    kept = read_json(file) if file.exists() else None
    key = _key_of(suite, name, studies)
    if not isinstance(kept, dict) or not isinstance(kept.get("key"), dict):
        return None
    if {part: kept["key"].get(part) for part in key} != key:
        return None
    return {n: np.array(v) for n, v in kept["values"].items()}, float(kept["seconds"])


def _key_of(suite: Suite, name: str, studies: Sequence[PlannedStudy]) -> dict[str, Any]:
    """What a measurement depends on: the adapters that it reads, not when their study ended."""
    key = {
        "bakeoff": __version__,
        "base": suite.main.reference,
        "size": suite.size.name,
        "adapters": _hash_of_adapters(suite, name, studies),
    }
    # What a call does not run it takes as an earlier one measured it, on whatever device.
    is_run = suite.asked is None or name in suite.asked
    return {**key, "device": suite.device} if is_run else key


def _hash_of_adapters(suite: Suite, name: str, studies: Sequence[PlannedStudy]) -> str | None:
    """SHA-256 of the names and hashes of the tested runs' adapters; None where none are read."""
    if not studies:
        return None
    results = read_results(suite.place_of(studies[0]))
    lines = []
    for method in sorted(set(_methods_of(name, studies).values())):
        record = results.methods[method]
        for run in record.candidates:
            one = results.candidates[run]
            if one.seed in record.seeds:
                lines += [f"{run} {p} {f.sha256}" for p, f in one.files.items() if _is_adapter(p)]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _is_adapter(path: str) -> bool:
    return path.startswith("adapter/")


def _methods_of(name: str, studies: Sequence[PlannedStudy]) -> Mapping[str, str]:
    """By entrant, what the study whose adapters a claim measures calls it."""
    return next(
        (found for study in studies for (of, _), found in study.methods.items() if of == name), {}
    )


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
        "failed": found.failures.said,
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

"""The verdicts as a page: one file that asks nothing of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from bakeoff.claims.contract import Claim, Curve
from bakeoff.claims.figures import curve_figure, effect_figure
from bakeoff.claims.listing import beyond_margin, design_words, finds_words
from bakeoff.claims.registry import claim_names
from bakeoff.claims.rules import ALPHA, Finding, Verdict
from bakeoff.claims.suite import STUDIES, Found, Suite
from bakeoff.formatting import counted, join, shown_count, shown_seconds
from bakeoff.page.frame import frame, make_environment

_ORDER: Final = tuple(Verdict)
_REPORT: Final = "report.html"


def build_page(suite: Suite, found: Found) -> str:
    """The whole page; text is escaped by Jinja, and figures are drawn here."""
    rows = []
    # As the list has them, and not in the order of the calls, which the studies need.
    place = {name: i for i, name in enumerate(claim_names())}
    claims = sorted(suite.claims.items(), key=lambda one: place.get(one[0], len(place)))
    for i, (name, claim) in enumerate(claims):
        finding, evidence = found.findings[name], found.evidence[name]
        figures = [effect_figure(claim, finding, f"effect{i}")]
        lost = []
        for j, curve in enumerate(found.curves.get(name, ())):
            try:
                figures.append(curve_figure(claim, _named(suite, curve), f"curve{i}-{j}"))
            except Exception as error:  # of a claim of somebody's own: the verdicts stand
                lost.append(f"A curve cannot be drawn: {type(error).__name__}: {error}")
        rows.append(
            {
                "name": name,
                "claim": claim,
                "finding": finding,
                "figures": [figure for figure in figures if figure is not None],
                "design": _design(suite, claim),
                "measured_on": evidence.measured_on,
                "finds": finds_words(found.planned.get(name), claim),
                "beyond_margin": beyond_margin(finding.reach, claim),
                "seconds": shown_seconds(found.seconds[name]),
                "spent": found.seconds[name],  # by which the column is sorted
                "studies": [_study(suite, study) for study in found.studies.get(name, [])],
                "bases": _bases(suite) if claim.over_bases else "",
                "notes": (*evidence.notes, *lost),
                "interval": _interval(finding),
                "margin": _margin(claim, finding),
            }
        )
    return (
        make_environment("bakeoff.claims")
        .get_template("claims.html.j2")
        .render(
            **frame("report.js"),
            rows=rows,
            carried=[_carried(name, entry) for name, entry in suite.carried.items()],
            summary=_summary(suite, found),
            suite=suite,
            bases=_bases(suite) if any(one.over_bases for one in suite.claims.values()) else "",
            level=f"{100 * (1 - ALPHA):.0f}",
            total=shown_seconds(sum(found.seconds.values())),
        )
    )


def _design(suite: Suite, claim: Claim) -> str:
    """What the design trains on the run's data, in words; empty where it is broken."""
    try:
        return design_words(claim, suite.size, suite.main, suite.data)
    except Exception:  # of a claim of somebody's own: its verdict says so
        return ""


def _bases(suite: Suite) -> str:
    """All bases of the run with their parameters, in words."""
    return join([f"{one.reference} ({shown_count(one.parameters)})" for one in suite.facts])


def _named(suite: Suite, curve: Curve) -> Curve:
    """A curve over the bases with their names on its x axis."""
    if not curve.of_bases:
        return curve
    named = zip(suite.facts, curve.points, strict=True)
    return replace(curve, points=tuple((base.reference, *point[1:]) for base, point in named))


def _study(suite: Suite, study: str) -> dict[str, str]:
    """A study's name and, where it has come to a report, the way to it."""
    way = f"{STUDIES}/{study}/{_REPORT}"
    return {"name": study, "way": way if (suite.out / way).is_file() else ""}


def _carried(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of a claim that is not installed now: of its entry alone, which some earlier
    version may have written."""
    ends = [entry.get(key) for key in ("low", "high")]
    interval = [f"{end:.3g}" for end in ends if isinstance(end, float)]
    numbers = {
        key: value if isinstance(value := entry.get(key), int | float) else None
        for key in ("effect", "margin", "smallest_effect", "seeds", "seconds")
    }
    return {
        **numbers,
        "name": name,
        "interval": " to ".join(interval) if len(interval) == len(ends) else "",
        "spent": shown_seconds(numbers["seconds"] or 0.0),
        **{key: str(entry.get(key) or "") for key in ("verdict", "why", "title", "source", "rule")},
        "notes": [str(one) for one in entry["notes"]],
    }


def _summary(suite: Suite, found: Found) -> str:
    verdicts = [str(one.verdict) for one in found.findings.values()]
    verdicts += [str(entry.get("verdict")) for entry in suite.carried.values()]
    counts = [(verdict, verdicts.count(verdict)) for verdict in map(str, _ORDER)]
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts if count)
    return f"Of {counted(len(verdicts), 'claim', 'claims')}: {said}."


def _interval(finding: Finding) -> str:
    if finding.low is None or finding.high is None:
        return ""
    return f"{finding.low:.3g} to {finding.high:.3g}"


def _margin(claim: Claim, finding: Finding) -> str:
    one = next((c for c in claim.contrasts if c.name == finding.deciding), claim.contrasts[0])
    return f"±{one.threshold:g}" if one.rule == "within" else f"{one.rule} {one.threshold:g}"

"""``claims.json``."""

from __future__ import annotations

from typing import Any

import numpy as np

from bakeoff.claims.suite import STUDIES, Found, Suite
from bakeoff.version import __version__


def as_mapping(suite: Suite, found: Found) -> dict[str, Any]:
    """``claims.json``."""
    return {
        "claims": {
            **{name: _one(suite, found, name) for name in suite.claims},
            **suite.carried,
        },
        "bakeoff": __version__,
        "base": suite.main.reference,
        "bases": {facts.reference: facts.parameters for facts in (*suite.facts, suite.main)},
        "size": suite.size.name,
        "device": suite.device,
        "failed": found.failures.said,
    }


def _one(suite: Suite, found: Found, name: str) -> dict[str, Any]:
    claim, finding, planned = suite.claims[name], found.findings[name], found.planned.get(name)
    return {
        "verdict": str(finding.verdict),
        "effect": finding.effect,
        "low": finding.low,
        "high": finding.high,
        "margin": finding.margin,
        "seeds": finding.repeats,
        "seconds": round(found.seconds[name], 1),
        "smallest_effect": finding.smallest_effect,
        "planned_smallest_effect": None if planned is None else planned.effect,
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
        "conditions": {
            condition: [float(one) if np.isfinite(one) else None for one in np.atleast_1d(value)]
            for condition, value in found.evidence[name].values.items()
        },
        "measured_on": found.evidence[name].measured_on,
        "studies": [f"{STUDIES}/{study}" for study in found.studies.get(name, [])],
    }

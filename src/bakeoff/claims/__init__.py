"""What papers claim of fine-tuning, each as a small study whose rule is fixed before it is run.

Needs numpy and scipy alone where it decides; what trains or loads a base is imported when it is.
"""

from bakeoff.claims.contract import (
    BaseFacts,
    Claim,
    Contrast,
    Curve,
    Noise,
    Part,
    Planted,
    Size,
    Values,
)
from bakeoff.claims.estimates import Evidence
from bakeoff.claims.registry import claim_named, claim_names, claims_named, register_claim
from bakeoff.claims.rules import Finding, Verdict, judge_family

__all__ = [
    "BaseFacts",
    "Claim",
    "Contrast",
    "Curve",
    "Evidence",
    "Finding",
    "Noise",
    "Part",
    "Planted",
    "Size",
    "Values",
    "Verdict",
    "claim_named",
    "claim_names",
    "claims_named",
    "judge_family",
    "register_claim",
]

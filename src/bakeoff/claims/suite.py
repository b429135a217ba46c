"""A run of claims: what it is given, what goes wrong, what it comes to, whose its folder is."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from bakeoff.claims.contract import BaseFacts, Claim, Curve, Size
from bakeoff.claims.estimates import Evidence
from bakeoff.claims.planning import ClaimData, PlannedStudy
from bakeoff.claims.registry import claim_names
from bakeoff.claims.rules import Finding
from bakeoff.errors import BakeoffError
from bakeoff.files import write_bytes
from bakeoff.runs.folder import CLAIMS_NOTE

STUDIES: Final = "studies"
BUDGET_ENDED: Final = "the budget ended; the same command with more of it goes on"


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
        curves: by claim, those of its figures.
        failures: what went wrong in this call.
    """

    findings: dict[str, Finding]
    evidence: dict[str, Evidence]
    seconds: dict[str, float]
    studies: dict[str, list[str]] = field(default_factory=dict)
    curves: dict[str, list[Curve]] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)


def noted_claims(out: Path) -> list[str]:
    """The claims that calls have tested in a folder, of those that are known."""
    note = out / STUDIES / CLAIMS_NOTE
    earlier = note.read_text(encoding="utf-8").split() if note.exists() else []
    known = set(claim_names())
    return [word for word in earlier if word in known]


def note_claims(suite: Suite) -> None:
    """Writes beside the studies whose they are; their reports link to the page by it."""
    folder = suite.out / STUDIES
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / CLAIMS_NOTE
    names = dict.fromkeys((*noted_claims(suite.out), *suite.claims))
    lines = "".join(f"- {name}\n" for name in names)
    text = f"Studies of `bakeoff claims`; the verdicts are in ../claims.html:\n\n{lines}"
    write_bytes(note, text.encode())

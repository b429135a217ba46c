"""A run of claims: what it is given, what goes wrong, what it comes to, whose its folder is."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from bakeoff.claims.contract import BaseFacts, Claim, Curve, Size
from bakeoff.claims.estimates import Evidence, Reach
from bakeoff.claims.planning import ClaimData, PlannedStudy
from bakeoff.claims.rules import Finding
from bakeoff.errors import BakeoffError
from bakeoff.execution.stopping import StopSignals
from bakeoff.files import disk_errors, write_bytes
from bakeoff.runs.folder import CLAIMS_NOTE

STUDIES: Final = "studies"
EVIDENCE: Final = "evidence"
"""The folder of what each claim was decided by, with a file for each."""
BUDGET_ENDED: Final = "the budget ended; the same command with more of it goes on"
INTERRUPTED: Final = "the call was interrupted; the same command goes on"

NOT_INSTALLED: Final = (
    "This claim is not installed now, so what is said of it is what an earlier call found, "
    "corrected for the claims that there were then; a call in which it is installed, or "
    "registered, decides it with the others."
)
"""The note on a claim whose entry is carried over."""


class RunStudy(Protocol):
    """Runs a study in a folder, or goes on with it."""

    def __call__(self, mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
        """Runs for ``seconds`` at most; None has no end.

        Raises:
            BudgetSpent: they ended it before it was whole.
        """


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A run of claims.

    Attributes:
        claims: by name. facts: of the bases of one family that claims about scale are tested on,
            rising in parameters. main: of the base that the others are tested on, which need not
            be one of these. size: of the designs. data: what is learnt.
        device: ``cpu``, ``cuda`` or ``cuda:1``. out: the folder. run_study: see there.
        asked: the claims of this call, in their order; the others are those that earlier calls
            tested in this folder, of which nothing is run. None asks for all.
        is_anew: whether what is asked for is trained and measured where it was decided and its
            studies are gone; else what was kept of it is enough.
        carried: by name, the entries of claims that earlier calls tested here and that are not
            installed now. They are shown as they are, and count in the family.
        say: shows what is being done. deadline: on the monotonic clock, None has no end.
        signals: entered and deferred, so that what is decided is written; None without signals.
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
    is_anew: bool = True
    carried: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    say: Callable[[str], None] = lambda text: None
    deadline: float | None = None
    signals: StopSignals | None = None

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Inside, a signal ends what is done at once."""
        with nullcontext() if self.signals is None else self.signals.at_once():
            yield

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
        studies, claims: by name, the errors. refused: by study and claim, why the study was refused
            for what the claim asks for. traces: of those that are faults of a claim's own code, or
            of this program's. stopped: the signal that ended the call; None where none did.
        is_spent: whether a study was ended by the budget. Some of it is left then, kept for the
            study's report, in which nothing else is begun.
    """

    studies: dict[str, str] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    traces: list[str] = field(default_factory=list)
    stopped: KeyboardInterrupt | None = None
    is_spent: bool = False

    def is_late(self, suite: Suite) -> bool:
        """Whether the budget has ended the call: nothing more is begun."""
        return self.is_spent or suite.is_late

    def is_stopped(self, suite: Suite) -> bool:
        """Whether a signal has ended the call."""
        if self.stopped is None and suite.signals is not None:
            self.stopped = suite.signals.requested
        return self.stopped is not None

    def keep(self, claim: str, error: Exception) -> str:
        """Keeps what a claim's planning, measuring or deciding ended with; returns it in words."""
        self.claims[claim] = self._in_words(error)
        return self.claims[claim]

    def keep_of_study(self, study: str, place: Path, error: Exception) -> None:
        """Keeps what running a study ended with."""
        said = self._in_words(error)
        if "--fresh" in said:  # an option of bakeoff run
            said += f" (of bakeoff claims: move {place} away, and the same command makes it again)"
        self.studies[study] = said

    def _in_words(self, error: Exception) -> str:
        if isinstance(error, BakeoffError):
            return str(error)
        self.traces.append("".join(traceback.format_exception(error)))
        return f"{type(error).__name__}: {error}"

    @property
    def said(self) -> list[str]:
        """All of them in sentences."""
        refused = {claim: why for (_, claim), why in self.refused.items()}
        all_of_them = (self.studies, refused, self.claims)
        return [f"{name}: {why}" for found in all_of_them for name, why in found.items()]


@dataclass
class Found:
    """What a run of claims has come to.

    Attributes:
        findings, evidence, seconds: by claim. studies: by claim, the names of its studies.
        curves: by claim, those of its figures.
        planned: by claim, what its design finds, as reckoned before it is run; None where its
            planted world does not say.
        failures: what went wrong in this call.
    """

    findings: dict[str, Finding]
    evidence: dict[str, Evidence]
    seconds: dict[str, float]
    studies: dict[str, list[str]] = field(default_factory=dict)
    curves: dict[str, list[Curve]] = field(default_factory=dict)
    planned: dict[str, Reach | None] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)


def noted_claims(out: Path) -> list[str]:
    """The claims that calls have tested in a folder, also those that are not installed now.

    Those of which evidence was kept are among them when the note is gone with the studies.
    """
    note = out / STUDIES / CLAIMS_NOTE
    lines = note.read_text(encoding="utf-8").splitlines() if note.exists() else []
    noted = [line.removeprefix("- ").strip() for line in lines if line.startswith("- ")]
    kept = sorted(file.stem for file in (out / EVIDENCE).glob("[!.]*.json"))
    return list(dict.fromkeys((*noted, *kept)))


def carried_claims(content: object, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The entries of claims that cannot be decided again, as they are not installed now.

    Args:
        content: of the folder's ``claims.json``; anything else holds no entries.
        names: of such claims.

    Returns:
        By name the entry, with a note of that; without the names that have none.
    """
    entries = content.get("claims") if isinstance(content, dict) else None
    found: dict[str, Mapping[str, Any]] = {}
    for name in names:
        entry = entries.get(name) if isinstance(entries, dict) else None
        if isinstance(entry, dict):
            notes = [one for one in entry.get("notes") or () if one != NOT_INSTALLED]
            found[name] = {**entry, "notes": [*notes, NOT_INSTALLED]}
    return found


def note_claims(suite: Suite) -> None:
    """Writes beside the studies whose they are; their reports link to the page by it.

    Raises:
        StoreError: it cannot be written.
    """
    folder = suite.out / STUDIES
    note = folder / CLAIMS_NOTE
    names = dict.fromkeys((*noted_claims(suite.out), *suite.claims))
    lines = "".join(f"- {name}\n" for name in names)
    text = f"Studies of `bakeoff claims`; the verdicts are in ../claims.html:\n\n{lines}"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(note, text.encode())

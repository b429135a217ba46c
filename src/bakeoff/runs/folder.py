"""The run's folder: whose it is, and what it may grow to."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bakeoff.config import dump_yaml, load_yaml
from bakeoff.errors import ConfigError, StoreError
from bakeoff.files import PART, disk_errors, remove_parts
from bakeoff.runs.aside import bring_back, put_aside
from bakeoff.runs.events import EVENTS_FILE
from bakeoff.runs.growth import (
    Growth,
    Outline,
    OutlineOf,
    given_rows_in,
    growth_of,
    ledger_of,
    with_ledger,
    without_free_keys,
)
from bakeoff.runs.hashes import damaged as damaged
from bakeoff.runs.hashes import file_records as file_records
from bakeoff.runs.lock import HOLDER_FILE, LOCK_FILE, locked
from bakeoff.runs.reading import EXAMPLES_FILE as EXAMPLES_FILE
from bakeoff.runs.reading import RESULTS_FILE
from bakeoff.runs.reading import STUDY_FILE as STUDY_FILE
from bakeoff.runs.records import Results
from bakeoff.runs.reserve import RESERVE_FILE, Reserve
from bakeoff.runs.storage import Storage

PREVIOUS_STUDY_FILE = "study.previous.yaml"
INPUTS_FILE = "inputs.json"
SEARCH_FILE = "study.db"
BUDGET_FILE = "budget.json"
"""The shape that a budget gave to the study; written before the folder is its own."""
DATA_FOLDER = "data"
"""Rows that were given in Python, each lot in a folder that a hash of its content names."""
CLAIMS_NOTE = "CLAIMS.md"
"""Beside the folders of studies that ``bakeoff claims`` ran: the names of its claims."""
_PARTS = (
    *(RESULTS_FILE, "baselines", "candidates", "checkpoints", "costs.json", SEARCH_FILE),
    *("cohorts", EVENTS_FILE),
)
_BEFORE_THE_STUDY = (LOCK_FILE, HOLDER_FILE, INPUTS_FILE, RESERVE_FILE, BUDGET_FILE)
_ID_KEY = "run"
_PRICES = "prices"
GoesOn = Callable[[Mapping[str, Any], Mapping[str, Any], Path], str | None]
"""Whether a study may go on with more epochs in the folder of an earlier one, given both, which
differ in nothing else, and the folder: None where it may, else why not."""
_COMPILED_KEY = "compiled"
_PROCESSES_KEY = "processes"
_SOURCES_KEY = "sources"
_GROWN_KEY = "grown"
_STUDY_KEY = "study"
"""The text of ``study.yaml``, so that a torn or edited one is not taken for another study."""
_VERSIONS_KEY = "versions"


class RunFolder(Storage):
    """One study's folder of results.

    Attributes:
        resolved: the study as a plain mapping.
        aside: where an earlier run was put for it; None where none was.
        growth: what differs from the study that the folder holds, all of it allowed.
    """

    def __init__(
        self,
        path: Path,
        resolved: Mapping[str, Any],
        *,
        fresh: bool = False,
        outline_of: OutlineOf = Outline.plain,
        goes_on: GoesOn = lambda before, now, path: "",
    ) -> None:
        """Opens or makes the folder and checks that it is this study's.

        Args:
            path: the folder.
            resolved: the study with every default written out.
            fresh: puts an earlier run aside, under a name with the time, and starts again.
            outline_of: what two studies are compared by.
            goes_on: whether a study with another number of epochs goes on.

        Raises:
            StoreError: if the folder holds another study, or something else, or cannot be written.
        """
        path = path.resolve() if fresh else path  # "." has no name to put aside
        super().__init__(path)
        self.resolved = resolved
        self._is_kept = False  # the study, in ``inputs.json``
        self._is_astray = False  # study.yaml, which differs from it
        self.growth = Growth()
        self._outline_of = outline_of
        self._outline = self._before = outline_of(resolved)
        with disk_errors(path):
            if path.exists() and not path.is_dir():
                raise StoreError(f"{path}: is a file; give another folder with --out")
            known = path / STUDY_FILE
            self.aside: Path | None = None
            if fresh and known.exists():
                self.aside = put_aside(path)
            if known.exists():
                self._check(known, goes_on)
            elif _holds_files(path):
                raise StoreError(
                    f"{path}: holds files but no {STUDY_FILE}, so it is not a run's folder; give "
                    "an empty or new folder with --out"
                )
            try:
                path.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=path):
                    pass
            except OSError:
                self.bring_back()
                raise

    def claim(
        self,
        inputs: Mapping[str, str],
        versions: Mapping[str, str],
        *,
        mix_versions: bool = False,
        also: Mapping[str, str] = MappingProxyType({}),
        sources: Sequence[str] = (),
        compiles: bool = False,
        in_processes: bool | None = None,
    ) -> list[str]:
        """Makes the folder this study's: only once its input has proved to be good.

        A study that was refused leaves nothing behind that would refuse the corrected one.

        Args:
            inputs: a hash of each thing that the study reads, such as its base and its data.
            versions: of the libraries that results depend on.
            mix_versions: goes on with what other versions kept.
            also: hashes of what the study may come to read later, such as further test sets; one
                that is known must be as it was.
            sources: what the files of base and data are known by; other files may well hold the
                same input.
            compiles: whether the base's layers are compiled, see ``compiled_before``.
            in_processes: whether processes run its jobs from here on, see
                ``in_processes_before``; None leaves what was kept.

        Returns:
            What a reader must know: that parts were made with other versions, that it grew.

        Raises:
            StoreError: if what an earlier call kept was made from other inputs, or with other
                versions and they are not to be mixed.
        """
        # Without a study, the inputs are those of a call that ended before the folder was its own.
        is_claimed = (self.path / STUDY_FILE).exists()
        before = self.read_json(INPUTS_FILE) if is_claimed else None
        if not isinstance(before, dict) and self._holds_parts():
            raise StoreError(
                f"{self.path / INPUTS_FILE}: is missing or torn, so that nothing says from what "
                "the parts of this run were made; restore the file, give another folder with "
                "--out, or put the earlier run aside with --fresh"
            )
        if isinstance(before, dict):
            changed = [name for name, value in inputs.items() if before.get(name) != value]
            others = [name for name, value in also.items() if before.get(name, value) != value]
            if others and not changed:
                raise StoreError(
                    f"{self.path}: the {' and the '.join(others)} changed since it was first "
                    "asked; restore what was there, or give the new one another name"
                )
            if changed:
                moved = f" ({'; '.join(self.growth.moved)})" if self.growth.moved else ""
                raise StoreError(
                    f"{self.path}: the {' and the '.join(changed)} changed since this run began"
                    f"{moved}, so its results would not go together; restore what was there, give "
                    "another folder with --out, or put the earlier run aside with --fresh"
                )
            notes = self._check_versions(before.get(_VERSIONS_KEY), versions, mix_versions)
            known = {**before, **also, _SOURCES_KEY: list(sources)}
            if in_processes is not None:
                known[_PROCESSES_KEY] = in_processes
            return [*notes, *self._grow(known, before), *self.restore_study()]
        ledger = ledger_of(self._before, self._outline)
        content: dict[str, Any] = {
            **inputs,
            **also,
            _ID_KEY: uuid.uuid4().hex,
            _VERSIONS_KEY: dict(versions),
        }
        content |= {**ledger, _SOURCES_KEY: list(sources), _STUDY_KEY: self._text}
        if compiles:
            content[_COMPILED_KEY] = True
        if in_processes is not None:
            content[_PROCESSES_KEY] = in_processes
        self.write_json(INPUTS_FILE, content)
        self._write_study()
        return []

    def _grow(self, inputs: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
        """Writes the study that the folder's has become; returns what a reader must know.

        Args:
            inputs: what is to be known of them. before: what is.
        """
        content = {**inputs, **ledger_of(self._before, self._outline)}
        if self.growth or not self._is_kept:
            content[_STUDY_KEY] = self._text
        kept = before.get(_GROWN_KEY)
        notes = list(map(str, kept)) if isinstance(kept, list) else []
        if self.growth.changed:
            has_results = (self.path / RESULTS_FILE).exists()
            seen = ", when results of the test set were there already" if has_results else ""
            changed = "; ".join(self.growth.changed)
            notes.append(f"the study in this folder changed{seen}: {changed}")
            content[_GROWN_KEY] = notes
        # Before the study: neither names that were used nor that it grew may be forgotten.
        if content != before:
            self.write_json(INPUTS_FILE, content)
        self._write_study()
        return notes

    def restore_study(self) -> list[str]:
        """Writes ``study.yaml`` again where it is not the study that ``inputs.json`` keeps.

        Returns:
            What a reader must know of that.
        """
        if not self._is_astray:
            return []
        self._is_astray = False
        with disk_errors(self.path / STUDY_FILE):
            self.write_bytes(PREVIOUS_STUDY_FILE, (self.path / STUDY_FILE).read_bytes())
        self.write_text(STUDY_FILE, self._text)
        return [
            f"{self.path / STUDY_FILE}: was torn or edited since this run wrote it, and was "
            f"written again; what was found there is in {PREVIOUS_STUDY_FILE}"
        ]

    def keep_prices(self, results: Results) -> Results:
        """Results at this study's prices, which decide nothing; written where they are new."""
        prices = self.resolved.get(_PRICES)
        if prices is None or results.study.get(_PRICES) == prices:
            return results
        results = replace(results, study={**results.study, _PRICES: prices})
        self.write_results(results)
        self._write_study()
        return results

    def sources(self) -> list[str] | None:
        """What the files of base and data were known by; None where that was not kept."""
        inputs = self.read_json(INPUTS_FILE)
        found = inputs.get(_SOURCES_KEY) if isinstance(inputs, dict) else None
        return [str(part) for part in found] if isinstance(found, list) else None

    def compiled_before(self) -> bool | None:
        """Whether the run's first call compiled the base's layers; None before there was one."""
        return self._kept(_COMPILED_KEY) is True if self.has_begun else None

    def in_processes_before(self) -> bool | None:
        """Whether processes ran the jobs in the run's last call; None where that was not kept."""
        kept = self._kept(_PROCESSES_KEY)
        return kept if isinstance(kept, bool) else None

    @property
    def has_begun(self) -> bool:
        """Whether an earlier call has made the folder its study's."""
        return (self.path / STUDY_FILE).exists()

    def _kept(self, key: str) -> object:
        inputs = self.read_json(INPUTS_FILE) if self.has_begun else None
        return inputs.get(key) if isinstance(inputs, dict) else None

    def _write_study(self) -> None:
        """Writes the study, and keeps the one that it grew from beside it."""
        place = self.path / STUDY_FILE
        if place.exists():
            if self.growth:
                self._keep_previous(place)
            elif self._is_astray or self._has_these_prices(place):
                return
        self.write_text(STUDY_FILE, self._text)

    def _keep_previous(self, place: Path) -> None:
        if self._is_astray:
            self._is_astray = False
            self.write_text(PREVIOUS_STUDY_FILE, dump_yaml(dict(self._before.resolved)))
        else:
            self.write_bytes(PREVIOUS_STUDY_FILE, place.read_bytes())

    @property
    def _text(self) -> str:
        return dump_yaml(dict(self.resolved))

    def _has_these_prices(self, place: Path) -> bool:
        known = load_yaml(place.read_text(encoding="utf-8"), where=str(place))
        return known.get(_PRICES) == self.resolved.get(_PRICES)

    def _holds_parts(self) -> bool:
        """Whether an earlier call kept anything that a later one takes up."""
        return any((self.path / name).exists() for name in _PARTS)

    def _check_versions(
        self, before: Any, versions: Mapping[str, str], mix_versions: bool
    ) -> list[str]:
        if not isinstance(before, dict):
            raise StoreError(
                f"{self.path}: was begun by an older version of bakeoff, whose candidates this one "
                "cannot take up; finish it with that version, give another folder with --out, or "
                "put the earlier run aside with --fresh"
            )
        changed = [
            f"{name} {before.get(name)} and {version}"
            for name, version in versions.items()
            if before.get(name) != version
        ]
        if not changed:
            return []
        if not mix_versions:
            raise StoreError(
                f"{self.path}: was begun with other versions (there and here: "
                f"{', '.join(changed)}), and results of two versions may differ for that alone; "
                "install those versions, put the earlier run aside with --fresh, or go on with "
                "--mix-versions, which the report says"
            )
        return [f"parts of this run were made with other versions: {', '.join(changed)}"]

    def bring_back(self) -> None:
        """Puts an earlier run back that was put aside for a study which was not begun then.

        What such a study has written is removed: it made the folder, and nothing of it is a run's.
        """
        if self.aside is not None and not self.has_begun:
            bring_back(self.aside, self.path)

    def sweep(self) -> None:
        """Removes what killed processes left half written; only for the folder's holder."""
        with disk_errors(self.path):
            remove_parts(self.path)
        Reserve(self.path).give()

    @property
    def run_id(self) -> str:
        """What distinguishes this run from every other; known once the folder is claimed."""
        inputs = self.read_json(INPUTS_FILE)
        return str(inputs.get(_ID_KEY, "")) if isinstance(inputs, dict) else ""

    def _check(self, known: Path, goes_on: GoesOn) -> None:
        kept = self.read_json(INPUTS_FILE)
        inputs = kept if isinstance(kept, dict) else {}
        before = self._outline_of(self._study_before(known, str(inputs.get(_STUDY_KEY, ""))))
        self._before = with_ledger(before, inputs)
        self.growth = growth_of(
            self._before, self._outline, lambda before, now: goes_on(before, now, self.path)
        )
        if self.growth.refused:
            shown = "\n  ".join([*self.growth.refused, *self.growth.moved][:12])
            changed = ""
            if self._is_astray:
                changed = (
                    f"\n{known}: was torn or edited since this run wrote it; the study that it "
                    f"held is under {_STUDY_KEY} of {INPUTS_FILE}."
                )
            raise StoreError(
                f"{self.path}: holds the results of another study. These keys of {STUDY_FILE} "
                f"differ (there and here):\n  {shown}\n{' '.join(self.growth.why)}"
                f"{changed}\nGive another folder with --out or another name, or put the earlier "
                "run aside with --fresh"
            )

    def _study_before(self, known: Path, text: str) -> Mapping[str, Any]:
        """The study that the folder holds.

        Args:
            known: the path of ``study.yaml``. text: what ``inputs.json`` keeps of it, if anything.
        """
        try:
            study = load_yaml(text, where=f"{self.path / INPUTS_FILE}: {_STUDY_KEY}")
        except ConfigError:
            study = {}
        self._is_kept = bool(study)
        try:
            found = load_yaml(known.read_text(encoding="utf-8"), where=str(known))
        except (ConfigError, UnicodeDecodeError) as error:
            if not study:
                raise StoreError(
                    f"{known}: cannot be read back ({error}); give another folder with --out, or "
                    "start again with --fresh"
                ) from None
            found = {}
        self._is_astray = bool(study) and without_free_keys(found) != without_free_keys(study)
        return study or found

    @property
    def left_out(self) -> frozenset[str]:
        """Ids of candidates that searches of earlier studies began with and this one's do not."""
        return frozenset(self._before.searched) - frozenset(self._outline.searched)

    def holds(self, results: Results) -> bool:
        """Whether results are of this study, and not of one that it grew from."""
        return not growth_of(self._outline_of(results.study), self._outline)


@contextmanager
def open_run(
    path: Path,
    resolved: Mapping[str, Any],
    *,
    fresh: bool = False,
    outline_of: OutlineOf = Outline.plain,
    goes_on: GoesOn = lambda before, now, path: "",
) -> Iterator[RunFolder]:
    """A run's folder, held by this process alone; see ``RunFolder``.

    A study that does not claim it, such as one that was refused, leaves an earlier run as it was.

    Raises:
        StoreError: if another process holds it, and as ``RunFolder`` does.
    """
    path = path.resolve() if fresh else path
    with disk_errors(path):
        if path.exists() and not path.is_dir():
            raise StoreError(f"{path}: is a file; give another folder with --out")
    with ExitStack() as stack:
        stack.enter_context(locked(path, keeps=STUDY_FILE))
        folder = RunFolder(path, resolved, fresh=fresh, outline_of=outline_of, goes_on=goes_on)
        if folder.aside is not None:  # the earlier run's lock is there, too
            stack.callback(folder.bring_back)
            stack.enter_context(locked(path, keeps=STUDY_FILE))
        yield folder


def _holds_files(path: Path) -> bool:
    """Whether a folder holds more than a lock, rows and what a killed run left half written.

    A run that was killed while it claimed the folder left the inputs without the study; one that
    was stopped before left the shape that its budget gave.
    """
    return path.is_dir() and any(
        entry.suffix != PART
        and entry.name not in _BEFORE_THE_STUDY
        and not (entry.name == DATA_FOLDER and _holds_only_rows(entry))
        for entry in path.iterdir()
    )


def _holds_only_rows(path: Path) -> bool:
    return path.is_dir() and all(given_rows_in(f"/{entry.name}") for entry in path.iterdir())

"""What a run keeps of each part, and how a later call takes it up again.

Every file that a result rests on has its hash in the record beside it, and is compared with it
before it is taken up: a torn or changed file is made again, never passed on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import CheckpointError, StoreError
from bakeoff.execution.failures import traceback_of
from bakeoff.execution.findings import Findings
from bakeoff.execution.scores import SetScores, row_values
from bakeoff.files import disk_errors, folder_bytes
from bakeoff.methods.contract import Tensors
from bakeoff.runs.arrays import arrays_bytes, read_arrays
from bakeoff.runs.folder import EXAMPLES_FILE, RunFolder, damaged, file_records
from bakeoff.runs.reading import from_json, to_json
from bakeoff.runs.records import (
    CandidateRecord,
    CostRecord,
    FileRecord,
    Provenance,
)
from bakeoff.types import RunState

_log = logging.getLogger(__name__)
RECORD_FILE = "record.json"
ERROR_FILE = "error.txt"
COSTS_FILE = "costs.json"
NOTES_FILE = "notes.json"
_PREDICTIONS = "predictions.jsonl"
_SCORES = {"test": "scores/test.npz", "validation": "scores/validation.npz"}


class Archive:
    """The run's folder as candidates, predictions, baselines and costs.

    Args:
        folder: the run's, held by this process. bench: the study's base and data.
        findings: what is known; kept in step with the folder.
        made_with: versions and device of this call.
    """

    def __init__(
        self, folder: RunFolder, bench: Workbench, findings: Findings, made_with: Provenance
    ) -> None:
        self.folder = folder
        self.bench = bench
        self.findings = findings
        self.made_with = made_with
        self.faults: list[str] = []
        """What could not be taken up, in words; each is in the notes too."""
        self._recall_notes()

    def ended_candidates(self) -> dict[str, CandidateRecord]:
        """By id, the whole records of candidates that ended; for a run without checkpoints."""
        found = {}
        for place in sorted((self.folder.path / "candidates").glob(f"*/{RECORD_FILE}")):
            record = self._record(place.parent.name)
            if record is None or not record.state.is_final or record.state is RunState.FAILED:
                continue
            if record.state.is_eligible:
                fault = self._damaged_adapter(place.parent, record)
                if fault is not None:
                    self._keep_fault(f"{fault}; {record.id} is trained again")
                    continue
            found[record.id] = record
        return found

    def recall_parts(self) -> None:
        """Takes up everything besides training that an earlier call left whole.

        A candidate whose adapter is gone or damaged is to be trained again, if the test set is for
        it.
        """
        for candidate in self.findings.candidates:
            record = self._record(candidate.id)
            if record is not None and candidate.state.is_final:
                self.findings.records[candidate.id] = record
            if not candidate.state.is_eligible:
                continue
            fault = self._damaged_adapter(self._place(candidate), record)
            if fault is None:
                adapter = self._place(candidate) / "adapter"
                self.findings.adapter_bytes[candidate.id] = folder_bytes(adapter)
            elif candidate in self.findings.finals(candidate.method_name):
                self._keep_fault(f"{fault}; {candidate.id} is trained again")
                self.findings.records.pop(candidate.id, None)
                candidate.start_again()
        for candidate in self.findings.schedule.finals:
            record = self.findings.records.get(candidate.id)
            if record is not None and candidate.state.is_eligible:
                found = self._recall_scores(f"candidates/{candidate.id}", record.files)
                if "test" in found:
                    self.findings.test_scores[candidate.id] = found["test"]
                if "validation" in found:
                    self.findings.validation_scores[candidate.id] = found["validation"]
        for baseline in self.bench.task.baselines:
            self._recall_baseline(baseline.name)
        self._recall_costs()

    def _recall_notes(self) -> None:
        """First of all: the next note is written together with those of earlier calls."""
        place = self.folder.path / NOTES_FILE
        notes = self.folder.read_json(NOTES_FILE)
        if isinstance(notes, list):
            self.findings.notes += [str(note) for note in notes if note not in self.findings.notes]
        elif place.exists():
            self._keep_fault(f"{place}: is torn; what earlier calls noted is lost")

    def _keep_fault(self, note: str) -> None:
        if note not in self.faults:
            _log.warning("%s", note)
            self.faults.append(note)
            self.keep_note(note)

    def _recall_baseline(self, name: str) -> None:
        place = f"baselines/{name}/{RECORD_FILE}"
        kept = self.folder.read_json(place)
        if not isinstance(kept, dict) or not isinstance(kept.get("files"), dict):
            if (self.folder.path / place).exists():
                self._keep_fault(f"{self.folder.path / place}: is torn. What it held is made again")
            return
        where = str(self.folder.path / place)
        try:
            files = {k: from_json(FileRecord, v, where=where) for k, v in kept["files"].items()}
            made_with = from_json(Provenance, kept.get("made_with"), where=where)
        except StoreError as error:
            self._keep_fault(f"{error}. What it held is made again")
            return
        found = self._recall_scores(f"baselines/{name}", files)
        if len(found) == len(_SCORES):
            self.findings.baselines[name] = found["test"]
            self.findings.baselines_validation[name] = found["validation"]
            self.findings.baselines_made_with[name] = made_with

    def _recall_costs(self) -> None:
        kept, place = self.folder.read_json(COSTS_FILE), self.folder.path / COSTS_FILE
        if not isinstance(kept, dict):
            if place.exists():
                self._keep_fault(f"{place}: is torn. What it held is measured again")
            return
        for name, content in kept.items():
            try:
                record = from_json(CostRecord, content, where=f"{place}, {name}")
            except StoreError as error:
                self._keep_fault(f"{error}. It is measured again")
                continue
            if name in self.findings.schedule.methods:
                self.findings.costs[name] = record

    def _record(self, id: str) -> CandidateRecord | None:
        place = f"candidates/{id}/{RECORD_FILE}"
        content = self.folder.read_json(place)
        if content is None:
            if (self.folder.path / place).exists():
                self._keep_fault(f"{self.folder.path / place}: is torn. What it held is made again")
            return None
        try:
            return from_json(CandidateRecord, content, where=str(self.folder.path / place))
        except StoreError as error:
            self._keep_fault(f"{error}. What it held is made again")
            return None

    def _damaged_adapter(self, place: Path, record: CandidateRecord | None) -> str | None:
        """What is wrong with the adapter in a candidate's folder, in words, or None."""
        files = {} if record is None else record.files
        adapter = {name: file for name, file in files.items() if name.startswith("adapter/")}
        if not adapter:
            return f"{place / 'adapter'}: no record of its files was kept"
        return damaged(place, adapter)

    def _recall_scores(self, place: str, files: dict[str, FileRecord]) -> dict[str, SetScores]:
        """By set what was kept whole: all that was kept, or nothing."""
        folder = self.folder.path / place
        names = (_PREDICTIONS, *_SCORES.values())
        rests_on = {name: files[name] for name in names if name in files}
        if _PREDICTIONS not in rests_on or _SCORES["test"] not in rests_on:
            return {}
        fault = damaged(folder, rests_on)
        found: dict[str, SetScores] = {}
        for split, name in _SCORES.items():
            if fault is not None or name not in rests_on:
                continue
            arrays = read_arrays(folder / name)
            size = len(self.bench.data.splits[split])  # type: ignore[index]
            scores = None if arrays is None else SetScores.of_arrays(arrays, size)
            if scores is None:
                fault = f"{folder / name}: holds other scores than this study's"
            else:
                found[split] = scores
        if fault is not None:
            self._keep_fault(f"{fault}; the test set is scored again")
            return {}
        return found

    def keep_candidate(
        self, candidate: Candidate, *, slots: int | None = None, rows: int | None = None
    ) -> None:
        """Writes a candidate that has ended: its curve, and the adapter of its best epoch.

        Args:
            candidate: which. slots: candidates in its pass. rows: of its micro-batches.
        """
        place = f"candidates/{candidate.id}"
        self.folder.write_lines(f"{place}/metrics.jsonl", [asdict(e) for e in candidate.epochs])
        if candidate.state.is_eligible and candidate.tensors is not None:
            with self.folder.new_folder(f"{place}/adapter") as beside:
                candidate.method.save(candidate.tensors, beside)
            adapter = self.folder.path / place / "adapter"
            self.findings.adapter_bytes[candidate.id] = folder_bytes(adapter)
        candidate.tensors = None
        made_with = replace(self.made_with, slots=slots, micro_batch_size=rows)
        self._keep_record(candidate, made_with, ("adapter/*",))

    def keep_failure(self, candidate: Candidate, error: BaseException) -> None:
        """Writes a failed candidate's record, and its whole traceback beside it."""
        self.keep_error(candidate, traceback_of(error))
        self.findings.test_scores.pop(candidate.id, None)
        before = self.findings.records.get(candidate.id)
        self._keep_record(
            candidate, (before and before.made_with) or self.made_with, ("adapter/*",)
        )

    def keep_error(self, candidate: Candidate, text: str) -> None:
        """Writes what went wrong with a candidate, as the interpreter says it."""
        self.folder.write_text(f"candidates/{candidate.id}/{ERROR_FILE}", text.rstrip() + "\n")

    def _keep_record(
        self, candidate: Candidate, made_with: Provenance, patterns: Sequence[str]
    ) -> None:
        """Writes a candidate's record: last, since it says that the rest is whole."""
        place = self._place(candidate)
        files = file_records(place, patterns) if candidate.state.is_eligible else {}
        record = record_of(candidate, made_with, files)
        self.findings.records[candidate.id] = record
        self.folder.write_json(f"candidates/{candidate.id}/{RECORD_FILE}", to_json(record))

    def tensors_of(self, candidate: Candidate) -> Tensors:
        """The best epoch's tensors, read back.

        Raises:
            CheckpointError: if the adapter is not whole.
        """
        folder = self._place(candidate)
        try:
            fault = self._damaged_adapter(folder, self.findings.records.get(candidate.id))
            if fault is not None:
                raise CheckpointError(fault)
            return candidate.method.load(folder / "adapter")
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}. Remove {folder} and run the same command again, which trains it again"
            ) from error

    def forget(self, candidate: Candidate) -> None:
        """Counts nothing of a candidate that goes on; what is on the disk is written over."""
        self.findings.records.pop(candidate.id, None)
        self.findings.test_scores.pop(candidate.id, None)
        self.findings.validation_scores.pop(candidate.id, None)
        self.findings.adapter_bytes.pop(candidate.id, None)

    def forget_costs(self) -> None:
        """Removes what methods cost, which is spread over the epochs."""
        self.findings.costs.clear()
        with disk_errors(self.folder.path):
            (self.folder.path / COSTS_FILE).unlink(missing_ok=True)

    def keep_scores(
        self, candidate: Candidate, answers: Sequence[str], sets: Mapping[str, SetScores]
    ) -> None:
        """Writes a candidate's scores by set and its answers to the test rows.

        Their hashes go into its record.
        """
        self.findings.test_scores[candidate.id] = sets["test"]
        if "validation" in sets:
            self.findings.validation_scores[candidate.id] = sets["validation"]
        place = f"candidates/{candidate.id}"
        self._keep_predictions(place, answers, sets)
        before = self.findings.records[candidate.id]
        made_with = before.made_with or self.made_with
        kept = (*_SCORES.values(), _PREDICTIONS)
        self._keep_record(candidate, made_with, ("adapter/*", *kept))

    def _keep_predictions(
        self, place: str, answers: Sequence[str], sets: Mapping[str, SetScores]
    ) -> None:
        metrics = self.bench.task.metrics
        self.folder.write_lines(
            f"{place}/{_PREDICTIONS}",
            (
                {"index": i, "prediction": answer, **row_values(sets["test"], metrics, i)}
                for i, answer in enumerate(answers)
            ),
        )
        for split, scores in sets.items():
            self.folder.write_bytes(f"{place}/{_SCORES[split]}", arrays_bytes(scores.arrays()))

    def keep_baseline(
        self, name: str, answers: Sequence[str], sets: Mapping[str, SetScores]
    ) -> None:
        """Writes a baseline's scores by set and its answers to the test rows."""
        self.findings.baselines[name] = sets["test"]
        self.findings.baselines_validation[name] = sets["validation"]
        self.findings.baselines_made_with[name] = self.made_with
        place = f"baselines/{name}"
        self._keep_predictions(place, answers, sets)
        files = file_records(self.folder.path / place, (*_SCORES.values(), _PREDICTIONS))
        content: dict[str, Any] = {
            "made_with": to_json(self.made_with),
            "files": {path: to_json(file) for path, file in files.items()},
        }
        self.folder.write_json(f"{place}/{RECORD_FILE}", content)

    def keep_examples(self) -> None:
        """Writes the test rows once, for the report and for readers."""
        if (self.folder.path / EXAMPLES_FILE).exists():
            return
        test = self.bench.data.splits["test"]
        self.folder.write_lines(
            EXAMPLES_FILE,
            (
                {
                    "index": i,
                    "row": int(test.rows[i]),
                    "input": test.shown[i],
                    "reference": test.references[i][0] if test.references[i] else "",
                }
                for i in range(len(test))
            ),
        )

    def keep_baseline_error(self, name: str, text: str) -> None:
        """Writes what went wrong with a baseline, as the interpreter says it."""
        self.folder.write_text(f"baselines/{name}/{ERROR_FILE}", text.rstrip() + "\n")

    def keep_cost(self, name: str, cost: CostRecord) -> None:
        """Writes one method's costs."""
        rows = cost.micro_batch_size
        made_with = replace(self.made_with, slots=1, micro_batch_size=rows)
        self.findings.costs[name] = replace(cost, made_with=made_with)
        content = {key: to_json(record) for key, record in self.findings.costs.items()}
        self.folder.write_json(COSTS_FILE, content)

    def keep_note(self, note: str) -> None:
        """Writes something that the report must say."""
        if note not in self.findings.notes:
            self.findings.notes.append(note)
            self.folder.write_json(NOTES_FILE, self.findings.notes)

    def _place(self, candidate: Candidate) -> Path:
        return self.folder.path / "candidates" / candidate.id


def record_of(
    candidate: Candidate,
    made_with: Provenance | None,
    files: dict[str, FileRecord],
) -> CandidateRecord:
    """A candidate as plain data."""
    return CandidateRecord(
        method=candidate.method_name,
        options=dict(candidate.options),
        variant=candidate.variant,
        learning_rate=candidate.learning_rate,
        seed=candidate.seed,
        state=candidate.state,
        best_epoch=candidate.best_epoch,
        epochs=tuple(candidate.epochs),
        reason=candidate.reason,
        made_with=made_with,
        files=files,
    )

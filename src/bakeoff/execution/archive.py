"""What a run keeps of each part, and how a later call takes it up again.

Every file that a result rests on has its hash in the record beside it, and is compared with it
before it is taken up: a torn or changed file is made again, never passed on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import CheckpointError, StoreError
from bakeoff.execution.failures import traceback_of
from bakeoff.execution.findings import Findings, Floats, TestScores
from bakeoff.files import disk_errors, folder_bytes
from bakeoff.methods.contract import Tensors
from bakeoff.metrics.rouge import ROUGE_KEYS
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
BASELINES = ("lead", "zero_shot")
_PREDICTIONS = "predictions.jsonl"
_SCORES = "scores/test.npz"


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
        lengths_N = np.diff(bench.data.splits["test"].completions.offsets)
        self.tokens_N: Floats = lengths_N.astype(np.float64)
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
                scores = self._recall_scores(f"candidates/{candidate.id}", record.files)
                if scores is not None:
                    self.findings.test_scores[candidate.id] = scores
        for name in BASELINES:
            self._recall_baseline(name)
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
            val_nll = kept.get("val_nll")
            if name == "zero_shot":
                val_nll = from_json(float, val_nll, where=f"{where}, val_nll")
        except StoreError as error:
            self._keep_fault(f"{error}. What it held is made again")
            return
        scores = self._recall_scores(f"baselines/{name}", files)
        if scores is not None:
            self.findings.baselines[name] = scores
            self.findings.baselines_made_with[name] = made_with
            if name == "zero_shot":
                self.findings.zero_shot_val_nll = val_nll

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

    def _recall_scores(self, place: str, files: dict[str, FileRecord]) -> TestScores | None:
        rests_on = {name: files[name] for name in (_SCORES, _PREDICTIONS) if name in files}
        if len(rests_on) < 2:
            return None
        fault = damaged(self.folder.path / place, rests_on)
        found = None if fault else read_arrays(self.folder.path / place / _SCORES)
        if found is not None:
            try:
                scores = TestScores.of_statistics(found)
            except (KeyError, IndexError, ValueError):
                fault = (
                    f"{self.folder.path / place / _SCORES}: holds other scores than this study's"
                )
            else:
                if len(scores.rouge_N4) == len(self.bench.data.splits["test"]):
                    return scores
        if fault is not None:
            self._keep_fault(f"{fault}; the test set is scored again")
        return None

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
        self.findings.adapter_bytes.pop(candidate.id, None)

    def forget_costs(self) -> None:
        """Removes what methods cost, which is spread over the epochs."""
        self.findings.costs.clear()
        with disk_errors(self.folder.path):
            (self.folder.path / COSTS_FILE).unlink(missing_ok=True)

    def keep_scores(self, candidate: Candidate, texts: Sequence[str], scores: TestScores) -> None:
        """Writes a candidate's test scores and texts, and their hashes into its record."""
        self.findings.test_scores[candidate.id] = scores
        place = f"candidates/{candidate.id}"
        self._keep_predictions(place, texts, scores)
        before = self.findings.records[candidate.id]
        made_with = before.made_with or self.made_with
        self._keep_record(candidate, made_with, ("adapter/*", _SCORES, _PREDICTIONS))

    def _keep_predictions(self, place: str, texts: Sequence[str], scores: TestScores) -> None:
        rows = []
        for index, text in enumerate(texts):
            row: dict[str, Any] = {"index": index, "prediction": text}
            row |= {k: float(scores.rouge_N4[index, c]) for c, k in enumerate(ROUGE_KEYS)}
            if scores.nll_N is not None:
                row |= {"nll": float(scores.nll_N[index]), "tokens": int(self.tokens_N[index])}
            rows.append(row)
        self.folder.write_lines(f"{place}/{_PREDICTIONS}", rows)
        self.folder.write_bytes(
            f"{place}/{_SCORES}", arrays_bytes(scores.statistics(self.tokens_N))
        )

    def keep_baseline(self, name: str, texts: Sequence[str], scores: TestScores) -> None:
        """Writes a baseline's predictions and what else is known of it."""
        self.findings.baselines[name] = scores
        self.findings.baselines_made_with[name] = self.made_with
        place = f"baselines/{name}"
        self._keep_predictions(place, texts, scores)
        files = file_records(self.folder.path / place, (_SCORES, _PREDICTIONS))
        content: dict[str, Any] = {
            "made_with": to_json(self.made_with),
            "files": {path: to_json(file) for path, file in files.items()},
        }
        if name == "zero_shot":
            content["val_nll"] = self.findings.zero_shot_val_nll
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
                    "document": test.raw_documents[i],
                    "reference": test.summaries[i],
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

"""What a run keeps of each part, and how a later call takes it up again.

Every file that a result rests on has its hash in the record beside it, and is compared with it
before it is taken up: a torn or changed file is made again, never passed on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import CheckpointError
from bakeoff.execution.failures import traceback_of
from bakeoff.execution.findings import Findings
from bakeoff.execution.scores import SetScores, row_values
from bakeoff.files import folder_bytes
from bakeoff.methods.contract import Tensors
from bakeoff.metrics.base import is_judged
from bakeoff.metrics.contract import Metric
from bakeoff.runs.arrays import arrays_bytes
from bakeoff.runs.baseline_cost import BaselineCost
from bakeoff.runs.folder import EXAMPLES_FILE, RunFolder, damaged, file_records
from bakeoff.runs.reading import to_json
from bakeoff.runs.records import (
    CandidateRecord,
    CostRecord,
    EpochRecord,
    FileRecord,
    Provenance,
)
from bakeoff.search.method_search import record_of
from bakeoff.tasks.contract import Baseline

_log = logging.getLogger(__name__)
Found = TypeVar("Found")
RECORD_FILE = "record.json"
ERROR_FILE = "error.txt"
COSTS_FILE = "costs.json"
VARIANT_KEY = "variant"
"""In ``costs.json``, beside a record: the label of the searched options that were measured."""
NOTES_FILE = "notes.json"
PREDICTIONS_FILE = "predictions.jsonl"
SCORE_FILES = {"test": "scores/test.npz", "validation": "scores/validation.npz"}


_ALSO_SCORES, _ALSO_PREDICTIONS = "scores/also-", "predictions-"


def also_files(name: str) -> tuple[str, str]:
    """Where the scores and the answers of a further test set are, below a candidate's folder."""
    return f"{_ALSO_SCORES}{name}.npz", f"{_ALSO_PREDICTIONS}{name}.jsonl"


def of_also(files: Mapping[str, Found]) -> dict[str, Found]:
    """Those of a record's files that belong to further test sets."""
    return {
        path: file
        for path, file in files.items()
        if path.startswith((_ALSO_SCORES, _ALSO_PREDICTIONS))
    }


def score_file(split: str, draw: int = 0) -> str:
    """Where the scores of a set are; a baseline with several draws has a file for each."""
    return SCORE_FILES[split] if draw == 0 else f"scores/{split}-{draw}.npz"


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

    @property
    def metric_names(self) -> list[str]:
        """The study's, but for those that a judge gives later."""
        return [metric.name for metric in self.bench.task.metrics if not is_judged(metric)]

    def damaged_adapter(self, place: Path, record: CandidateRecord | None) -> str | None:
        """What is wrong with the adapter in a candidate's folder, in words, or None.

        Args:
            place: the folder. record: what is kept of the candidate.
        """
        files = {} if record is None else record.files
        adapter = {name: file for name, file in files.items() if name.startswith("adapter/")}
        if not adapter:
            return f"{place / 'adapter'}: no record of its files was kept"
        return damaged(place, adapter)

    def keep_candidate(
        self, candidate: Candidate, *, slots: int | None = None, rows: int | None = None
    ) -> None:
        """Writes a candidate that has ended: its curve, and the adapter of its best epoch.

        Args:
            candidate: which. slots: candidates in its pass. rows: of its micro-batches.
        """
        place = f"candidates/{candidate.id}"
        self.keep_curve(candidate.id, candidate.epochs)
        if candidate.state.is_eligible and candidate.tensors is not None:
            with self.folder.new_folder(f"{place}/adapter") as beside:
                candidate.method.write(candidate.tensors, beside)
            adapter = self.folder.path / place / "adapter"
            self.findings.adapter_bytes[candidate.id] = folder_bytes(adapter)
        candidate.tensors = None
        made_with = replace(self.made_with, slots=slots, micro_batch_size=rows)
        self._keep_record(candidate, made_with, ("adapter/*",))

    def keep_curve(self, id: str, epochs: Sequence[EpochRecord]) -> None:
        """Writes a candidate's epochs, a line each; where the same are there they stay."""
        self.folder.keep_lines(f"candidates/{id}/metrics.jsonl", [asdict(e) for e in epochs])

    def keep_failure(self, candidate: Candidate, error: BaseException) -> None:
        """Writes a failed candidate's record, and its whole traceback beside it."""
        self.keep_error(candidate, traceback_of(error))
        self.findings.forget_scores(candidate.id)
        before = self.findings.records.get(candidate.id)
        self._keep_record(
            candidate, (before and before.made_with) or self.made_with, ("adapter/*",)
        )

    def keep_error(self, candidate: Candidate, text: str) -> None:
        """Writes what went wrong with a candidate, as the interpreter says it."""
        self.folder.write_text(f"candidates/{candidate.id}/{ERROR_FILE}", text.rstrip() + "\n")

    def _keep_record(
        self,
        candidate: Candidate,
        made_with: Provenance,
        patterns: Sequence[str],
        others: Mapping[str, FileRecord] = MappingProxyType({}),
    ) -> None:
        """Writes a candidate's record: last, since it says that the rest is whole.

        Args:
            candidate: which. made_with: versions and device. patterns: of files to be hashed.
            others: files whose hashes are known.
        """
        place = self.place_of(candidate)
        files = {**others, **file_records(place, patterns)} if candidate.state.is_eligible else {}
        record = replace(record_of(candidate), made_with=made_with, files=files)
        self.findings.records[candidate.id] = record
        self.folder.write_json(
            f"candidates/{candidate.id}/{RECORD_FILE}", to_json(record), checksum=True
        )

    def tensors_of(self, candidate: Candidate) -> Tensors:
        """The best epoch's tensors, read back.

        Raises:
            CheckpointError: if the adapter is not whole.
        """
        folder = self.place_of(candidate)
        try:
            fault = self.damaged_adapter(folder, self.findings.records.get(candidate.id))
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
        self.findings.forget_scores(candidate.id)
        self.findings.adapter_bytes.pop(candidate.id, None)

    def forget_costs(self) -> None:
        """Forgets what methods cost, which is spread over the epochs."""
        self.findings.costs.clear()
        self.findings.costs_of.clear()
        self.folder.write_json(COSTS_FILE, {})  # a missing file would be one that was lost

    def keep_validation(self, candidate: Candidate) -> None:
        """Writes what a candidate reached on validation, which its setting is chosen by."""
        before = self.findings.records.get(candidate.id)
        made_with = (before and before.made_with) or self.made_with
        self._keep_record(candidate, made_with, ("adapter/*",))

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
        kept = (*SCORE_FILES.values(), PREDICTIONS_FILE)
        self._keep_record(candidate, made_with, ("adapter/*", *kept), of_also(before.files))

    def keep_also(
        self, candidate: Candidate, name: str, answers: Sequence[str], scores: SetScores
    ) -> None:
        """Writes what a candidate reached on a further test set; its record has their hashes.

        Args:
            candidate: which. name: the set's. answers: to its rows. scores: likewise.
        """
        self.findings.also_scores.setdefault(name, {})[candidate.id] = scores
        self.findings.failed_also.discard((name, candidate.id))
        new = self._keep_set(f"candidates/{candidate.id}", name, answers, scores)
        before = self.findings.records[candidate.id]
        record = replace(before, files={**before.files, **new})
        self.findings.records[candidate.id] = record
        self.folder.write_json(
            f"candidates/{candidate.id}/{RECORD_FILE}", to_json(record), checksum=True
        )

    def keep_also_baseline(
        self, baseline: str, name: str, answers: Sequence[str], scores: SetScores
    ) -> None:
        """Writes what a baseline, which has scores already, reached on a further test set."""
        place = f"baselines/{baseline}"
        kept = self.folder.read_json(f"{place}/{RECORD_FILE}")
        if not isinstance(kept, dict) or not isinstance(kept.get("files"), dict):
            raise CheckpointError(
                f"{self.folder.path / place / RECORD_FILE}: is missing or torn, so that {name} "
                "cannot be kept beside it; run the same command again"
            )
        self.findings.also_baselines.setdefault(name, {})[baseline] = scores
        self.findings.failed_also.discard((name, baseline))
        new = self._keep_set(place, name, answers, scores)
        files = {**kept["files"], **{path: to_json(file) for path, file in new.items()}}
        self.folder.write_json(f"{place}/{RECORD_FILE}", {**kept, "files": files}, checksum=True)

    def _keep_set(
        self, place: str, name: str, answers: Sequence[str], scores: SetScores
    ) -> dict[str, FileRecord]:
        """Writes the scores and the answers of a further test set."""
        score_path, answer_path = also_files(name)
        metrics = self.bench.also[name].task.metrics
        ids = self.bench.also[name].data.row_ids
        self._write_answers(f"{place}/{answer_path}", answers, ids, scores, metrics)
        self.folder.write_bytes(f"{place}/{score_path}", arrays_bytes(scores.arrays()))
        return file_records(self.folder.path / place, (score_path, answer_path))

    def _write_answers(
        self,
        path: str,
        answers: Sequence[str],
        ids: Sequence[str],
        scores: SetScores,
        metrics: Sequence[Metric],
    ) -> None:
        self.folder.write_lines(
            path,
            (
                {"index": i, "id": id, "prediction": answer, **row_values(scores, metrics, i)}
                for i, (id, answer) in enumerate(zip(ids, answers, strict=True))
            ),
        )

    def _keep_predictions(
        self, place: str, answers: Sequence[str], sets: Mapping[str, SetScores]
    ) -> None:
        metrics = self.bench.task.metrics
        ids = self.bench.data.splits["test"].row_ids
        self._write_answers(f"{place}/{PREDICTIONS_FILE}", answers, ids, sets["test"], metrics)
        for split, scores in sets.items():
            self.folder.write_bytes(f"{place}/{SCORE_FILES[split]}", arrays_bytes(scores.arrays()))

    def keep_entrant(
        self,
        id: str,
        record: CandidateRecord,
        answers: Mapping[str, Sequence[str]],
        sets: Mapping[str, SetScores],
    ) -> None:
        """Writes what a run from elsewhere reached; its record has the hashes of its files.

        Args:
            id: of the run. record: without files.
            answers, sets: by set; a further test set's name follows ``also-``.
        """
        place = f"candidates/{id}"
        own = {split: sets[split] for split in SCORE_FILES if split in sets}
        self._keep_predictions(place, answers["test"], own)
        files = file_records(
            self.folder.path / place,
            (PREDICTIONS_FILE, *(SCORE_FILES[split] for split in own)),
        )
        for split in sets:
            name = split.removeprefix("also-")
            if split not in own:
                files |= self._keep_set(place, name, answers[split], sets[split])
        self._write_entrant(id, replace(record, files=files))

    def rescore_entrant(self, id: str, answers: Sequence[str], test: SetScores) -> None:
        """Writes test scores by one metric more of a run from elsewhere that has a record."""
        self.findings.test_scores[id] = test
        place = f"candidates/{id}"
        self._keep_predictions(place, answers, {"test": test})
        new = file_records(self.folder.path / place, (PREDICTIONS_FILE, SCORE_FILES["test"]))
        before = self.findings.records[id]
        self._write_entrant(id, replace(before, files={**before.files, **new}))

    def fail_entrant(self, id: str, record: CandidateRecord, text: str) -> None:
        """Writes why a run from elsewhere could not be tested."""
        self.findings.forget_scores(id)
        self.folder.write_text(f"candidates/{id}/{ERROR_FILE}", text.rstrip() + "\n")
        self._write_entrant(id, record)

    def _write_entrant(self, id: str, record: CandidateRecord) -> None:
        self.findings.records[id] = record
        self.folder.write_json(f"candidates/{id}/{RECORD_FILE}", to_json(record), checksum=True)

    def keep_baseline(
        self,
        baseline: Baseline,
        answers: Sequence[str],
        *draws: Mapping[str, SetScores],
        shots: int | None = None,
        cost: BaselineCost | None = None,
    ) -> None:
        """Writes a baseline's scores by set, for each draw, and its first answers to the test rows.

        Where there are training rows before each prompt, each of the study's seeds draws once.

        Args:
            baseline: which. answers: of the first draw. draws: scores by set.
            shots: how many training rows were before each prompt.
            cost: of an answer; without it what is known of that stays.
        """
        name = baseline.name
        self.findings.baselines[name] = [sets["test"] for sets in draws]
        self.findings.baselines_validation[name] = [sets["validation"] for sets in draws]
        self.findings.baselines_made_with[name] = self.made_with
        if shots is not None:
            self.findings.baseline_shots[name] = shots
        if cost is not None:
            self.findings.baseline_costs[name] = cost
        known = self.findings.baseline_costs.get(name)
        place = f"baselines/{name}"
        self._keep_predictions(place, answers, draws[0])
        for draw, sets in enumerate(draws[1:], start=1):
            for split, scores in sets.items():
                content = arrays_bytes(scores.arrays())
                self.folder.write_bytes(f"{place}/{score_file(split, draw)}", content)
        kept = [score_file(split, draw) for draw in range(len(draws)) for split in SCORE_FILES]
        files = file_records(self.folder.path / place, (*kept, PREDICTIONS_FILE))
        before = self.folder.read_json(f"{place}/{RECORD_FILE}")
        others = before.get("files") if isinstance(before, dict) else None
        record: dict[str, Any] = {
            "title": baseline.title,
            "draws": len(draws),
            "seeds": list(self.bench.protocol.seed_list) if shots else None,
            "shots": shots,
            "cost": None if known is None else to_json(known),
            "metrics": self.metric_names,
            "made_with": to_json(self.made_with),
            "files": {
                **of_also(others if isinstance(others, dict) else {}),
                **{path: to_json(file) for path, file in files.items()},
            },
        }
        self.folder.write_json(f"{place}/{RECORD_FILE}", record, checksum=True)

    def keep_examples(self) -> None:
        """Writes the test rows, for the report and for readers; those that are there stay."""
        test = self.bench.data.splits["test"]
        self.folder.keep_lines(
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

    def keep_cost(self, name: str, cost: CostRecord, variant: str = "") -> None:
        """Writes one method's costs, measured with the searched options of a variant."""
        rows = cost.micro_batch_size
        made_with = replace(self.made_with, slots=1, micro_batch_size=rows)
        self.findings.costs[name] = replace(cost, made_with=made_with)
        self.findings.costs_of[name] = variant
        content = {key: to_json(record) for key, record in self.findings.costs.items()}
        for key, label in self.findings.costs_of.items():
            content[key][VARIANT_KEY] = label
        kept = self.folder.read_json(COSTS_FILE)
        if isinstance(kept, dict):  # those of methods that the study leaves out by now
            others = {k: v for k, v in kept.items() if k not in self.findings.schedule.methods}
            content = {**others, **content}
        self.folder.write_json(COSTS_FILE, content, checksum=True)

    def keep_note(self, note: str) -> None:
        """Writes something that the report must say."""
        if note not in self.findings.notes:
            self.findings.notes.append(note)
            self.folder.write_json(NOTES_FILE, self.findings.notes)

    def recall_notes(self) -> bool:
        """Takes up what earlier calls noted; returns whether a whole file of it is there."""
        found = self.folder.read_json(NOTES_FILE)
        if not isinstance(found, list):
            return False
        notes = self.findings.notes
        notes += [note for note in map(str, found) if note not in notes]
        return True

    def place_of(self, candidate: Candidate) -> Path:
        """The candidate's folder."""
        return self.folder.path / "candidates" / candidate.id

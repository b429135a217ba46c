"""What an earlier call left, taken up again; what is missing, torn or changed is made again, named.

Every file that a result rests on is compared with its hash in the record beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from bakeoff.engine.candidate import Candidate
from bakeoff.errors import StoreError
from bakeoff.execution.archive import (
    COSTS_FILE,
    NOTES_FILE,
    PREDICTIONS_FILE,
    RECORD_FILE,
    SCORE_FILES,
    VARIANT_KEY,
    Archive,
    also_files,
    score_file,
)
from bakeoff.execution.rescoring import kept_outputs, lacking, rescored
from bakeoff.execution.scores import SetScores
from bakeoff.files import folder_bytes
from bakeoff.metrics.contract import Ask
from bakeoff.runs.arrays import read_arrays
from bakeoff.runs.baseline_cost import BaselineCost
from bakeoff.runs.hashes import HASHES_FILE, changed_file, damaged
from bakeoff.runs.reading import RESULTS_FILE, from_json, read_results, to_json
from bakeoff.runs.records import (
    CandidateRecord,
    CostRecord,
    FileRecord,
    Provenance,
)
from bakeoff.tasks.contract import Baseline
from bakeoff.types import RunState

_log = logging.getLogger(__name__)


class Recall:
    """Takes up what an archive's folder holds.

    Args:
        archive: the run's; its findings are filled.

    Attributes:
        faults: what could not be taken up, in words; each is in the notes too.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.folder, self.bench, self.findings = archive.folder, archive.bench, archive.findings
        self.faults: list[str] = []
        self._rescored: dict[str, list[str]] = {}
        self._recall_notes()

    def ended_candidates(self, wanted: Collection[str] | None = None) -> dict[str, CandidateRecord]:
        """By id, the whole records of candidates that ended; for a run without checkpoints.

        Args:
            wanted: ids of those that are asked for; None asks for all.
        """
        found = {}
        for place in sorted((self.folder.path / "candidates").glob(f"*/{RECORD_FILE}")):
            if wanted is not None and place.parent.name not in wanted:
                continue
            record = self._record(place.parent.name)
            if record is None or not record.state.is_final or record.state is RunState.FAILED:
                continue
            if record.source is not None:
                continue  # made elsewhere, and taken up where it is tested
            if record.state.is_eligible:
                fault = self.archive.damaged_adapter(place.parent, record)
                if fault is not None:
                    self._keep_fault(f"{fault}; {record.id} is trained again")
                    continue
            found[record.id] = record
        return found

    def parts(self) -> None:
        """Takes up everything besides training that an earlier call left whole.

        A candidate whose adapter is gone or damaged is to be trained again, if the test set is for
        it.
        """
        self._candidates(self.findings.candidates)
        for baseline in self.bench.baselines:
            self._recall_baseline(baseline)
        self._recall_costs()
        self._name_missing()
        self._note_rescored()

    def later_candidates(self) -> None:
        """Takes up candidates that had ended before and were named again only by this training."""
        known = self.findings.records
        self._candidates(
            [c for c in self.findings.candidates if c.state.is_final and c.id not in known]
        )
        self._note_rescored()

    def taken(self, candidate: Candidate) -> None:
        """Takes up a candidate whose parts were just brought into the folder."""
        self._candidates([candidate])

    def baselines(self, names: Collection[str]) -> None:
        """Takes up baselines whose parts were just brought into the folder."""
        for baseline in self.bench.baselines:
            if baseline.name in names:
                self._recall_baseline(baseline)

    def _candidates(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            record = self._record(candidate.id)
            if record is not None and candidate.state.is_final:
                self.findings.records[candidate.id] = record
                self.archive.keep_curve(candidate.id, record.epochs)
            if not candidate.state.is_eligible:
                continue
            fault = self.archive.damaged_adapter(self.archive.place_of(candidate), record)
            if fault is None:
                adapter = self.archive.place_of(candidate) / "adapter"
                self.findings.adapter_bytes[candidate.id] = folder_bytes(adapter)
            elif self._is_wanted(candidate):
                self._keep_fault(f"{fault}; {candidate.id} is trained again")
                self.findings.records.pop(candidate.id, None)
                candidate.start_again()
        for candidate in filter(self._is_wanted, candidates):
            record = self.findings.records.get(candidate.id)
            if record is not None and candidate.state.is_eligible:
                if candidate.rows is not None:
                    self._recall_curve(candidate, record)
                    continue
                place = f"candidates/{candidate.id}"
                found = self._recall_scores(place, record.files)
                new = self._with_new_metrics(place, found)
                if new is not None and new is not found:
                    self.archive.keep_scores(candidate, self._answers(place), new)
                found = new or {}
                if "test" in found:
                    self.findings.test_scores[candidate.id] = found["test"]
                if "validation" in found:
                    self.findings.validation_scores[candidate.id] = found["validation"]
                self._recall_also_of(candidate)

    def _is_wanted(self, candidate: Candidate) -> bool:
        """Whether its results are of use: not those of a search."""
        return not self.findings.schedule.is_searched(candidate)

    def _recall_curve(self, candidate: Candidate, record: CandidateRecord) -> None:
        """The test scores of one on fewer rows, with what metrics have come to the curve since."""
        place, part = f"candidates/{candidate.id}", self.bench.data.splits["test"]
        scores = self._recall_scores(place, record.files).get("test")
        if scores is None:
            return
        metrics = self.bench.curve.metrics
        new = lacking(scores, metrics, with_texts=True)
        if new:
            answers = self._answers(place)
            more = rescored(scores, kept_outputs(scores, answers, part), new, part)
            if more is None:
                return  # they need more than was kept, so it is asked again
            scores = more
            self.archive.keep_scores(candidate, answers, {"test": scores})
        self.findings.test_scores[candidate.id] = scores

    def _recall_also_of(self, candidate: Candidate) -> None:
        files = self.findings.records[candidate.id].files
        for name in self.bench.also:
            found = self._recall_also(f"candidates/{candidate.id}", files, name)
            if found is None:
                continue
            scores, answers = found
            self.findings.also_scores.setdefault(name, {})[candidate.id] = scores
            if answers is not None:
                self.archive.keep_also(candidate, name, answers, scores)

    def _recall_also(
        self, place: str, files: dict[str, FileRecord], name: str
    ) -> tuple[SetScores, list[str] | None] | None:
        """What was kept whole of a further test set.

        Returns:
            Its scores, and the answers where metrics are new and both must be kept again; None
            where it must be asked again.
        """
        rests_on = {path: files[path] for path in also_files(name) if path in files}
        if len(rests_on) < len(also_files(name)):
            return None
        folder, part = self.folder.path / place, self.bench.also[name].data
        score_path, answer_path = also_files(name)
        fault, scores = damaged(folder, rests_on), None
        if fault is None:
            arrays = read_arrays(folder / score_path)
            scores = None if arrays is None else SetScores.of_arrays(arrays, len(part))
            if scores is None:
                fault = f"{folder / score_path}: holds other scores than this study's"
        if scores is None:
            self._keep_fault(f"{fault}; {name} is scored again")
            return None
        task = self.bench.also[name].task
        new = lacking(scores, task.metrics, with_texts=True)
        if not new:
            return scores, None
        rows = self.folder.read_lines(f"{place}/{answer_path}") or []
        answers = [str(row["prediction"]) for row in rows]
        more = rescored(scores, kept_outputs(scores, answers, part), new, part)
        return None if more is None else (more, answers)

    def _note_rescored(self) -> None:
        for metric, places in self._rescored.items():
            self._keep_fault(
                f"{metric} is new: it was computed from the answers that were kept of "
                f"{', '.join(places)}"
            )
        self._rescored = {}

    def _name_missing(self) -> None:
        """Says what earlier results speak of and nothing is kept of any more."""
        try:
            before = read_results(self.folder.path)
        except StoreError:
            return
        again = {
            f"candidates/{c.id}/{RECORD_FILE}": f"{c.id} is trained again"
            for c in self.findings.candidates
            if c.id in before.candidates
            and before.candidates[c.id].state.is_final
            and before.candidates[c.id].state is not RunState.FAILED
            and c.state is RunState.WAITING
        }
        for baseline in self.bench.baselines:
            if baseline.name in before.baselines:
                again[f"baselines/{baseline.name}/{RECORD_FILE}"] = (
                    f"{baseline.title} is made again"
                )
        if any(m.cost.epoch_seconds is not None for m in before.methods.values()):
            again[COSTS_FILE] = "costs are measured again"
        for name, what in again.items():
            if not (self.folder.path / name).exists():
                self._keep_fault(f"{self.folder.path / name}: is missing; {what}")

    def _recall_notes(self) -> None:
        """First of all: the next note is written together with those of earlier calls."""
        place = self.folder.path / NOTES_FILE
        if not self.archive.recall_notes() and place.exists():
            self._keep_fault(f"{place}: is torn; what earlier calls noted is lost")

    def _keep_fault(self, note: str) -> None:
        if note not in self.faults:
            _log.warning("%s", note)
            self.faults.append(note)
            self.archive.keep_note(note)

    def _recall_baseline(self, baseline: Baseline) -> None:
        name = baseline.name
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
            cost = kept.get("cost")  # those of older versions have none
            known = None if cost is None else from_json(BaselineCost, cost, where=where)
        except StoreError as error:
            self._keep_fault(f"{error}. What it held is made again")
            return
        asked = kept.get("metrics", self.archive.metric_names)
        is_new = not set(self.archive.metric_names) <= set(asked)
        if kept.get("title", baseline.title) != baseline.title or (is_new and baseline.outputs):
            return  # it is another one by now, or made again sooner than taken up
        draws = kept.get("draws", 1)
        number = draws if isinstance(draws, int) else 1
        if (number > 1 and is_new) or not self._has_present_draws(kept, number):
            return  # made again
        place = f"baselines/{name}"
        if known is not None:
            self.findings.baseline_costs[name] = known
        found = [self._recall_scores(place, files, draw) for draw in range(number)]
        if is_new:
            new = self._with_new_metrics(place, found[0])
            shots = kept.get("shots")
            if new is not None and new is not found[0]:
                self.archive.keep_baseline(baseline, self._answers(place), new, shots=shots)
            found = [new or {}]
        if all(len(sets) == len(SCORE_FILES) for sets in found):
            self.findings.baselines[name] = [sets["test"] for sets in found]
            self.findings.baselines_validation[name] = [sets["validation"] for sets in found]
            self.findings.baselines_made_with[name] = made_with
            if isinstance(kept.get("shots"), int):
                self.findings.baseline_shots[name] = kept["shots"]
            for also in self.bench.also:
                if (scores := self._recall_also(place, files, also)) is not None:
                    self.findings.also_baselines.setdefault(also, {})[name] = scores[0]
                    if scores[1] is not None:
                        self.archive.keep_also_baseline(name, also, scores[1], scores[0])

    def _has_present_draws(self, kept: Mapping[str, Any], number: int) -> bool:
        """Whether a baseline's rows before each prompt are those that the study's seeds draw.

        Args:
            kept: its record. number: of its draws.
        """
        if not kept.get("shots"):
            return True  # nothing was drawn
        seeds = self.bench.protocol.seed_list
        known = kept.get("seeds")  # records of older versions have none
        return list(seeds) == known if known is not None else len(seeds) == number

    def _with_new_metrics(
        self, place: str, sets: dict[str, SetScores]
    ) -> dict[str, SetScores] | None:
        """Scores with the metrics that the study has got since; None where they cannot be had."""
        asks, metrics = self.bench.task.asks, self.bench.task.metrics
        found = dict(sets)
        for split, scores in sets.items():
            is_test = split == "test"
            part = self.bench.data.splits[split]  # type: ignore[index]
            new = lacking(scores, metrics, with_texts=is_test and Ask.TEXT in asks)
            if not new:
                continue
            answers = self._answers(place) if is_test else None
            outputs = kept_outputs(scores, answers, part)
            more = rescored(scores, outputs, new, part)
            names = ", ".join(metric.name for metric in new)
            if more is None:
                self._keep_fault(
                    f"{self.folder.path / place}: {names} is new and needs more of the {split} "
                    "set's answers than was kept; the test is made again"
                )
                return None
            found[split] = more
            self._rescored.setdefault(names, []).append(place.partition("/")[2])
        return found if any(found[split] is not sets[split] for split in sets) else sets

    def _answers(self, place: str) -> list[str]:
        """The kept answers to the test rows, whose file is known to be whole."""
        return [
            str(row["prediction"])
            for row in self.folder.read_lines(f"{place}/{PREDICTIONS_FILE}") or ()
        ]

    def _recall_costs(self) -> None:
        kept, place = self.folder.read_json(COSTS_FILE), self.folder.path / COSTS_FILE
        if not isinstance(kept, dict):
            if place.exists():
                self._keep_fault(f"{place}: is torn. What it held is measured again")
            return
        for name, content in kept.items():
            variant = content.pop(VARIANT_KEY, None) if isinstance(content, dict) else None
            try:
                record = from_json(CostRecord, content, where=f"{place}, {name}")
            except StoreError as error:
                self._keep_fault(f"{error}. It is measured again")
                continue
            if name in self.findings.schedule.methods:
                self.findings.costs[name] = record
                if isinstance(variant, str):
                    self.findings.costs_of[name] = variant

    def _record(self, id: str) -> CandidateRecord | None:
        place = f"candidates/{id}/{RECORD_FILE}"
        content, where = self.folder.read_json(place), str(self.folder.path / place)
        fault = f"{where}: is torn"
        if content is not None:
            try:
                return from_json(CandidateRecord, content, where=where)
            except StoreError as error:
                fault = str(error)
        elif not (self.folder.path / place).exists():
            return None
        record = self._complete.get(id)
        if record is not None:
            self._keep_fault(f"{fault}. It was written again from {RESULTS_FILE}")
            self.folder.write_json(place, to_json(record), checksum=True)
        else:
            self._keep_fault(f"{fault}. What it held is made again")
        return record

    @cached_property
    def _complete(self) -> dict[str, CandidateRecord]:
        """The records in ``results.json``, where it is that of a complete run and unchanged."""
        if not (self.folder.path / HASHES_FILE).exists():
            return {}
        if changed_file(self.folder.path, [RESULTS_FILE]) is not None:
            return {}
        try:
            return read_results(self.folder.path).candidates
        except StoreError:
            return {}

    def _recall_scores(
        self, place: str, files: dict[str, FileRecord], draw: int = 0
    ) -> dict[str, SetScores]:
        """By set what was kept whole: all that was kept, or nothing."""
        folder = self.folder.path / place
        score_files = {split: score_file(split, draw) for split in SCORE_FILES}
        names = (PREDICTIONS_FILE, *score_files.values())
        rests_on = {name: files[name] for name in names if name in files}
        if PREDICTIONS_FILE not in rests_on or score_files["test"] not in rests_on:
            return {}
        fault = damaged(folder, rests_on)
        found: dict[str, SetScores] = {}
        for split, name in score_files.items():
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

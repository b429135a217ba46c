"""The driver's side of jobs that run apart: what they need, and how their outcomes are taken."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bakeoff.engine.candidate import Candidate
from bakeoff.execution.apart.exchange import Outcome, Request, check_files, check_inside
from bakeoff.execution.apart.news import News
from bakeoff.execution.apart.places import copied, linked, trained_files
from bakeoff.execution.archive import ERROR_FILE, RECORD_FILE, Archive
from bakeoff.execution.last_states import forget_stale
from bakeoff.execution.observer import Follower
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.recall import Recall
from bakeoff.execution.states import COHORTS, PAUSED, SUFFIX, read_state
from bakeoff.execution.stopping import StopSignals
from bakeoff.files import disk_errors
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.runs.folder import file_records
from bakeoff.runs.reading import to_json
from bakeoff.runs.records import CandidateRecord, EpochRecord, FileRecord
from bakeoff.search.method_search import record_of
from bakeoff.types import RunState

_log = logging.getLogger(__name__)
_Files = dict[str, FileRecord]


@dataclass
class Taking:
    """Hands jobs out and takes what came of them into the run.

    Attributes:
        recall, events, view, followers: the run's. stop: when it is to end.
    """

    recall: Recall
    events: EventLog
    view: ProgressView
    stop: StopSignals
    followers: Sequence[Follower] = ()
    _shown: set[tuple[str, int]] = field(default_factory=set)

    @property
    def archive(self) -> Archive:
        """The run's."""
        return self.recall.archive

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.archive.folder.path

    def request(self, job: CohortJob) -> Request:
        """A job with what it needs of the run."""
        findings = self.archive.findings
        by_id = {candidate.id: candidate for candidate in findings.candidates}
        present = [by_id[name] for name in job.candidates if name in by_id]
        seats = tuple(seat for seat in job.seats if seat.id in by_id)
        files: _Files = {}
        records = []
        for candidate in present:
            if job.kind != "train":
                record, more = self._to_test(candidate)
            elif _is_due(candidate, job):
                record, more = self._to_train(candidate)
            else:
                record, more = self._as_it_is(candidate)
            files |= more
            records.append(record)
        return Request(
            job=replace(job, seats=seats),
            records=tuple(records),
            files=files,
            narrowed=self.events.narrowed(job.group),
            seconds=self.stop.training_seconds_left if job.kind == "train" else None,
            shortens=self.stop.shortens,
        )

    def _to_test(self, candidate: Candidate) -> tuple[CandidateRecord, _Files]:
        """A candidate with its adapter."""
        record = self.archive.findings.records.get(candidate.id, record_of(candidate))
        files = {f"candidates/{candidate.id}/{k}": v for k, v in _adapter_of(record).items()}
        return replace(record, validation=dict(candidate.validation)), files

    def _to_train(self, candidate: Candidate) -> tuple[CandidateRecord, _Files]:
        """A candidate with the file that it goes on from; one whose file is lost starts again."""
        files = self._paused(candidate)
        if candidate.epochs and not files:
            note = (
                f"the state of {candidate.id} after epoch {len(candidate.epochs)} is missing or "
                "torn; it is trained from the start"
            )
            candidate.start_again()
            self._note(note)
        return record_of(candidate), files

    def _as_it_is(self, candidate: Candidate) -> tuple[CandidateRecord, _Files]:
        """A candidate with all that training has left of it.

        The job that runs again trains others of its pass, but what comes of it is of all of them.
        """
        record = record_of(candidate)
        if not candidate.state.is_final:
            return record, self._paused(candidate)
        known = self.archive.findings.records.get(candidate.id)
        if known is not None:
            record = replace(record, made_with=known.made_with, files=_adapter_of(known))
        files = trained_files(candidate.id)
        if candidate.state is not RunState.FAILED:
            # A test may have left one, which another may write again.
            files.remove(f"candidates/{candidate.id}/{ERROR_FILE}")
        return record, file_records(self.run, files)

    def _paused(self, candidate: Candidate) -> _Files:
        """The file that a candidate goes on from, where there is one that is whole."""
        name = f"{candidate.id}-{len(candidate.epochs)}-"
        for file in sorted((self.run / COHORTS).glob(f"*/{PAUSED}/{name}*{SUFFIX}")):
            if read_state(file) is not None:
                return file_records(self.run, [file.relative_to(self.run).as_posix()])
        return {}

    def hear(self, news: News, job: CohortJob | None = None) -> None:
        """Shows what happens; each thing once, however often it is done again.

        Args:
            news: of a worker. job: that it is at.
        """
        content = news.content
        if news.kind == "step" and job is not None and job.kind == "train":
            self.view.on_step_beside(job, **content)
        if news.kind == "say":
            self.view.say(content["text"])
        if news.kind != "epoch":
            return
        epochs = [EpochRecord(**epoch) for epoch in content["epochs"]]
        key = (content["candidate"], len(epochs))
        if key in self._shown:
            return
        self._shown.add(key)
        for candidate in self.archive.findings.candidates:
            if candidate.id == content["candidate"]:
                shown = replace(candidate, epochs=epochs, best_epoch=content["best_epoch"])
                self.view.on_epoch(shown)
                for follower in self.followers:
                    follower.epoch(shown)

    def take(self, outcome: Outcome, root: Path, *, keep: bool = False) -> None:
        """Takes an outcome into the run's folder and its findings.

        Args:
            outcome: of a job of this run. root: the folder that its files are below.
            keep: copies them, since they stay where they are; those of a try are linked.

        Raises:
            CheckpointError: the files are not whole, or not below ``root``; nothing is taken.
        """
        if root.resolve() != self.run.resolve():
            check_inside(root, outcome.files)
        check_files(root, outcome.files)
        self.view.on_job_over(outcome.job.cohort)
        outcome = self._of_due(outcome)
        with disk_errors(self.run):
            self._bring(outcome, root, keep=keep)
        if outcome.narrowed is not None and outcome.narrowed != self.events.narrowed(
            outcome.job.group
        ):
            self.events.add(outcome.narrowed)
        for note in outcome.notes:
            self._note(note)
        self.archive.findings.failed_baselines |= set(outcome.failed)
        by_id = {candidate.id: candidate for candidate in self.archive.findings.candidates}
        present = [(by_id[one.id], one) for one in outcome.records if one.id in by_id]
        if outcome.job.kind == "train":
            for candidate, record in present:
                self._trained(candidate, record)
        else:
            for candidate, record in present:
                self._asked(candidate, record, outcome.job)
            if outcome.job.baselines:
                self.recall.baselines(outcome.job.baselines)

    def _of_due(self, outcome: Outcome) -> Outcome:
        """What a job brings of those that wait for it; what is known of the others stays.

        A job that trains is run again for one of its pass, when the others may have been tested,
        pruned or promoted.
        """
        if outcome.job.kind != "train":
            return outcome
        others = {
            candidate.id
            for candidate in self.archive.findings.candidates
            if candidate.id in outcome.job.candidates and not _is_due(candidate, outcome.job)
        }
        folders = tuple(f"candidates/{name}/" for name in others)
        return replace(
            outcome,
            records=tuple(one for one in outcome.records if one.id not in others),
            files={k: v for k, v in outcome.files.items() if not k.startswith(folders)},
        )

    def _bring(self, outcome: Outcome, root: Path, *, keep: bool) -> None:
        """Links or copies the files; then the records, which say that the rest is whole."""
        folders = {f"candidates/{one.id}/adapter" for one in outcome.records}
        is_there = root.resolve() == self.run.resolve()  # a driver that died had brought them
        for folder in folders if outcome.job.kind == "train" and not is_there else ():
            if any(name.startswith(f"{folder}/") for name in outcome.files):
                shutil.rmtree(self.run / folder, ignore_errors=True)
        # A try keeps its files until its outcome is settled: a driver may die before.
        bring = copied if keep else linked
        for name in outcome.files if not is_there else ():
            bring(root / name, self.run / name)
        if outcome.job.kind == "train":
            forget_stale(self.run, outcome.files)
        for record in outcome.records:
            # One whose test failed stays on the disk as what it was trained to.
            is_kept = outcome.job.kind == "train" or record.state is not RunState.FAILED
            if record.state.is_final and is_kept:
                place = f"candidates/{record.id}/{RECORD_FILE}"
                before = self.archive.findings.records.get(record.id)
                if before is not None and outcome.job.kind != "train":
                    record = replace(record, files={**before.files, **record.files})
                self.archive.folder.write_json(place, to_json(record), checksum=True)

    def _trained(self, candidate: Candidate, record: CandidateRecord) -> None:
        candidate.state, candidate.reason = record.state, record.reason
        candidate.epochs, candidate.best_epoch = list(record.epochs), record.best_epoch
        candidate.cohort, candidate.validation = record.cohort, dict(record.validation)
        candidate.snapshot = candidate.tensors = None
        if record.state.is_final:
            self.recall.taken(candidate)
            level = logging.ERROR if candidate.state is RunState.FAILED else logging.INFO
            _log.log(level, "%s: %s %s", candidate.id, candidate.state, candidate.reason or "")
            self.view.on_end(candidate)
            for follower in self.followers:
                follower.end(candidate)

    def _asked(self, candidate: Candidate, record: CandidateRecord, job: CohortJob) -> None:
        candidate.validation = dict(record.validation)
        if record.state is not candidate.state:  # what failed of it was the test
            candidate.state, candidate.reason = record.state, record.reason
            self.view.on_end(candidate)
            return
        self.recall.taken(candidate)

    def give_up(self, job: CohortJob, why: str, traceback: str) -> None:
        """Marks what a job had still to do as failed; the study goes on without it."""
        findings, names = self.archive.findings, set(job.candidates)
        for candidate in [one for one in findings.candidates if one.id in names]:
            if job.kind == "train":
                if _is_due(candidate, job):
                    self._give_up_training(candidate, job.cohort, why, traceback)
            elif not candidate.state.is_eligible:
                continue
            elif job.split == "validation":
                self._give_up_choice(candidate, why, traceback)
            elif candidate.id not in findings.test_scores:
                # What it was trained to stays on the disk: the next call only tests it.
                candidate.state, candidate.reason = RunState.FAILED, why
                self.archive.keep_error(candidate, traceback)
                self.view.on_end(candidate)
        for name in job.baselines:
            findings.failed_baselines.add(name)
            self.archive.keep_baseline_error(name, traceback)
            self._note(f"the baseline {name} failed: {why}")

    def _give_up_training(
        self, candidate: Candidate, cohort: str, why: str, traceback: str
    ) -> None:
        candidate.state, candidate.reason = RunState.FAILED, why
        candidate.cohort = cohort
        candidate.snapshot = candidate.tensors = None
        self.archive.keep_failure(candidate, RuntimeError(why))
        self.archive.keep_error(candidate, traceback)
        self.view.on_end(candidate)
        for follower in self.followers:
            follower.end(candidate)

    def _give_up_choice(self, candidate: Candidate, why: str, traceback: str) -> None:
        """The candidate takes no part in the choice of a setting."""
        space = self.archive.findings.schedule.methods[candidate.method_name].space
        if space is None or space.selection is None:
            return
        metric = space.selection.metric
        if metric not in candidate.validation:
            candidate.validation[metric] = None
            self.archive.keep_error(candidate, traceback)
            self._note(f"{candidate.id} takes no part in the choice of a setting: {why}")

    def _note(self, note: str) -> None:
        self.archive.keep_note(note)
        self.view.on_note(note)


def _is_due(candidate: Candidate, job: CohortJob) -> bool:
    """Whether a job has still to train a candidate of its.

    Others of its pass have ended, wait for the decision at their rung, or are beyond the job.
    """
    if candidate.state.is_final or candidate.state is RunState.PAUSED:
        return False
    reached = len(candidate.epochs)
    return any(seat.id == candidate.id and reached < seat.stop for seat in job.seats)


def _adapter_of(record: CandidateRecord) -> _Files:
    return {name: file for name, file in record.files.items() if name.startswith("adapter/")}

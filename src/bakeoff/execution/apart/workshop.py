"""Runs a job in a folder of its own, from what the run it belongs to hands it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import CheckpointError
from bakeoff.execution.apart.exchange import Outcome, Request, check_files
from bakeoff.execution.apart.news import NewsView, Tell
from bakeoff.execution.apart.places import JobFolder, carry_over, copied, trained_files
from bakeoff.execution.apart.schedule import JobSchedule
from bakeoff.execution.archive import ERROR_FILE, PREDICTIONS_FILE, RECORD_FILE, Archive
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.execution.executors import Worker
from bakeoff.execution.findings import Findings
from bakeoff.execution.observer import RunObserver
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.queue import JobQueue
from bakeoff.execution.stopping import StopSignals
from bakeoff.execution.training_worker import Benches, Sources, TrainingWorker, threads
from bakeoff.runs.events import CohortJob, EventLog, JobKind
from bakeoff.runs.folder import file_records
from bakeoff.runs.reading import from_json
from bakeoff.runs.records import CandidateRecord, Provenance
from bakeoff.search.method_search import record_of
from bakeoff.search.schedule import StudySchedule

AskersOf = Callable[[Archive, ProgressView], Mapping[JobKind, Worker]]
"""Who asks held-out sets and baselines, by kind of job, given where they keep and tell."""
_ASKED: Final = ("scores/*.npz", PREDICTIONS_FILE, ERROR_FILE)


@dataclass
class Workshop:
    """Runs the jobs of one study, one after the other, over a base that is loaded once.

    Attributes:
        bench, schedule: the study's; the schedule as it begins. made_with: by this process.
        askers: see ``AskersOf``. minutes: the longest training inside an epoch that may be lost.
    """

    bench: Workbench
    schedule: StudySchedule
    made_with: Provenance
    askers: AskersOf
    minutes: float = 10.0

    def __post_init__(self) -> None:
        self._sources = Sources(Benches(self.bench))

    def run(
        self,
        request: Request,
        place: Path,
        run: Path,
        before: list[Path],
        tell: Tell,
        stop: StopSignals,
    ) -> Outcome:
        """Runs a job to its end.

        Args:
            request: the job. place: a new folder, where all goes that it makes.
            run: the folder that the request's files are below.
            before: where it was tried before, from whose last checkpoint it goes on.
            tell: called with what happens. stop: may end it, once all is saved.

        Raises:
            Stopped: if it was asked to.
            CheckpointError: what it needs is not whole.
        """
        folder, view = JobFolder(place), NewsView(tell)
        carry_over(before, place)
        check_files(run, request.files)
        for name in request.files:
            if not (place / name).exists():
                copied(run / name, place / name)
        records = {record.id: record for record in request.records}
        schedule = JobSchedule(self.schedule, request.job, records)
        findings = Findings(schedule=schedule)
        findings.records.update(records)
        archive = Archive(folder, self.bench, findings, self.made_with)
        archive.recall_notes()  # of earlier tries
        with threads(request.job.threads):
            if request.job.kind == "train":
                files, narrowed = self._train(request, archive, view, tell, stop)
            else:
                files, narrowed = self._ask(request.job, archive, view), None
        return Outcome(
            job=request.job,
            records=tuple(_record(findings, candidate) for candidate in schedule.candidates),
            files=dict(file_records(place, files)),
            narrowed=narrowed,
            notes=tuple(findings.notes),
            failed=tuple(sorted(findings.failed_baselines)),
            host=platform.node(),
        )

    def _ask(self, job: CohortJob, archive: Archive, view: ProgressView) -> list[str]:
        self.askers(archive, view)[job.kind].run(job)
        places = [f"candidates/{id}/{pattern}" for id in job.candidates for pattern in _ASKED]
        return [*places, *(f"baselines/{name}/**/*" for name in job.baselines)]

    def _train(
        self, request: Request, archive: Archive, view: ProgressView, tell: Tell, stop: StopSignals
    ) -> tuple[list[str], Any]:
        job, schedule, place = request.job, archive.findings.schedule, archive.folder.path
        checkpoints, events = Checkpoints(place), EventLog(place)
        if request.narrowed is not None and events.narrowed(job.group) is None:
            events.add(request.narrowed)
        observer = RunObserver(archive, view, schedule, checkpoints)
        start = checkpoints.load(schedule)
        for note in checkpoints.notes:
            observer.on_note(note)
        self._take_up(archive)
        worker = TrainingWorker(
            self.bench,
            schedule,
            observer,
            view,
            checkpoints,
            stop,
            events,
            lambda: view.count("saved", 0, 0),
            self.minutes,
            start.position if start else None,
            self._sources,
        )
        checkpoints.enter(job.cohort)
        queue = JobQueue(job, schedule, checkpoints, observer.on_note)
        while worker.position is not None or queue.waiting():
            worker.run(job)
            checkpoints.save(schedule, Progress(group=job.group))
        files = [pattern for id in job.candidates for pattern in trained_files(id)]
        return [*files, "cohorts/*/paused/*"], events.narrowed(job.group)

    def _take_up(self, archive: Archive) -> None:
        """What earlier tries kept of candidates that had ended; those that are not whole begin
        again.

        Those that had ended before the job was handed out are the driver's, and stay as they are.
        """
        findings = archive.findings
        ended = {id for id, record in findings.records.items() if record.state.is_final}
        for candidate in findings.candidates:
            if not candidate.state.is_final or candidate.id in ended:
                continue
            name = f"candidates/{candidate.id}/{RECORD_FILE}"
            content = archive.folder.read_json(name)
            try:
                record = from_json(CandidateRecord, content, where=name)
                fault = None
                if candidate.state.is_eligible:
                    fault = archive.damaged_adapter(archive.place_of(candidate), record)
                if fault is not None or record.state is not candidate.state:
                    raise CheckpointError(fault or name)
            except Exception:
                candidate.start_again()
            else:
                findings.records[candidate.id] = record


def _record(findings: Findings, candidate: Candidate) -> CandidateRecord:
    """What is known of a candidate, with the files that it rests on."""
    found = record_of(candidate)
    kept = findings.records.get(candidate.id)
    if kept is None or not candidate.state.is_final:
        return found
    return replace(found, made_with=kept.made_with, files=kept.files)

"""A study from beginning to end, each part kept as soon as it is there.

Every part (a candidate, its test scores, its costs, a baseline) has a file of its own in the
run's folder. A second call takes what is there and makes the rest, so that a complete study trains
nothing and an interrupted one goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console

from bakeoff.base.meta_model import model_bytes
from bakeoff.base.on_rows import check_base
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import StoreError
from bakeoff.execution.archive import Archive
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.execution.clock import StudyClock
from bakeoff.execution.findings import Findings
from bakeoff.execution.integrity import damaged_part
from bakeoff.execution.last_states import forget_torn
from bakeoff.execution.observer import Follower
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.recall import Recall
from bakeoff.execution.stopping import StopSignals
from bakeoff.execution.trackers.contract import TrackedStudy
from bakeoff.execution.trackers.following import Following
from bakeoff.execution.trackers.registry import require_installed
from bakeoff.measure import forecasts
from bakeoff.ranks import ranks
from bakeoff.runs.events import EventLog
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.groups import keep_groups
from bakeoff.runs.hashes import HASHES_FILE
from bakeoff.runs.reading import RESULTS_FILE, read_results
from bakeoff.runs.records import Results
from bakeoff.runs.reserve import Reserve
from bakeoff.runs.workers import workers_in_words, workers_of
from bakeoff.search.schedule import StudySchedule, as_recorded
from bakeoff.study.continuing import go_on
from bakeoff.study.environment import now, provenance_of, versions
from bakeoff.study.introducing import introduce, print_note, say_aside, warn_of_budget
from bakeoff.study.judged_notes import has_new_votes
from bakeoff.study.on_processes import OnProcesses, is_narrow
from bakeoff.study.opening import open_workbench, schedule_of, sources_of
from bakeoff.study.results import build_results
from bakeoff.study.search_storage import open_storage
from bakeoff.study.settling import as_it_runs, as_processes
from bakeoff.study.snapshots import Snapshots
from bakeoff.study.stages import ElsewherePlan, Stages, clock_of, timed
from bakeoff.study.study import Study
from bakeoff.study.trying import try_metrics
from bakeoff.types import RunState

if TYPE_CHECKING:
    from bakeoff.search.storage import SearchStorage

_log = logging.getLogger(__name__)


class Runner:
    """Runs one study in one folder.

    Args:
        study: what to run.
        folder: where, opened for this study.
        device: ``auto``, ``cpu`` or ``cuda``.
        console: where progress is reported.
        stop: when the run is to end early; entered by the caller.
        force: runs also what needs more memory than there is.
        mix_versions: goes on with what other versions of the libraries kept.
        on_news: called when the results in the folder are new; without it they are written at the
            end alone.
        notes: what was decided before, for the report.
        elsewhere: how jobs run apart from this process; None runs them here.
        may_use_processes: whether processes of this machine run them all the same, where the study
            would be over sooner so, or where they did in the call before.
        measures_costs: whether the methods' costs are measured at the end.
        after_training: seconds of the budget that are kept for what follows training; one or none.
        judges: whether a judge that the study has is asked here; the answers of a cell are
            judged with those of all cells.

    Attributes:
        clock: how far the study has come; None before it begins.
        others_processes: whether processes run the jobs of the study's other cells, as this one's
            do then; None where it has none that have begun.
    """

    def __init__(
        self,
        study: Study,
        folder: RunFolder,
        device: str,
        console: Console,
        stop: StopSignals | None = None,
        *,
        force: bool = False,
        mix_versions: bool = False,
        on_news: Callable[[], None] | None = None,
        notes: Sequence[str] = (),
        elsewhere: ElsewherePlan | None = None,
        may_use_processes: bool = False,
        measures_costs: bool = True,
        after_training: Sequence[float] = (),
        judges: bool = True,
    ) -> None:
        self.judges = judges
        self.elsewhere = elsewhere
        self.may_use_processes = may_use_processes
        self.others_processes: bool | None = None
        self.study = study
        self.clock: StudyClock | None = None
        self.on_news = on_news
        self.notes = notes
        self.measures_costs = measures_costs
        self.force = force
        self.mix_versions = mix_versions
        self.stop = stop or StopSignals()
        self.after_training = after_training
        self.folder = folder
        self.device = device
        self.console = console

    def is_complete(self) -> bool:
        """Whether the folder holds the whole study already, and every file as it was written."""
        if not (self.folder.path / RESULTS_FILE).exists():
            return False
        try:
            results = read_results(self.folder.path)
        except StoreError as error:
            self._note(f"{error}")
            return False
        if results.status != "complete" or not self.folder.holds(results):
            return False
        if has_new_votes(self.study, self.folder.path, results):
            return False
        known, now = self.folder.sources(), sources_of(self.study)
        if known and now and known != now:
            return False  # what they hold is compared with what it was once it is read
        fault = damaged_part(self.folder.path, results)
        if fault is not None:
            self._note(f"{fault}; what rests on it is made again")
            return False
        for note in (*forget_torn(self.folder.path), *self.folder.restore_study()):
            self._note(note)
        if not (self.folder.path / HASHES_FILE).exists():
            self.folder.write_hashes()  # the run was cut off before it, or is of an older version
        return True

    def state(self) -> dict[str, Any]:
        """How far the study has come, as plain values and as ``text``."""
        if self.clock is None:
            return {"text": "loading the base and the data"}
        found, text = self.clock.state, self.clock.state.text
        workers = workers_of(self.folder.path) if self.elsewhere is not None else None
        if workers is None:
            return {**asdict(found), "text": text}
        text = "; ".join([text, *workers_in_words(workers)])
        return {**asdict(found), "text": text, "workers": workers}

    def keep_prices(self) -> None:
        """Writes a complete study's results at the prices that it has by now."""
        self.folder.keep_prices(read_results(self.folder.path))

    def clear_away(self) -> None:
        """Removes what a complete study needs no more, where a crash left it."""
        Checkpoints(self.folder.path).clear()
        self.folder.sweep()

    def run(self) -> Results:
        """Makes whatever is missing.

        Returns:
            The results, complete.

        Raises:
            BakeoffError: for bad input, before anything is trained.
            KeyboardInterrupt: after the partial result has been written; ``Stopped`` where it
                says why.
        """
        started = time.perf_counter()
        wall: dict[str, float] = {}
        require_installed(self.study.options.track)
        self.stop.keep(sum(self.after_training))
        with timed(wall, "load"):
            bench = open_workbench(self.study, self.device)
        introduce(self.study, bench, self.console, judges=self.judges)
        try_metrics(bench)
        first = torch.from_numpy(np.asarray(bench.data.splits["train"].tokens[0], dtype=np.int64))
        check_base(bench.base, first, "the first training row")
        schedule = schedule_of(self.study, bench)
        bench, forecast = as_it_runs(
            bench,
            schedule,
            self._note,
            force=self.force,
            compiled_before=self.folder.compiled_before(),
        )
        if self.elsewhere is None and self.may_use_processes:
            self.elsewhere = as_processes(
                bench,
                schedule,
                self._note,
                self.study.options.execution,
                before=self._processes_before(bench),
                forecast=forecast,
            )
        watch = None
        if forecast is not None:
            watch = forecasts.Watch(forecast, model_bytes(bench.base.model))
        if (left := self.stop.seconds_left) is not None:
            warn_of_budget(bench, schedule, left, self.console)
        # Before the folder becomes this study's: other inputs or a torn log refuse the call.
        if self.elsewhere is not None:
            self.elsewhere.check(bench.fingerprints())
        events = EventLog(self.folder.path)
        mixed = self.folder.claim(
            bench.fingerprints(),
            versions(),
            mix_versions=self.mix_versions,
            also=bench.also_fingerprints(),
            sources=sources_of(self.study) or (),
            compiles=bench.engine.compile is True,
            # Of a wide base the number of threads would have to be kept as well.
            in_processes=isinstance(self.elsewhere, OnProcesses) if is_narrow(bench.base) else None,
        )
        say_aside(self.folder, self.console)
        self.folder.sweep()
        also = {f"also-{name}": found.data.groups for name, found in bench.also.items()}
        keep_groups(self.folder, {"test": bench.data.splits["test"].groups, **also})
        if self.elsewhere is not None:
            self.elsewhere.prepare(self.folder, events)
        findings = Findings(schedule=schedule, started=now(), wall_seconds=wall)
        archive = Archive(self.folder, bench, findings, provenance_of(bench))
        recall = Recall(archive)
        checkpoints = Checkpoints(self.folder.path)
        trackers = self._trackers(bench, archive)
        followers: list[Follower] = [trackers]

        def write_all(*, complete: bool = False) -> Results:
            return self._write(bench, findings, wall, started, complete=complete)

        if self.on_news is not None:

            def write() -> None:
                write_all()

            followers.append(Snapshots(write, self.on_news))
        storage: SearchStorage | None = None
        reserve = Reserve(self.folder.path)
        reserve.take()
        try:
            schedule.left_out = self.folder.left_out
            start = checkpoints.load(schedule, recall.ended_candidates)
            epochs = self.study.options.protocol.epochs
            clock = self.clock = clock_of(bench, schedule, judges=self.judges)
            with ProgressView(self.console, epochs=epochs, study=clock) as view:
                for note in self.notes:
                    archive.keep_note(note)

                def keep_and_show(note: str) -> None:
                    archive.keep_note(note)
                    view.on_note(note)

                for note in (*checkpoints.notes, *forget_torn(self.folder.path), *mixed):
                    keep_and_show(note)
                self._recall(schedule, recall, view, start)
                if self.study.options.search is not None:
                    name = self.study.options.name
                    storage = open_storage(self.folder, schedule, name, keep_and_show)
                # Only now is it known which candidates the test set is for.
                recall.parts()
                go_on(bench, schedule, archive, checkpoints, view)
                for fault in recall.faults:
                    view.on_note(fault)
                Stages(
                    study=self.study,
                    bench=bench,
                    findings=findings,
                    recall=recall,
                    checkpoints=checkpoints,
                    view=view,
                    stop=self.stop,
                    events=events,
                    clock=clock,
                    storage=storage,
                    followers=followers,
                    elsewhere=self.elsewhere,
                    measures_costs=self.measures_costs,
                    judges=self.judges,
                ).run(start)
            # A driver whose jobs run apart holds no adapters.
            trained_here = self.elsewhere is None or self.elsewhere.trains_here
            # What is forecast is layers as they are written.
            is_as_forecast = bench.base.device.type == "cpu" and bench.engine.compile is not True
            if trained_here and watch is not None and is_as_forecast:
                watch.keep()
        except StoreError:
            reserve.give()
            with suppress(StoreError):
                write_all()
            raise
        except (KeyboardInterrupt, Exception) as error:
            if not isinstance(error, KeyboardInterrupt):
                _log.exception("the run ended early")
            self._finish(trackers, findings, write_all)
            raise
        finally:
            reserve.give()
            if self.elsewhere is not None:
                self.elsewhere.close()
            if storage is not None:
                storage.close()
        # A failure may have had a cause that can be removed, so the next call tries it again.
        complete = not findings.has_failed
        results = self._finish(trackers, findings, lambda: write_all(complete=complete))
        if complete:
            checkpoints.clear()
        _log.info("results written: %s", results.status)
        return results

    def _note(self, note: str) -> None:
        _log.warning("%s", note)
        print_note(note, self.console)

    def _trackers(self, bench: Workbench, archive: Archive) -> Following:
        def note(text: str) -> None:
            archive.keep_note(text)
            self._note(text)

        return Following(
            self.study.options.track if ranks().is_first else (),
            TrackedStudy(
                name=self.study.options.name,
                folder=self.folder.path,
                options=self.study.resolved,
            ),
            self.study.options.protocol,
            bench.plans["train"].num_steps,
            note,
        )

    def _finish(
        self, trackers: Following, findings: Findings, write: Callable[[], Results]
    ) -> Results:
        """Writes the results, then gives them to the trackers; once more where one fails at that.

        First of all they are written: what is uploaded at the end may take long.
        """
        results, before = write(), len(findings.notes)
        trackers.finish(results)
        return results if len(findings.notes) == before else write()

    def _recall(
        self,
        schedule: StudySchedule,
        recall: Recall,
        view: ProgressView,
        start: Progress | None,
    ) -> None:
        """Takes up what an earlier call left beside checkpoints; what failed is tried again."""
        if start is None:
            for settled in schedule.take_up(recall.ended_candidates()):
                if settled.text:
                    view.on_search(settled.text)
        failed = [
            candidate for candidate in schedule.candidates if _is_tried_again(candidate, schedule)
        ]
        known = recall.ended_candidates([candidate.id for candidate in failed]) if failed else {}
        for candidate in failed:
            candidate.start_again()
            record = known.get(candidate.id)
            if record is not None and record.state.is_eligible:  # what failed of it was the test
                as_recorded(candidate, record)

    def _write(
        self,
        bench: Workbench,
        findings: Findings,
        wall: dict[str, float],
        started: float,
        *,
        complete: bool,
    ) -> Results:
        wall["total"] = time.perf_counter() - started
        results = build_results(self.study, bench, findings, complete=complete)
        self.folder.write_results(results)
        return results

    def _processes_before(self, bench: Workbench) -> bool | None:
        before = self.folder.in_processes_before()
        if before is None and self.folder.has_begun:
            return False
        return self.others_processes if before is None and is_narrow(bench.base) else before


def _is_tried_again(candidate: Candidate, schedule: StudySchedule) -> bool:
    """Whether a candidate has failed whose result the study still needs."""
    method = schedule.methods[candidate.method_name]
    needed = (*(method.finals or method.searched), *method.curve)
    return candidate.state is RunState.FAILED and candidate in needed

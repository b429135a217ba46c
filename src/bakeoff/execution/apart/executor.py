"""Gives jobs to actors, longest first, and takes what comes of them; it alone writes results.

What a job computes depends on the job and not on who runs it. So a job whose worker is lost runs
again elsewhere, from the last checkpoint of its last try, in a folder of its own.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bakeoff.errors import CheckpointError
from bakeoff.execution.apart.actors import ActorHost, Opener
from bakeoff.execution.apart.checks import Checks
from bakeoff.execution.apart.crew import Crew, escaped, line_of
from bakeoff.execution.apart.exchange import Outcome, outcome_from
from bakeoff.execution.apart.found import outcome_of, settle_outcome
from bakeoff.execution.apart.losses import MOST_LOSSES, Losses
from bakeoff.execution.apart.places import attempts, new_attempt
from bakeoff.execution.apart.remote import RemoteFiles
from bakeoff.execution.apart.remote_worker import RemoteWorker
from bakeoff.execution.apart.status import StatusFile
from bakeoff.execution.apart.taking import Taking
from bakeoff.execution.executors import REMOTE_SETS, Executor, Then, nothing_more
from bakeoff.execution.states import COHORTS
from bakeoff.execution.stopping import Stopped
from bakeoff.files import disk_errors
from bakeoff.runs.events import CohortJob

_log = logging.getLogger(__name__)
_TICK: Final = 0.1
_NEWS_EVERY: Final = 0.3
_LAST_NEWS_WITHIN: Final = 1.0
_LEAST_SILENCE: Final = 300.0
_SILENT_EPOCHS: Final = 10.0
"""A worker that says nothing for so many estimated epochs of its job is lost."""
_SAVES_WITHIN: Final = 60.0
_ASKS_AGAIN: Final = 30.0
"""Seconds without a step after which idle workers are asked before they get a job, and silence
counts from now."""


@dataclass(eq=False)
class _Batch:
    """The jobs of one call of ``run``."""

    then: Then
    pending: set[str] = field(default_factory=set)


@dataclass
class ActorExecutor:
    """Runs jobs on actors.

    Attributes:
        taking: the run's. host: where actors are. opener: opens the study on a worker.
        local: runs what is not run apart. checks: what a worker must be like.
        seconds_of: what a job takes by estimate; only its order counts, and silence.
        threads: of each worker. gpu: whether an actor has one. lost_after: see
            ``ExecutionOptions``.
        files: where workers leave what they make, if they do not share the run's folder.
        left: nothing; it runs all. opens_within: seconds in which a worker opens the study.
        coming: jobs that training will begin with. Their workers open the study while its first
            job, that of the baselines, keeps but one of them busy, if it is not the driver's.
    """

    taking: Taking
    host: ActorHost
    opener: Opener
    local: Executor
    checks: Checks
    seconds_of: Callable[[CohortJob], float]
    threads: int
    gpu: bool = False
    lost_after: float | None = None
    files: RemoteFiles | None = None
    left: list[CohortJob] = field(default_factory=list)
    opens_within: float = 900.0
    coming: int = 0

    def __post_init__(self) -> None:
        self.crew = Crew(
            self.host,
            self.opener,
            self.checks,
            self.threads,
            self.gpu,
            self.taking.run,
            self.taking.view.say,
            self.opens_within,
        )
        self._queue: list[tuple[float, int, CohortJob]] = []
        self._batches: dict[str, _Batch] = {}
        self._order = itertools.count()
        self.losses = Losses(self.taking.run)
        self.done = 0
        self._looked: set[str] = set()
        self._next_news = 0.0
        self._stepped = time.monotonic()
        self.status = StatusFile(self.taking)

    @property
    def workers(self) -> list[RemoteWorker]:
        """All actors that there are."""
        return self.crew.workers

    def test_own(self) -> None:
        """There is nothing that others train."""

    def run(self, jobs: Sequence[CohortJob], then: Then = nothing_more) -> None:
        """See ``Executor``."""
        if not self._batches and not any(map(self._runs_apart, jobs)):
            self._run_here(jobs, then)
            return
        batch = _Batch(then)
        self._forgive_own_absence()
        if time.monotonic() - self._stepped > _ASKS_AGAIN:  # what lay between asked no worker
            self.crew.wake()
        self._stepped = time.monotonic()
        with self.taking.stop.deferred():
            # Actors start while the first estimate of a job is made, which takes seconds.
            if apart := [job.kind for job in jobs if self._runs_apart(job)]:
                self.crew.grow(max(len(apart), 0 if "train" in apart else self.coming))
            self._submit(jobs, batch)
            while batch.pending:
                self._step()

    def close(self) -> None:
        """Ends all actors."""
        self.crew.release()
        self.status.remove()

    def _run_here(self, jobs: Sequence[CohortJob], then: Then) -> None:
        """Runs what runs in this process alone, where a signal raises at once."""
        more: list[CohortJob] = []
        for job in jobs:
            if job.kind == "measure":
                self.close()  # nothing but costs is left, which workers would only disturb
            self.local.run([job])
            more += then(job)
        if more:
            self.run(more, then)

    def _submit(self, jobs: Sequence[CohortJob], batch: _Batch) -> None:
        for job in jobs:
            if not self._runs_apart(job):
                self.local.run([job])
                self._submit(batch.then(job), batch)
                continue
            if job.kind == "train":
                self.coming = 0  # from here on the queue says what there is
            batch.pending.add(job.cohort)
            self._batches[job.cohort] = batch
            self._enqueue(job)

    def _enqueue(self, job: CohortJob) -> None:
        heapq.heappush(self._queue, (-self.seconds_of(job), next(self._order), job))

    def _step(self) -> None:
        """Whatever can be done now; waits a moment where nothing can."""
        self._stop_if_asked()
        running = sum(worker.state == "running" for worker in self.workers)
        self.crew.grow(max(running + self.waiting, self.coming))
        self._assign()
        ready = self._ready()
        for worker, what, reference in ready:
            if worker in self.workers:
                self._answered(worker, what, reference)
        self._listen()
        self._forgive_own_absence()
        self._look_for_silent()
        self.crew.watch(len(self._batches))
        self._stepped = time.monotonic()
        self.status.write(
            self.workers, waiting=self.waiting, done=self.done, losses=self.losses.total
        )

    def _ready(self) -> list[tuple[RemoteWorker, str, Any]]:
        calls = {
            reference: (worker, what)
            for worker in self.workers
            for what, reference in worker.waiting.items()
        }
        if not calls:
            time.sleep(_TICK)
            return []
        found = self.host.wait([*calls], count=len(calls), timeout=0)
        if not found:
            found = self.host.wait([*calls], count=1, timeout=_TICK)
        return [(*calls[reference], reference) for reference in found]

    def _answered(self, worker: RemoteWorker, what: str, reference: Any) -> None:
        if worker.waiting.get(what) is not reference:
            return  # it was heard with the end of the job, just now
        del worker.waiting[what]
        try:
            answer = self.host.get(reference)
        except Exception as error:  # there are many ways to say that an actor is gone
            self._failed(worker, what, error)
            return
        if what == "about":
            self.crew.introduced(worker, answer)
        elif what == "open":
            self.crew.opened(worker)
        elif what == "news":
            if worker.state == "waking":
                worker.rest()
            for news in worker.hear(answer):
                self.taking.hear(news, worker.job)
        elif what == "run":
            self._over(worker, answer)

    def _over(self, worker: RemoteWorker, answer: str | None) -> None:
        job, place = worker.job, worker.place
        assert job is not None and place is not None
        self._hear_out(worker)
        worker.rest()
        if answer is None:  # it was stopped
            self._enqueue(job)
            return
        torn = self._accept(job, answer, place)
        if torn is not None:
            self._lost(job, f"what it left is not whole: {torn}", str(torn))
            return
        self._finish(job)

    def _accept(self, job: CohortJob, answer: str, place: Path) -> CheckpointError | None:
        """Takes what came of a job; returns why that could not be."""
        outcome = outcome_from(answer, where=f"the outcome of {job.cohort}")
        self._pull(job)
        try:
            self.taking.take(outcome, place)
        except CheckpointError as error:
            return error
        self._settle(outcome)
        return None

    def _hear_out(self, worker: RemoteWorker) -> None:
        """What a worker has said of its job comes before the job's end."""
        before = worker.waiting.pop("news", None)
        references = [one for one in (before, worker.actor.news.remote()) if one is not None]
        said = self.host.wait(references, count=len(references), timeout=_LAST_NEWS_WITHIN)
        try:
            for reference in said:
                for news in worker.hear(self.host.get(reference)):
                    self.taking.hear(news, worker.job)
        except Exception as error:  # it is gone, and its outcome is here
            _log.info("worker %d: its last news did not come: %s", worker.number, error)

    def _finish(self, job: CohortJob) -> None:
        self.done += 1
        batch = self._batches.pop(job.cohort)
        more = batch.then(job)
        self._submit(more, batch)
        batch.pending.discard(job.cohort)

    def _assign(self) -> None:
        while self._queue:
            job = self._queue[0][2]
            idle = next((worker for worker in self.workers if worker.state == "idle"), None)
            if job.cohort not in self._looked or idle is not None:
                self._looked.add(job.cohort)
                self._pull(job)
                found = outcome_of(self.taking.run, job)
                if found is not None:  # of a driver that died, or of a worker that outlived it
                    heapq.heappop(self._queue)
                    outcome, root = found
                    self.taking.take(outcome, root, keep=root == self.taking.run)
                    self._settle(outcome)
                    self._finish(job)
                    continue
            if idle is None:
                return
            heapq.heappop(self._queue)
            self._begin(job, idle)

    def _begin(self, job: CohortJob, worker: RemoteWorker) -> None:
        run, before = self.taking.run, attempts(self.taking.run, job.cohort)
        with disk_errors(run):
            place = new_attempt(run, job.cohort)
        _log.info("%s goes to worker %d, try %d", job.cohort, worker.number, len(before) + 1)
        request, at = self.taking.request(job), None
        if self.files is not None:
            self.files.offer(run, request.files)
            at = self.files.address, self.files.run_id
        worker.begin(request, place, run, before, at)

    def _pull(self, job: CohortJob) -> None:
        """Brings what workers have left of a job elsewhere."""
        if self.files is not None:
            self.files.pull(self.taking.run / COHORTS / job.cohort, job.cohort)

    def _settle(self, outcome: Outcome) -> None:
        with disk_errors(self.taking.run):
            settle_outcome(self.taking.run, outcome)
        if self.files is not None:
            self.files.forget(outcome.job.cohort)

    def _listen(self) -> None:
        now = time.monotonic()
        if now < self._next_news:
            return
        self._next_news = now + _NEWS_EVERY
        for worker in self.workers:
            asks = worker.is_ready or worker.state == "left out"  # who hears nothing ends itself
            if asks and "news" not in worker.waiting:
                worker.waiting["news"] = worker.actor.news.remote()

    def _forgive_own_absence(self) -> None:
        """Where this process did not look (Ctrl-Z, a long result), no worker was silent."""
        away = time.monotonic() - self._stepped
        if away > _ASKS_AGAIN:
            _log.info("nothing was asked for %.0f s", away)
            for worker in self.workers:
                worker.since += away
                worker.heard += away

    def silence(self, job: CohortJob) -> float:
        """Seconds without news after which the worker of a job is lost."""
        if self.lost_after is not None:
            return self.lost_after
        epochs = max((seat.stop - seat.start for seat in job.seats), default=1) or 1
        return max(_LEAST_SILENCE, _SILENT_EPOCHS * self.seconds_of(job) / epochs)

    def _look_for_silent(self) -> None:
        now = time.monotonic()
        for worker in [one for one in self.workers if one.job is not None]:
            if worker.job is None:  # it ended while another's loss was settled
                continue
            limit = self.silence(worker.job)
            if now - max(worker.heard, worker.since) > limit:
                why = f"said nothing for {limit:.0f} s"
                self._failed(worker, "run", TimeoutError(why))

    def _failed(self, worker: RemoteWorker, what: str, error: Exception) -> None:
        """A call failed: the actor is gone, or is made to go."""
        if worker not in self.workers:
            return
        job = worker.job
        where = worker.about.get("host", "a node")
        _log.warning("worker %d on %s is lost (%s): %s", worker.number, where, what, error)
        if job is None:
            self.crew.failed(worker, what, error)
            return
        self.crew.drop(worker)
        why = f"worker {worker.number} on {where} was lost: {line_of(error)}"
        self._lost(job, why, str(error), counts=not getattr(error, "preempted", False))

    def _lost(self, job: CohortJob, why: str, traceback: str, *, counts: bool = True) -> None:
        self.taking.view.say(f"  [yellow]lost[/] {job.cohort}: {escaped(why)}")
        self._pull(job)
        self._looked.discard(job.cohort)  # it may have come to its end all the same
        if not self.losses.add(job, counts=counts):
            self._enqueue(job)
            return
        what = "training" if job.kind == "train" else "testing"
        reason = f"{what} failed: its job was lost {MOST_LOSSES} times; at last, {why}"
        self.taking.give_up(job, reason, traceback)
        self._finish(job)

    def _stop_if_asked(self) -> None:
        jobs = [worker.job for worker in self.workers if worker.job is not None]
        training = any(job.kind == "train" for job in (*jobs, *(entry[2] for entry in self._queue)))
        stop = self.taking.stop
        found: Stopped | None = stop.ask_in_training() if training else stop.ask()
        if found is None:
            return
        running = [worker for worker in self.workers if worker.state == "running"]
        for worker in running:
            assert worker.job is not None
            worker.actor.stop.remote(worker.job.cohort)
        # What trains saves first; nothing else listens, or has anything to save.
        for kind in ("train", None):
            self._await_last(running, kind, stop.seconds_left)
        # After training's share of a budget, tests follow: nothing of training may be left here.
        self.crew.drop(*(one for one in self.workers if one.state == "running"))
        self._queue.clear()
        self._batches.clear()
        raise found

    def _await_last(
        self, workers: Sequence[RemoteWorker], kind: str | None, left: float | None
    ) -> None:
        """Takes what running workers still give; None is of every kind but training."""
        asked = [
            worker
            for worker in workers
            if "run" in worker.waiting
            and worker.job is not None
            and (worker.job.kind == "train") == (kind == "train")
        ]
        if not asked:
            return
        wait = _SAVES_WITHIN if kind == "train" else _LAST_NEWS_WITHIN
        if left is not None:
            wait = max(1.0, min(left, wait))
        references = [worker.waiting["run"] for worker in asked]
        ready = self.host.wait(references, count=len(references), timeout=wait)
        for worker in asked:
            if worker.waiting["run"] in ready:
                self._take_last(worker)

    def _take_last(self, worker: RemoteWorker) -> None:
        """An outcome that came just as all was stopped; what follows from it waits."""
        try:
            answer = self.host.get(worker.waiting.pop("run"))
        except Exception:  # it is run again by the next call
            return
        job, place = worker.job, worker.place
        worker.rest()
        if answer is not None and place is not None and job is not None:
            torn = self._accept(job, answer, place)
            if torn is not None:
                _log.warning("what was left of %s is not whole: %s", job.cohort, torn)

    def _runs_apart(self, job: CohortJob) -> bool:
        return job.kind in self.host.kinds and job.split in REMOTE_SETS

    @property
    def waiting(self) -> int:
        """Jobs that no worker has."""
        return len(self._queue)

"""Ray and its actors without any process: calls are answered at once, or when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bakeoff.execution.apart.checks import Checks
from bakeoff.execution.apart.exchange import Outcome, Request, as_text, request_from
from bakeoff.execution.apart.executor import ActorExecutor
from bakeoff.execution.ray.cluster import Cluster
from bakeoff.execution.ray.options import RayOptions
from bakeoff.execution.stopping import StopSignals
from bakeoff.runs.events import CohortJob, JobKind, Seat
from bakeoff.runs.records import CandidateSpec

GOOD = {"host": "a", "pid": 1, "device": "cpu", "versions": {}, "sees": True}


@dataclass(eq=False)
class Call:
    """A reference of Ray's; over once it has an answer."""

    value: Any = None
    is_over: bool = True


NEVER = Call(is_over=False)


class Actor:
    """Answers as JobWorker does.

    Args:
        answers: by method what it answers with: a value, an error, a ``Call``, or what makes one of
            the arguments.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = {
            "about": GOOD,
            "open": None,
            "news": (0, []),
            "stop": None,
            "run": done,
        } | answers
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def remote(*arguments: Any) -> Call:
            self.asked.append(name)
            answer = self.answers[name]
            if callable(answer):
                answer = answer(*arguments)
            return answer if isinstance(answer, Call) else Call(answer)

        return SimpleNamespace(remote=remote)

    def given(self) -> list[str]:
        """Names of the methods but for news."""
        return [name for name in self.asked if name != "news"]


def done(request: str, *others: Any) -> str:
    """A job without candidates is over at once."""
    return as_text(Outcome(job=request_from(request).job))


def instant(workshop: Any) -> Callable[..., str]:
    """Runs jobs with a workshop, there and then."""

    def run(request: str, place: str, *others: Any) -> str:
        return as_text(workshop.run(request_from(request), Path(place), *others))

    return run


class Ray:
    """Stands for the module."""

    def __init__(self) -> None:
        self.killed: list[Any] = []
        self.resources = {"CPU": 2.0}

    def wait(
        self, references: list[Call], *, num_returns: int, timeout: float
    ) -> tuple[list[Call], list[Call]]:
        ready = [one for one in references if one.is_over][:num_returns]
        return ready, [one for one in references if one not in ready]

    def get(self, reference: Call) -> Any:
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)

    def cluster_resources(self) -> dict[str, float]:
        return self.resources


class Actors(Cluster):
    """A cluster of given actors, made one after the other; at last all as ``Actor`` is."""

    def __init__(self, actors: Iterable[Any], options: RayOptions) -> None:
        super().__init__(Ray(), options, outlives=False)
        self._coming = iter(actors)
        self.made: list[Any] = []

    def actor(self, *_: Any, **__: Any) -> Any:
        self.made.append(next(self._coming, None) or Actor())
        return self.made[-1]


@dataclass
class Taken:
    """Stands for ``Taking``."""

    run: Path
    stop: Any = field(default_factory=StopSignals)

    def __post_init__(self) -> None:
        self.said: list[str] = []
        self.view = SimpleNamespace(say=self.said.append, study=None)
        self.taken: list[str] = []
        self.given_up: list[str] = []

    def request(self, job: CohortJob) -> Request:
        return Request(job=job)

    def hear(self, news: Any, job: Any = None) -> None:
        """Nothing is shown."""

    def take(self, outcome: Outcome, root: Path, *, keep: bool = False) -> None:
        self.taken.append(outcome.job.cohort)

    def give_up(self, job: CohortJob, why: str, traceback: str) -> None:
        self.given_up.append(job.cohort)


class Here:
    """Stands for the executor of jobs that are not run apart."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, jobs: Iterable[CohortJob], then: Any = None) -> None:
        self.ran += [job.cohort for job in jobs]


def executor_of(
    run: Path, *actors: Any, options: RayOptions | None = None, stop: Any = None
) -> Any:
    """A ``ActorExecutor`` over given actors; as many workers as there are, at least one."""
    options = options or RayOptions(workers=max(1, len(actors)))
    taken: Any = Taken(run, stop or StopSignals())
    opener: Callable[[], Any] = dict
    return ActorExecutor(
        taken, Actors(actors, options), opener, Here(), Checks(), lambda job: 1.0, threads=1
    )


def job_named(name: str, kind: JobKind = "train", seed: int = 0) -> CohortJob:
    """A job of one candidate."""
    spec = CandidateSpec(method="lora", learning_rate=0.1, seed=seed)
    seats = (Seat(spec=spec, stop=2),)
    return CohortJob(
        cohort=name, kind=kind, group="base", seats=seats, width=1, micro_batch_size=4, threads=1
    )

"""A study's jobs on actors, wherever these are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.apart.actors import ActorHost
from bakeoff.execution.apart.checks import Checks
from bakeoff.execution.apart.executor import ActorExecutor
from bakeoff.execution.apart.remote import RemoteFiles
from bakeoff.execution.executors import Executor
from bakeoff.search.groups import group_of
from bakeoff.study.estimates import job_seconds
from bakeoff.study.sharding import taking_of
from bakeoff.study.stages import Stages
from bakeoff.study.workers import opened, settled_by

_OPENS_WITHIN: Final = 900.0
_TIMES_DRIVER: Final = 20.0
"""Of the time that the driver took to load: a worker may have the base from a slow network."""


def actor_executor(
    stages: Stages,
    local: Executor,
    host: ActorHost,
    checks: Checks,
    *,
    threads: int,
    lost_after: float | None,
    files: RemoteFiles | None = None,
) -> ActorExecutor:
    """Runs a study's jobs on a host's actors.

    Args:
        stages: of the study. local: runs what is not run apart. host: where actors are.
        checks: what actors must be like. threads: that each computes on.
        lost_after: see ``ExecutionOptions``.
        files: where actors leave what they make, if they do not share the run's folder.
    """
    run = str(stages.recall.folder.path.resolve())
    root = str(stages.study.root.resolve())
    return ActorExecutor(
        taking_of(stages),
        host,
        partial(opened, stages.study.resolved, run, root, settled_by(stages.bench)),
        local,
        checks,
        job_seconds(stages.bench, stages.findings.schedule),
        threads,
        stages.bench.base.device.type == "cuda",
        lost_after,
        files,
        opens_within=max(
            _OPENS_WITHIN, _TIMES_DRIVER * stages.findings.wall_seconds.get("load", 0.0)
        ),
        coming=cohorts_coming(stages),
    )


def cohorts_coming(stages: Stages) -> int:
    """How many cohorts training begins with, about: those that exist already count too."""
    left = [one for one in stages.findings.candidates if not one.state.is_final]
    return cohorts_of(stages.bench, left)


def cohorts_of(bench: Workbench, candidates: Sequence[Candidate]) -> int:
    """How many cohorts candidates fill that are trained at once."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(group_of(candidate).key, []).append(candidate)
    return sum(-(-len(some) // bench.num_slots(some)) for some in groups.values())

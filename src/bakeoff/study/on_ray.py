"""A study's jobs on Ray: ``bakeoff run --executor ray``."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial

import torch

from bakeoff.execution.apart.remote import RemoteFiles
from bakeoff.execution.executors import Elsewhere, Executor
from bakeoff.execution.ray.checks import Checks
from bakeoff.execution.ray.cluster import connected, is_installed, ray_module
from bakeoff.execution.ray.executor import RayExecutor
from bakeoff.execution.ray.options import RayOptions
from bakeoff.runs.events import EventLog
from bakeoff.runs.folder import RunFolder
from bakeoff.study.estimates import job_seconds
from bakeoff.study.execution_options import ExecutionOptions
from bakeoff.study.sharding import taking_of
from bakeoff.study.stages import ElsewherePlan, Stages
from bakeoff.study.workers import opened, settled_by

_log = logging.getLogger(__name__)


class OnRay:
    """Runs a study's jobs on Ray's actors.

    Args:
        options: how.
    """

    is_part = False

    def __init__(self, options: ExecutionOptions) -> None:
        ray_module()  # its absence is said before anything is loaded
        self._options = RayOptions(
            address=options.address,
            workers=options.workers,
            resources=options.resources,
            mixed_devices=options.mixed_devices,
            lost_after=options.lost_after,
        )
        self._address = options.files
        self._open = ExitStack()

    def prepare(self, folder: RunFolder, events: EventLog) -> None:
        """See ``ElsewherePlan``."""

    def executor(self, stages: Stages, local: Executor) -> Elsewhere:
        """See ``ElsewherePlan``."""
        run = stages.recall.folder.path.resolve()
        cluster = self._open.enter_context(connected(self._options))
        files = None
        if self._address is not None:
            files = RemoteFiles(self._address, stages.recall.folder.run_id)
            files.check()
        checks = Checks(self._options.mixed_devices, files is None)
        self._open.enter_context(checks.shown_in(run))
        device = stages.bench.base.device.type
        root = str(stages.study.root.resolve())
        found = RayExecutor(
            taking_of(stages),
            cluster,
            partial(opened, stages.study.resolved, str(run), root, settled_by(stages.bench)),
            local,
            checks,
            job_seconds(stages.bench, stages.findings.schedule),
            torch.get_num_threads(),
            device == "cuda",
            self._options.lost_after,
            files,
        )
        self._open.callback(found.close)
        _log.info("jobs run on Ray, with %s workers", self._options.workers)
        return found

    def trained(self, stages: Stages, executor: Elsewhere) -> None:
        """See ``ElsewherePlan``."""

    def close(self) -> None:
        """See ``ElsewherePlan``."""
        self._open.close()


def plan_of(options: ExecutionOptions, device: str) -> tuple[ElsewherePlan | None, str]:
    """How a study's jobs run, and what to say of it.

    Args:
        options: the study's, or the command line's. device: ``auto``, ``cpu``, ``cuda``, ...
    """
    if options.executor == "ray":
        return OnRay(options), ""
    if options.executor == "local" or device not in ("auto", "cuda"):
        return None, ""
    if torch.cuda.device_count() > 1:
        if is_installed():
            number = torch.cuda.device_count()
            return OnRay(options), (
                f"{number} GPUs are here: jobs run on all of them with Ray (--executor local runs "
                "on one)"
            )
        return None, (
            f"{torch.cuda.device_count()} GPUs are here and one is used; pip install "
            "'bakeoff[ray]' to use all of them"
        )
    return None, ""

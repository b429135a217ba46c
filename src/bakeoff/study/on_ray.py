"""A study's jobs on Ray: ``bakeoff run --executor ray``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack

import torch

from bakeoff.execution.apart.checks import Checks
from bakeoff.execution.apart.remote import RemoteFiles
from bakeoff.execution.executors import Elsewhere, Executor
from bakeoff.execution.ray.cluster import Cluster, connected, ray_module
from bakeoff.execution.ray.options import RayOptions
from bakeoff.runs.events import EventLog
from bakeoff.runs.folder import RunFolder
from bakeoff.study.execution_options import ExecutionOptions
from bakeoff.study.on_actors import actor_executor
from bakeoff.study.stages import Stages

_log = logging.getLogger(__name__)


class OnRay:
    """Runs a study's jobs on Ray's actors.

    Args:
        options: how.
    """

    is_part = False
    trains_here = False

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

    def check(self, fingerprints: Mapping[str, str]) -> None:
        """See ``ElsewherePlan``."""

    def prepare(self, folder: RunFolder, events: EventLog) -> None:
        """See ``ElsewherePlan``."""

    def executor(self, stages: Stages, local: Executor) -> Elsewhere:
        """See ``ElsewherePlan``."""
        cluster = self._open.enter_context(connected(self._options))
        files = None
        if self._address is not None:
            files = RemoteFiles(self._address, stages.recall.folder.run_id)
            files.check()
            self._open.callback(_tidied, files)
        checks = Checks(self._options.mixed_devices, files is None, files=files)
        self._open.enter_context(checks.shown_in(stages.recall.folder.path.resolve()))
        device = stages.bench.base.device.type
        stages.view.say(f"  [cyan]workers[/] {_devices_in_words(cluster, device)}")
        found = actor_executor(
            stages,
            local,
            cluster,
            checks,
            threads=torch.get_num_threads(),
            lost_after=self._options.lost_after,
            files=files,
        )
        self._open.callback(found.close)
        _log.info("jobs run on Ray, with %s workers", self._options.workers)
        return found

    def trained(self, stages: Stages, executor: Elsewhere, *, cut_short: bool = False) -> None:
        """See ``ElsewherePlan``."""

    def close(self) -> None:
        """See ``ElsewherePlan``."""
        self._open.close()


def _devices_in_words(cluster: Cluster, device: str) -> str:
    """What workers compute on: what the driver's base is on, whatever else the cluster has."""
    if device == "cuda":
        return "each computes on a GPU, as this process does"
    gpus = cluster.ray.cluster_resources().get("GPU", 0)
    if gpus < 1:
        return "each computes on the processor, as this process does"
    return (
        f"each computes on the processor, as this process does, and the cluster's {gpus:g} GPUs "
        "are not used; start bakeoff run on a machine with a GPU to use them"
    )


def _tidied(files: RemoteFiles) -> None:
    try:
        files.tidy()
    except Exception as error:  # each kind of address has its own; no result depends on it
        _log.warning("%s could not be tidied: %s", files.address, error)

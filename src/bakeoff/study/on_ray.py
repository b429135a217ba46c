"""A study's jobs on Ray: ``bakeoff run --executor ray``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Final

import torch

from bakeoff.engine.candidate import Candidate
from bakeoff.errors import ConfigError
from bakeoff.execution.apart.remote import RemoteFiles
from bakeoff.execution.executors import Elsewhere, Executor
from bakeoff.execution.ray.checks import Checks
from bakeoff.execution.ray.cluster import Cluster, connected, is_installed, ray_module
from bakeoff.execution.ray.executor import RayExecutor
from bakeoff.execution.ray.options import RayOptions
from bakeoff.ranks import ranks
from bakeoff.runs.events import EventLog
from bakeoff.runs.folder import RunFolder
from bakeoff.search.groups import group_of
from bakeoff.study.estimates import job_seconds
from bakeoff.study.execution_options import ExecutionOptions
from bakeoff.study.sharding import taking_of
from bakeoff.study.stages import ElsewherePlan, Stages
from bakeoff.study.workers import opened, settled_by

_log = logging.getLogger(__name__)

_OPENS_WITHIN: Final = 900.0
_TIMES_DRIVER: Final = 20.0
"""Of the time that the driver took to load: a worker may have the base from a slow network."""


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

    def check(self, fingerprints: Mapping[str, str]) -> None:
        """See ``ElsewherePlan``."""

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
            self._open.callback(_tidied, files)
        checks = Checks(self._options.mixed_devices, files is None, files=files)
        self._open.enter_context(checks.shown_in(run))
        device = stages.bench.base.device.type
        stages.view.say(f"  [cyan]workers[/] {_devices_in_words(cluster, device)}")
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
            opens_within=max(
                _OPENS_WITHIN, _TIMES_DRIVER * stages.findings.wall_seconds.get("load", 0.0)
            ),
            coming=_cohorts_coming(stages),
        )
        self._open.callback(found.close)
        _log.info("jobs run on Ray, with %s workers", self._options.workers)
        return found

    def trained(self, stages: Stages, executor: Elsewhere, *, cut_short: bool = False) -> None:
        """See ``ElsewherePlan``."""

    def close(self) -> None:
        """See ``ElsewherePlan``."""
        self._open.close()


def _cohorts_coming(stages: Stages) -> int:
    """How many cohorts training begins with, about: those that exist already count too."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in stages.findings.candidates:
        if not candidate.state.is_final:
            groups.setdefault(group_of(candidate).key, []).append(candidate)
    num_slots = stages.bench.num_slots
    return sum(-(-len(some) // num_slots(some)) for some in groups.values())


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


def _asks_for_ray(options: ExecutionOptions) -> list[str]:
    """The keys that mean nothing without Ray, as on the command line."""
    asked = {
        "address": options.address is not None,
        "workers": options.workers != "auto",
        "mixed_devices": options.mixed_devices,
        "files": options.files is not None,
    }
    return [key for key, is_given in asked.items() if is_given]


def plan_of(options: ExecutionOptions, device: str) -> tuple[ElsewherePlan | None, str]:
    """How a study's jobs run, and what to say of it.

    Args:
        options: the study's, or the command line's. device: ``auto``, ``cpu``, ``cuda``, ...
    """
    count, asked = ranks().count, _asks_for_ray(options)
    if count > 1 and (options.executor == "ray" or (options.executor == "auto" and asked)):
        raise ConfigError(
            f"execution.executor: torchrun has started {count} processes that share one base, and "
            "workers of Ray would load one each; start bakeoff run without torchrun, or give "
            "--executor local"
        )
    if options.executor == "ray":
        return OnRay(options), ""
    if options.executor == "local" or count > 1:
        return None, ""
    if asked:
        return OnRay(options), (
            f"execution.{asked[0]}: is for workers, so that jobs run on Ray (--executor local "
            "runs them in this process)"
        )
    if device not in ("auto", "cuda"):
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

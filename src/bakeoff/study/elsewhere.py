"""Which way a study's jobs run."""

from __future__ import annotations

import torch

from bakeoff.errors import ConfigError
from bakeoff.execution.ray.cluster import is_installed
from bakeoff.ranks import ranks
from bakeoff.study.execution_options import ExecutionOptions
from bakeoff.study.on_processes import OnProcesses
from bakeoff.study.on_ray import OnRay
from bakeoff.study.stages import ElsewherePlan


def _asks_for_ray(options: ExecutionOptions) -> list[str]:
    """The keys that ask for workers, as on the command line."""
    asked = {
        "address": options.address is not None,
        "workers": options.workers != "auto",
        "mixed_devices": options.mixed_devices,
        "files": options.files is not None,
    }
    return [key for key, is_given in asked.items() if is_given]


def may_take_processes(options: ExecutionOptions) -> bool:
    """Whether ``bakeoff run`` takes processes of this machine where they pay."""
    asks_otherwise = _asks_for_ray(options) or options.resources
    return options.executor == "auto" and not asks_otherwise and ranks().count == 1


def plan_of(options: ExecutionOptions, device: str) -> tuple[ElsewherePlan | None, str]:
    """How a study's jobs run, and what to say of it.

    Args:
        options: the study's, or the command line's. device: ``auto``, ``cpu``, ``cuda``, ...
    """
    count, asked = ranks().count, _asks_for_ray(options)
    wants_workers = options.executor in ("processes", "ray")
    if count > 1 and (wants_workers or (options.executor == "auto" and asked)):
        raise ConfigError(
            f"execution.executor: torchrun has started {count} processes that share one base, and "
            "workers would load one each; start bakeoff run without torchrun, or give "
            "--executor local"
        )
    if options.executor == "ray":
        return OnRay(options), ""
    if options.executor == "processes":
        _check_processes(options)
        return OnProcesses(options), ""
    if options.executor == "local" or count > 1:
        return None, ""
    if asked:
        return OnRay(options), (
            f"execution.{asked[0]}: is for workers, so that jobs run on Ray (--executor local "
            "runs them in this process)"
        )
    if device in ("auto", "cuda") and torch.cuda.device_count() > 1:
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


def _check_processes(options: ExecutionOptions) -> None:
    """Keys that mean nothing for processes of one machine are refused."""
    for key, is_given in {
        "address": options.address is not None,
        "files": options.files is not None,
        "mixed_devices": options.mixed_devices,
        "resources": bool(options.resources),
    }.items():
        if is_given:
            raise ConfigError(
                f"execution.{key}: has no effect with executor: processes, which are of this "
                "machine; leave it out, or give executor: ray"
            )

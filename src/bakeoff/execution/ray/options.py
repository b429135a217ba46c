"""How jobs run on Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """How jobs run on Ray; nothing of it decides what is found.

    Attributes:
        address: of a cluster: ``auto``, ``host:port``, ``ray://host:port``; None starts one here.
        workers: how many actors, or as many as the cluster has devices for.
        resources: of one actor, as Ray counts them: ``num_cpus``, ``num_gpus``, or names of its
            own. Without, a GPU where the run is on GPUs, else one CPU.
        mixed_devices: whether workers may compute on different devices.
        lost_after: seconds without any news after which a worker is given up; None follows from
            the estimate of its job.
    """

    address: str | None = None
    workers: int | Literal["auto"] = "auto"
    resources: Mapping[str, float] = field(default_factory=dict)
    mixed_devices: bool = False
    lost_after: float | None = None

"""How a study's jobs run; none of it decides what is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bakeoff.errors import ConfigError

ExecutorName = Literal["auto", "local", "processes", "ray"]


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """How a study's jobs run; it may change between calls, and decides nothing of what is found."""

    executor: ExecutorName = "auto"
    """``local``: in this process; ``ray``: on Ray's actors, one a device, on one machine or many;
    ``processes``: in processes of this machine, which share its cores, without Ray; ``auto``: on
    Ray where this machine has several GPUs and Ray is installed, or where workers, an address,
    files or mixed_devices are given; in processes where a study of a narrow base on a CPU
    is over sooner so; else local."""
    workers: int | Literal["auto"] = "auto"
    """How many actors; ``auto``: as many as the cluster has devices for. How many processes;
    ``auto``: as many as PyTorch has threads, as far as there is work and memory."""
    resources: dict[str, float] = field(default_factory=dict)
    """Of one actor, as Ray counts them: {num_cpus: 2}, {num_gpus: 1}, or names of your own."""
    address: str | None = None
    """Of a cluster of Ray: ``auto``, ``host:port``, ``ray://host:port``; null starts one here."""
    mixed_devices: bool = False
    """Whether workers may compute on different devices, whose sums round differently."""
    lost_after: float | None = None
    """Seconds without any news after which a worker is taken for lost; null follows from the
    estimate of its job."""

    files: str | None = None
    """An address for what cohorts leave (``s3://``, ``gs://``, ``file://``), where workers cannot
    see the run's folder; null: all machines share it."""

    def __post_init__(self) -> None:
        if isinstance(self.workers, int) and self.workers < 1:
            raise ConfigError(f"workers: {self.workers} is below 1; give a number, or auto")
        for name, value in self.resources.items():
            if not value >= 0:
                raise ConfigError(
                    f"resources.{name}: {value} is below 0; give what one actor needs"
                )
        if self.lost_after is not None and not self.lost_after > 0:
            raise ConfigError(
                f"lost_after: {self.lost_after} is not above 0; give seconds, or null"
            )
